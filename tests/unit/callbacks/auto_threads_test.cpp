#include "tacit/callbacks/auto_threads.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support.hpp"
#include "tacit/callbacks/adapters.hpp"
#include "tacit/state/state.hpp"

namespace event = tacit::event;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using tacit::AutoThreads;
using tacit::CallbackPack;
using tacit::detail::ThreadTrials;
using namespace support;

namespace auto_threads_tests {
namespace {

/// Updates until the choice, with the time that each number of threads takes. Returns how many it took.
template <class Time>
int try_all(ThreadTrials& trials, Time const& time) {
  int updates = 0;
  while (!trials.is_decided()) {
    trials.add(time(trials.threads(), updates));
    ++updates;
  }
  return updates;
}

struct Used {
  std::vector<std::int64_t>* counts;
  void on(event::UpdateStart const&, auto&) { counts->push_back(fake::thread_count); }
};
struct Fail {
  void on(event::TrainStepEnd const&, auto&) { throw std::runtime_error{"no"}; }
};
struct Evaluate {
  void on(event::UpdateEnd const&, auto& context) { context.evaluate(); }
};

}  // namespace

TEST_CASE("the fastest number of threads is found, and the smallest of those that are nearly as fast") {
  auto choice = [](std::int64_t most, auto const& time) {
    ThreadTrials trials{most};
    int const updates = try_all(trials, time);
    CHECK(updates % 12 == 0);
    return trials.threads();
  };
  CHECK(choice(8, [](std::int64_t n, int) { return 1.0 / static_cast<double>(n); }) == 8);
  CHECK(choice(6, [](std::int64_t n, int) { return 1.0 / static_cast<double>(n); }) == 6);  // 1, 2, 4, 6
  CHECK(choice(8, [](std::int64_t n, int) { return static_cast<double>(n); }) == 1);
  CHECK(choice(8, [](std::int64_t n, int) { return n == 4 ? 0.5 : 1.0; }) == 4);
  CHECK(choice(8, [](std::int64_t n, int) { return n == 4 ? 0.95 : 1.0; }) == 1);  // not worth three more
  // The first update of a block does not count: its threads are made in it.
  CHECK(choice(2, [](std::int64_t n, int update) { return update % 6 == 0 && n == 2 ? 100.0 : 1.0 / static_cast<double>(n); }) == 2);
  // Nor does a disturbance of less than half of the updates.
  CHECK(choice(2, [](std::int64_t n, int update) { return update % 3 == 0 ? 50.0 : 1.0 / static_cast<double>(n); }) == 2);
}

TEST_CASE("one thread needs no trial") {
  ThreadTrials trials{1};
  CHECK(trials.is_decided());
  CHECK(trials.threads() == 1);
  for (int i = 0; i < 100; ++i) CHECK(!trials.add(i));
}

TEST_CASE("updates that become much slower, several in a row, mean one thread for good") {
  ThreadTrials trials{4};
  try_all(trials, [](std::int64_t n, int) { return 1.0 / static_cast<double>(n); });
  REQUIRE(trials.threads() == 4);
  for (int i = 0; i < 100; ++i) CHECK(!trials.add(i % 5 == 4 ? 0.25 : 9.0));  // four in a row
  CHECK(trials.threads() == 4);
  for (int i = 0; i < 4; ++i) CHECK(!trials.add(9.0));
  CHECK(trials.add(9.0));
  CHECK(trials.fell_back());
  CHECK(trials.threads() == 1);
  for (int i = 0; i < 100; ++i) CHECK(!trials.add(9.0));
}

TEST_CASE("a resumed run uses the threads of the run that was not interrupted") {
  auto const time = [](std::int64_t n, int update) { return (n == 2 ? 0.4 : 1.0) + 0.001 * (update % 7) + (update > 60 ? 9.0 : 0.0); };
  std::vector<std::int64_t> whole;
  ThreadTrials trials{8};
  for (int update = 0; update < 80; ++update) {
    whole.push_back(trials.threads());
    trials.add(time(whole.back(), update));
  }
  CHECK(trials.fell_back());
  int const cut = GENERATE(0, 1, 6, 25, 47, 48, 60, 63, 70);
  ThreadTrials first{8};
  for (int update = 0; update < cut; ++update) first.add(time(first.threads(), update));
  ThreadTrials second{2};  // another machine, another number
  tacit::SavedState const saved = tacit::snapshot_state(tacit::named_part("threads", first));
  std::string const no_tensors = saved.layout.head;
  tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{no_tensors}), "state.safetensors", {}, tacit::named_part("threads", second)).commit();
  for (int update = cut; update < 80; ++update) {
    CHECK(second.threads() == whole[static_cast<std::size_t>(update)]);
    second.add(time(second.threads(), update));
  }
}

TEST_CASE("in a run the numbers are tried, the choice is told, and afterwards all is as before") {
  fake::thread_count = 4;
  std::vector<std::int64_t> used;
  std::ostringstream text;
  auto one = trainer(std::make_shared<fake::Linear>(), CallbackPack{AutoThreads{}, Used{&used}});
  one.train(batches(20), {.epochs = 2, .sink = tacit::Sink{text}});
  REQUIRE(used.size() == 40);
  for (std::size_t i = 0; i < 36; ++i) CHECK(used[i] == std::int64_t{1} << (i / 6 % 3));
  CHECK_THAT(text.str(), StartsWith("[tacit] AutoThreads: ") && ContainsSubstring("(an update with 1: ") && ContainsSubstring(", 4: ") && ContainsSubstring(" ms)\n"));
  CHECK(fake::thread_count == 4);
  used.clear();
  one.train(batches(3), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(used.size() == 3);
  CHECK(used[0] == used[2]);  // the choice holds for the trainer's next run
}

TEST_CASE("the number is as before after a run whose first events do not pass a When") {
  fake::thread_count = 4;
  auto const late = [](auto const&, auto& context) { return context.progress().epoch.value() >= 1; };
  auto one =
      trainer(std::make_shared<fake::Linear>(), CallbackPack{tacit::When{.predicate = late, .inner = AutoThreads{}}});
  one.train(batches(4), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(fake::thread_count == 4);
  one.train(batches(4), {.epochs = 3, .sink = tacit::Sink::none()});
  CHECK(fake::thread_count == 4);
}

TEST_CASE("the number is as before after an error, and a run may limit it") {
  fake::thread_count = 4;
  auto failing = trainer(std::make_shared<fake::Linear>(), CallbackPack{AutoThreads{.most = 2}, Fail{}});
  CHECK_THROWS(failing.train(batches(20), {.epochs = 1, .sink = tacit::Sink::none()}));
  CHECK(fake::thread_count == 4);
  std::vector<std::int64_t> used;
  auto limited = trainer(std::make_shared<fake::Linear>(), CallbackPack{AutoThreads{.most = 2}, Used{&used}});
  limited.train(batches(12), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(used == std::vector<std::int64_t>{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2});
  try {
    trainer(std::make_shared<fake::Linear>(), CallbackPack{AutoThreads{.most = 0}});
    FAIL("no error");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC88");
  }
}

}  // namespace auto_threads_tests
