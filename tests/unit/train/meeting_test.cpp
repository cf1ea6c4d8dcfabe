#include "tacit/train/meeting.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <catch2/catch_test_macros.hpp>

using tacit::detail::Meeting;

namespace {

/// What the first rank knows after the sum over all.
Meeting summed(std::vector<Meeting> ranks) {
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    REQUIRE(ranks[rank].numbers().size() == ranks[0].numbers().size());
    for (std::size_t i = 0; i < ranks[0].numbers().size(); ++i) ranks[0].numbers()[i] += ranks[rank].numbers()[i];
  }
  return ranks[0];
}
Meeting vote(bool masked, bool flagged, int wish) {
  Meeting meeting;
  meeting.open();
  meeting.vote(masked, flagged, wish);
  return meeting;
}

}  // namespace

TEST_CASE("the largest wish of any rank is that of all, and masks are seen") {
  constexpr int most = 2 + static_cast<int>(tacit::StopReason::non_finite);
  for (int a = 0; a <= most; ++a) {
    for (int b = 0; b <= most; ++b) {
      CHECK(summed({vote(false, false, a), vote(false, false, b), vote(false, false, 0)}).largest_wish() == std::max(a, b));
    }
  }
  CHECK(summed({vote(false, false, 0), vote(true, false, 0)}).any_masks());
  CHECK_FALSE(summed({vote(false, false, 3), vote(false, true, 0)}).any_masks());
  CHECK(summed({vote(false, false, 3), vote(false, true, 0)}).any_mask_or_flag());
  CHECK_FALSE(summed({vote(false, false, most), vote(false, false, 0)}).any_mask_or_flag());
}

TEST_CASE("weights alone take two numbers, and an empty meeting none") {
  Meeting meeting;
  CHECK(meeting.numbers().empty());
  meeting.open();
  CHECK(meeting.is_on());
  CHECK(meeting.numbers().empty());
  meeting.tell(2.5, 4.0);
  CHECK(meeting.numbers().size() == 2);
  Meeting const both = summed({meeting, meeting});
  CHECK(both.weight() == 5.0);
  CHECK(both.samples() == 8.0);
  CHECK_FALSE(both.has_votes());
  meeting.vote(false, false, 1);
  CHECK(meeting.numbers().size() > 2);
  meeting.close();
  CHECK_FALSE(meeting.is_on());
  meeting.open();
  CHECK(meeting.numbers().empty());
}
