#include "tacit/data/views.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tacit/data/split.hpp"

namespace data = tacit::data;
namespace views = tacit::data::views;
using Numbers = std::vector<std::int64_t>;

namespace views_tests {
namespace {

/// Sample i is first + i; counts how often it was asked.
struct Counting {
  std::int64_t count = 0;
  std::int64_t first = 0;
  std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);

  std::int64_t size() const { return count; }
  Numbers get_batch(std::span<std::int64_t const> indices) const {
    ++*calls;
    Numbers batch(indices.begin(), indices.end());
    for (std::int64_t& value : batch) value += first;
    return batch;
  }
  std::int64_t get(std::int64_t index) const { return first + index; }
};

/// No copies and no `get`: what is borrowed is not copied.
struct Pinned {
  Pinned() = default;
  Pinned(Pinned const&) = delete;
  short size() const { return 6; }
  Numbers get_batch(std::span<std::int64_t const> indices) const { return {indices.begin(), indices.end()}; }
};

template <class D>
Numbers all(D const& set) {
  Numbers indices(static_cast<std::size_t>(set.size()));
  std::iota(indices.begin(), indices.end(), 0);
  return set.get_batch(indices);
}

template <class Error = tacit::DataError>
std::string code_of(auto&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("take, drop, slice, filter and reorder renumber") {
  Counting const base{10};
  REQUIRE(all(base | views::take(3)) == Numbers{0, 1, 2});
  REQUIRE(all(base | views::take(30)).size() == 10);
  REQUIRE((base | views::take(0)).size() == 0);
  REQUIRE(all(base | views::drop(7)) == Numbers{7, 8, 9});
  REQUIRE((base | views::drop(11)).size() == 0);
  REQUIRE(all(base | views::slice(2, 9, 3)) == Numbers{2, 5, 8});
  REQUIRE(all(base | views::slice(2, 8, 3)) == Numbers{2, 5});
  REQUIRE((base | views::slice(4, 4)).size() == 0);
  REQUIRE(all(base | views::filter([](std::int64_t i) { return i % 4 == 1; })) == Numbers{1, 5, 9});
  REQUIRE(all(base | views::reorder(Numbers{9, 0, 9})) == Numbers{9, 0, 9});
  REQUIRE(all(base | views::drop(2) | views::slice(0, 8, 2) | views::take(3)) == Numbers{2, 4, 6});
  auto const both = views::drop(5) | views::take(2);
  REQUIRE(all(base | both) == Numbers{5, 6});
  REQUIRE((base | both).get(1) == 6);
}

TEST_CASE("index views are translated in place: one call of the dataset that has the data") {
  Counting const base{100};
  auto const view = base | views::drop(10) | views::filter([](std::int64_t i) { return i % 2 == 0; }) | views::take(5);
  STATIC_REQUIRE(tacit::index_view<std::remove_const_t<decltype(view)>>);
  Numbers indices{4, 0};
  REQUIRE(data::fetch(view, indices) == Numbers{18, 10});
  REQUIRE(*base.calls == 1);
  REQUIRE(indices == Numbers{18, 10});
}

TEST_CASE("lvalues are borrowed, rvalues owned") {
  Pinned const pinned;
  auto const view = pinned | views::take(2);
  REQUIRE(&view.base() == &pinned);
  Numbers order{3, 1};
  auto const borrowed = pinned | views::reorder(order);
  order[0] = 5;
  REQUIRE(all(borrowed) == Numbers{5, 1});
  auto owned = [] { return Counting{4} | views::drop(1) | views::map([](Numbers batch) { return batch.size(); }); }();
  REQUIRE(owned.get_batch(Numbers{0, 2}) == 2);
}

TEST_CASE("map is lazy and gets the indices where it wants them") {
  Counting const base{10};
  int called = 0;
  auto const doubled = base | views::drop(3) | views::map([&](auto value) {
                         ++called;
                         if constexpr (requires { value.size(); }) {
                           for (auto& element : value) element *= 2;
                         } else {
                           value *= 2;
                         }
                         return value;
                       });
  REQUIRE(called == 0);
  REQUIRE(doubled.size() == 7);
  REQUIRE(doubled.get_batch(Numbers{6, 0}) == Numbers{18, 6});
  REQUIRE(doubled.get(1) == 8);
  STATIC_REQUIRE(!tacit::index_view<std::remove_const_t<decltype(doubled)>>);
  auto const keyed = base | views::drop(3) | views::map([](Numbers const& batch, std::span<std::int64_t const> at) {
                       return std::pair{batch, Numbers(at.begin(), at.end())};
                     });
  REQUIRE(keyed.get_batch(Numbers{2}) == std::pair{Numbers{5}, Numbers{2}});
}

TEST_CASE("concatenate joins what several datasets give, in the order asked for") {
  Counting const small{3};
  auto const joined = views::concatenate(small, Counting{2, 100}, Counting{0}, Counting{4, 1000} | views::take(2));
  REQUIRE(joined.size() == 7);
  REQUIRE(all(joined) == Numbers{0, 1, 2, 100, 101, 1000, 1001});
  REQUIRE(joined.get_batch(Numbers{6, 1, 4, 1, 0, 5}) == Numbers{1001, 1, 101, 1, 0, 1000});
  REQUIRE(joined.get(5) == 1000);
  REQUIRE(joined.get_batch(Numbers{}) == Numbers{});
  REQUIRE(code_of([&] { (void)joined.get_batch(Numbers{7}); }) == "TACIT-RD100");
}

TEST_CASE("zip sets batches side by side") {
  auto const two = views::zip(Counting{3}, Counting{3, 10});
  REQUIRE(two.get_batch(Numbers{2, 0}) == std::pair{Numbers{2, 0}, Numbers{12, 10}});
  REQUIRE(two.get(1) == std::pair{std::int64_t{1}, std::int64_t{11}});
  auto const three = views::zip(Counting{3}, Counting{5} | views::drop(2), Counting{3, 7});
  REQUIRE(three.get_batch(Numbers{1}) == std::tuple{Numbers{1}, Numbers{3}, Numbers{8}});
  REQUIRE(code_of([] { (void)views::zip(Counting{3}, Counting{4}); }) == "TACIT-RD103");
}

TEST_CASE("what lies outside of a view or dataset is refused") {
  Counting const base{10};
  auto const view = base | views::take(3);
  REQUIRE(code_of([&] { (void)view.get_batch(Numbers{0, 3}); }) == "TACIT-RD100");
  REQUIRE(code_of([&] { (void)view.get(-1); }) == "TACIT-RD100");
  REQUIRE(code_of<tacit::ConfigError>([] { (void)views::slice(0, 1, 0); }) == "TACIT-RD101");
  for (auto const& [first, last] : {std::pair{-1, 3}, {4, 3}, {0, 11}}) {
    REQUIRE(code_of([&, from = first, to = last] { (void)(base | views::slice(from, to)); }) == "TACIT-RD102");
  }
  REQUIRE(code_of([&] { (void)(base | views::reorder(Numbers{0, -1})); }) == "TACIT-RD104");
  REQUIRE(code_of([&] { (void)(base | views::reorder(Numbers{10})); }) == "TACIT-RD104");
}

TEST_CASE("several threads may ask one view") {
  auto const view = Counting{1000} | views::slice(0, 1000, 3) | views::filter([](std::int64_t i) { return i % 2 == 1; });
  Numbers const expected = all(view);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) wrong += all(view) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
}

}  // namespace views_tests
