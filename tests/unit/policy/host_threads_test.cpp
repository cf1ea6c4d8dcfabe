#include "tacit/policy/device/host_threads.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "../callbacks/support.hpp"
#include "tacit/state/state.hpp"

using tacit::detail::ThreadRule;
using tacit::detail::ThreadsWanted;
using tacit::detail::WorkListener;
using kind = tacit::detail::threads_kind;
using namespace support;

namespace host_threads_tests {
namespace {

/// The count of a fake library: operators say their work to the one that lives.
class FakeWatch {
 public:
  explicit FakeWatch(WorkListener listener) : listener_{listener} {
    ++made;
    current = this;
  }
  ~FakeWatch() { current = nullptr; }
  static void call(double work) {
    if (current != nullptr && !current->is_done_)
      current->is_done_ = !current->listener_.add(current->listener_.self, work);
  }
  static inline int made = 0;
  static inline FakeWatch* current = nullptr;

 private:
  WorkListener listener_;
  bool is_done_ = false;
};

using HostThreads = tacit::detail::HostThreads<tacit::tensor_traits<fake::Tensor>, FakeWatch>;

/// A device that is chosen at run time.
struct Chosen {
  using slot = tacit::slot::device;
  ThreadsWanted wanted{kind::automatic, 0};
  bool is_host_now = true;
  tacit::Sink sink = tacit::Sink::none();
  template <class T>
  class bound {
   public:
    static constexpr bool is_host = false;
    explicit bound(Chosen const& from) : threads_{from.wanted, from.is_host_now} { threads_.report_to(from.sink); }
    T to(T const& tensor) const { return tensor; }
    bool host_reads_free() const { return true; }
    char const* name() const { return "chosen"; }
    void synchronize() {}
    auto run_scope() { return threads_.run_scope(); }
    auto forward_scope() { return threads_.forward_scope(); }
    void after_update() { threads_.after_update(); }
    HostThreads& threads() { return threads_; }

   private:
    HostThreads threads_;
  };
  template <class T>
  bound<T> bind() const {
    return bound<T>{*this};
  }
};

/// A loss that calls an operator of so much work, and notes with how many threads.
struct Loss {
  double work = 0.0;
  std::vector<std::int64_t>* used = nullptr;
  bool fails = false;
  fake::Tensor operator()(fake::Tensor const& prediction, fake::Tensor const& target) const {
    if (used != nullptr) used->push_back(fake::thread_count);
    FakeWatch::call(1.0);
    FakeWatch::call(work);
    if (fails) throw std::runtime_error{"no"};
    return fake::MeanSquaredError{}(prediction, target);
  }
};

auto trainer_of(Loss const& loss, Chosen const& device) {
  return tacit::Trainer{std::make_shared<fake::Linear>(), loss, fake::Sgd{.lr = 0.05}, device, tacit::CallbackPack{}};
}
std::vector<std::int64_t> used(double work, Chosen const& device, int steps = 3) {
  std::vector<std::int64_t> counts;
  auto one = trainer_of(Loss{work, &counts}, device);
  one.train(batches(steps), {.epochs = 1, .sink = tacit::Sink::none()});
  return counts;
}
using counts = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("one operator with enough work means all threads") {
  ThreadRule rule;
  CHECK(rule.threads(8) == 1);
  CHECK(rule.add(0.9 * ThreadRule::enough));
  CHECK(rule.add(0.9 * ThreadRule::enough));  // many small ones are small ones
  CHECK(rule.threads(8) == 1);
  CHECK_FALSE(rule.add(ThreadRule::enough));
  CHECK(rule.threads(8) == 8);
  CHECK(rule.largest() == ThreadRule::enough);
}

TEST_CASE("the first forward pass decides, beginning with one thread, and afterwards all is as before") {
  fake::thread_count = 4;
  FakeWatch::made = 0;
  CHECK(used(1000.0, {}) == counts{1, 1, 1});
  CHECK(fake::thread_count == 4);
  CHECK(used(2.0 * ThreadRule::enough, {}) == counts{1, 4, 4});
  CHECK(fake::thread_count == 4);
  CHECK(FakeWatch::made == 2);  // later passes count nothing
}

TEST_CASE("the decision holds for later runs and evaluations of the trainer") {
  fake::thread_count = 4;
  FakeWatch::made = 0;
  counts seen;
  auto one = trainer_of(Loss{2.0 * ThreadRule::enough, &seen}, {});
  one.evaluate(batches(2));
  one.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
  fake::thread_count = 2;  // the program wants fewer from now on
  one.evaluate(batches(1));
  CHECK(seen == counts{1, 4, 4, 4, 2});
  CHECK(fake::thread_count == 2);
  CHECK(FakeWatch::made == 1);
}

TEST_CASE("one thread at the start needs no count") {
  fake::thread_count = 1;
  FakeWatch::made = 0;
  CHECK(used(1e12, {}) == counts{1, 1, 1});
  CHECK(FakeWatch::made == 0);
}

TEST_CASE("a run that had one thread decides nothing for a later one that has more") {
  fake::thread_count = 1;
  counts seen;
  auto one = trainer_of(Loss{2.0 * ThreadRule::enough, &seen}, {});
  one.evaluate(batches(1));
  fake::thread_count = 4;
  one.evaluate(batches(2));
  CHECK(seen == counts{1, 1, 4});
  fake::thread_count = 1;
}

TEST_CASE("what the command line says is used, and off the host only a number is") {
  fake::thread_count = 4;
  CHECK(used(0.0, {.wanted = {kind::number, 3}}) == counts{3, 3, 3});
  CHECK(used(0.0, {.wanted = {kind::all, 0}}) == counts{4, 4, 4});
  CHECK(used(0.0, {.wanted = {}}) == counts{4, 4, 4});
  CHECK(used(0.0, {.is_host_now = false}) == counts{4, 4, 4});
  CHECK(used(0.0, {.wanted = {kind::number, 3}, .is_host_now = false}) == counts{3, 3, 3});
  counts const measured = used(0.0, {.wanted = {kind::measured, 0}}, 20);
  CHECK(measured == counts{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 1, 1});
  CHECK(fake::thread_count == 4);
}

TEST_CASE("the number is given back after an error, also in a call from inside of a run") {
  fake::thread_count = 4;
  auto failing = trainer_of(Loss{.work = 0.0, .fails = true}, {});
  CHECK_THROWS_AS(failing.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()}), std::runtime_error);
  CHECK(fake::thread_count == 4);
  CHECK(FakeWatch::current == nullptr);
  HostThreads threads{{kind::number, 2}, true};
  {
    auto const outer = threads.run_scope();
    { auto const inner = threads.run_scope(); }
    CHECK(fake::thread_count == 2);
  }
  CHECK(fake::thread_count == 4);
}

TEST_CASE("what is wanted and what is decided is told") {
  fake::thread_count = 4;
  CHECK(HostThreads({kind::automatic, 0}, true).text() == "1 or 4 threads (by the first batch)");
  CHECK(HostThreads({kind::automatic, 0}, false).text().empty());
  CHECK(HostThreads({kind::number, 1}, true).text() == "1 thread (asked for)");
  CHECK(HostThreads({kind::all, 0}, true).text() == "4 threads (all, asked for)");
  CHECK(HostThreads({kind::measured, 0}, true).text() == "threads by measurement (asked for)");
  std::ostringstream text;
  used(1.5e6, {.sink = tacit::Sink{text}});
  CHECK(text.str() ==
        "[tacit] auto: 1 thread of 4 (the largest operator of the first batch has 1.5 million multiply-adds, less than "
        "4.0)\n");
  text.str("");
  used(8.4e6, {.sink = tacit::Sink{text}});
  CHECK(text.str() ==
        "[tacit] auto: 4 threads of 4 (the largest operator of the first batch has 8.4 million multiply-adds, 4.0 are "
        "enough)\n");
  fake::thread_count = 1;
  CHECK(HostThreads({kind::automatic, 0}, true).text() == "1 thread (the only one)");
}

TEST_CASE("the number is state: a resumed run computes with it, and another one is named inexact") {
  fake::thread_count = 4;
  auto first = trainer_of(Loss{.work = 1000.0}, {});
  first.train(batches(2), {.epochs = 1, .sink = tacit::Sink::none()});
  CHECK(first.view().device().threads().count() == 1);
  tacit::SavedState const saved = tacit::snapshot_state(first.view().device().threads());
  auto const resumed = [&](ThreadsWanted wanted) {
    std::ostringstream text;
    counts seen;
    auto one = trainer_of(Loss{2.0 * ThreadRule::enough, &seen}, {.wanted = wanted, .sink = tacit::Sink{text}});
    tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{saved.layout.head}), "state.safetensors", {},
                       one.view().device().threads())
        .commit();
    one.train(batches(1), {.epochs = 1, .sink = tacit::Sink::none()});
    one.train(batches(1), {.epochs = 1, .sink = tacit::Sink::none()});
    return std::pair{seen, text.str()};
  };
  CHECK(resumed({kind::automatic, 0}) == std::pair{counts{1, 1}, std::string{}});
  CHECK(resumed({kind::number, 1}) == std::pair{counts{1, 1}, std::string{}});
  std::string const line =
      "[tacit] auto: the resumed run is inexact: its state was computed with 1 thread, it goes on with ";
  CHECK(resumed({kind::number, 2}) == std::pair{counts{2, 2}, line + "2 threads; the last bits may differ\n"});
  CHECK(resumed({kind::all, 0}) == std::pair{counts{4, 4}, line + "4 threads; the last bits may differ\n"});
  CHECK(resumed({kind::measured, 0}) ==
        std::pair{counts{1, 1}, line + "a number that is measured; the last bits may differ\n"});
}

}  // namespace host_threads_tests
