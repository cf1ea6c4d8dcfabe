#include "tacit/train/window_reduction.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <catch2/catch_test_macros.hpp>

using tacit::detail::StopRequest;
using tacit::detail::WindowReduction;

namespace window_reduction_tests {
namespace {

/// What the first rank knows after the sum over all.
WindowReduction summed(std::vector<WindowReduction> ranks) {
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    REQUIRE(ranks[rank].numbers().size() == ranks[0].numbers().size());
    for (std::size_t i = 0; i < ranks[0].numbers().size(); ++i) ranks[0].numbers()[i] += ranks[rank].numbers()[i];
  }
  return ranks[0];
}
WindowReduction request(bool skips, bool flagged, int strength) {
  WindowReduction reduction;
  reduction.open();
  reduction.add_requests(skips, flagged, StopRequest::of_strength(strength));
  return reduction;
}

}  // namespace

TEST_CASE("the strongest stop request of any rank is that of all, and skips are seen") {
  constexpr int most = StopRequest::most_strength;
  for (int a = 0; a <= most; ++a) {
    for (int b = 0; b <= most; ++b) {
      CHECK(summed({request(false, false, a), request(false, false, b), request(false, false, 0)}).strongest_stop().strength() == std::max(a, b));
    }
  }
  CHECK(summed({request(false, false, 0), request(true, false, 0)}).any_skips());
  CHECK_FALSE(summed({request(false, false, 3), request(false, true, 0)}).any_skips());
  CHECK(summed({request(false, false, 3), request(false, true, 0)}).any_skips_or_flags());
  CHECK_FALSE(summed({request(false, false, most), request(false, false, 0)}).any_skips_or_flags());
}

TEST_CASE("weights alone take two numbers, and an empty reduction none") {
  WindowReduction reduction;
  CHECK(reduction.numbers().empty());
  reduction.open();
  CHECK(reduction.is_open());
  CHECK(reduction.numbers().empty());
  reduction.add_weights(2.5, 4.0);
  CHECK(reduction.numbers().size() == 2);
  WindowReduction const both = summed({reduction, reduction});
  CHECK(both.weight() == 5.0);
  CHECK(both.samples() == 8.0);
  CHECK_FALSE(both.has_requests());
  reduction.add_requests(false, false, StopRequest::end_epoch());
  CHECK(reduction.numbers().size() > 2);
  reduction.close();
  CHECK_FALSE(reduction.is_open());
  reduction.open();
  CHECK(reduction.numbers().empty());
}

}  // namespace window_reduction_tests
