#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

namespace unit {
struct thread {
  static constexpr std::string_view name = "threads";
};
}  // namespace unit
/// How many threads the tensor library computes with.
using Threads = Count<unit::thread>;

namespace detail {

/// Which number of threads makes updates fast: tries 1, 2, 4, ... in blocks, then keeps the smallest that is nearly as fast as the best.
///
/// Each block begins with an update that does not count, for the threads are made in it. Two rounds of blocks: a disturbance
/// hits one of them. After the choice an update that takes many times as long, several times in a row, means that other programs want
/// the processor; then threads that wait for each other are worse than none.
class ThreadTrials {
 public:
  explicit ThreadTrials(std::int64_t most) {
    for (std::int64_t count = 1; count < most; count *= 2) candidates_.push_back(count);
    candidates_.push_back(std::max<std::int64_t>(most, 1));
    times_.resize(candidates_.size());
    if (candidates_.size() == 1) chosen_ = candidates_[0];
  }

  /// How many the next update uses.
  std::int64_t threads() const { return is_decided() ? chosen_ : candidates_[block() % candidates_.size()]; }
  bool is_decided() const noexcept { return chosen_ > 0; }
  bool fell_back() const noexcept { return fell_back_; }

  /// An update with that many took so long. Returns: true if something was decided by it.
  bool add(double seconds) {
    if (is_decided()) return watch(seconds);
    if (updates_ % block_length != 0) times_[block() % candidates_.size()].push_back(seconds);
    ++updates_;
    if (block() < rounds * candidates_.size()) return false;
    decide();
    return true;
  }

  std::string report() const {
    std::string text;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (times_[i].empty()) continue;
      text += (text.empty() ? "" : ", ") + std::to_string(candidates_[i]) + ": " + report::fixed_text(1000.0 * median(times_[i]), 3) + " ms";
    }
    return text;
  }

  static void visit_state(auto& self, auto&& visit) {
    visit("candidates", self.candidates_);
    visit("times", self.times_);
    visit("updates", self.updates_);
    visit("chosen", self.chosen_);
    visit("usual", self.usual_);
    visit("slow", self.slow_);
    visit("fell_back", self.fell_back_);
  }

  static constexpr std::int64_t block_length = 6;
  static constexpr std::size_t rounds = 2;
  static constexpr double nearly = 1.1;       // times the best
  static constexpr double much_slower = 5.0;  // times the usual
  static constexpr std::int64_t patience = 5;

 private:
  std::size_t block() const { return static_cast<std::size_t>(updates_ / block_length); }

  static double median(std::vector<double> values) {
    auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
  void decide() {
    double best = median(times_[0]);
    for (auto const& times : times_) best = std::min(best, median(times));
    for (std::size_t i = candidates_.size(); i-- > 0;) {
      if (median(times_[i]) > nearly * best) continue;
      chosen_ = candidates_[i];
      usual_ = median(times_[i]);
    }
  }
  bool watch(double seconds) {
    if (chosen_ == 1) return false;
    slow_ = seconds > much_slower * usual_ ? slow_ + 1 : 0;
    if (slow_ < patience) return false;
    chosen_ = 1;
    return fell_back_ = true;
  }

  std::vector<std::int64_t> candidates_{};
  std::vector<std::vector<double>> times_{};  // seconds an update, by candidate
  std::int64_t updates_ = 0;                  // tried
  std::int64_t chosen_ = 0;
  double usual_ = 0.0;     // seconds an update with the chosen number
  std::int64_t slow_ = 0;  // updates in a row
  bool fell_back_ = false;
};

}  // namespace detail

/// Finds out in the first updates how many threads the tensor library should use, and says what it found.
///
/// It tries 1, 2, 4, ... up to `most`, twelve updates each, and keeps the smallest number that is at most a tenth slower than the best. If
/// updates take five times as long later on, because other programs want the processor, it goes back to one thread. Numbers of threads
/// may differ in the last bits of what they compute. Everything that was measured and decided is state: a run that is resumed computes
/// with the threads of the run that was not interrupted. After the run the number is what it was.
/// Without effect where tensors are not on the host. Cost: two looks at the clock an update.
struct AutoThreads {
  using events = event::list<event::TrainingRunStart, event::TrainStepStart, event::UpdateEnd, event::TrainingRunEnd, event::Aborted<stage::TrainingRun>>;

  Threads most = unset;  ///< where not given, as many as the library would use

  template <class Composition>
  class bound;

  static void visit_config(auto& self, auto&& visit) { visit("most", self.most); }
};

template <class Composition>
class AutoThreads::bound {
 public:
  using events = AutoThreads::events;

  explicit bound(AutoThreads const& config) : config_{config}, trials_{config.most.value_or(traits::threads())} {
    if (config.most.value() == 0) throw ConfigError{"TACIT-RC88", "no thread at all", "AutoThreads::most", "give 1 or more, or leave it out"};
  }

  void on(event::TrainingRunStart const&, auto&) {
    before_ = traits::threads();
    is_timing_ = false;
    use();
  }
  void on(event::TrainStepStart const&, auto&) {
    if (is_timing_) return;  // a later micro-batch of the window
    is_timing_ = true;
    started_ = clock::now();
  }
  void on(event::UpdateEnd const&, auto& context) {
    if (!std::exchange(is_timing_, false)) return;
    std::chrono::duration<double> const took = clock::now() - started_;
    if (trials_.add(took.count()) && context.is_main_process()) tell(context);
    use();
  }
  void on(event::TrainingRunEnd const&, auto&) { give_back(); }
  void on(event::Aborted<stage::TrainingRun> const&, auto&) { give_back(); }

  /// How many the next update uses.
  std::int64_t threads() const { return trials_.threads(); }

  static void visit_config(auto& self, auto&& visit) { AutoThreads::visit_config(self.config_, visit); }
  static void visit_state(auto& self, auto&& visit) { detail::ThreadTrials::visit_state(self.trials_, visit); }

 private:
  using traits = tensor_traits<typename Composition::tensor_type>;
  using clock = std::chrono::steady_clock;

  void use() const {
    if constexpr (Composition::bound_device::is_host) {
      if (traits::threads() != trials_.threads()) traits::set_threads(trials_.threads());
    }
  }
  void give_back() const {
    if constexpr (Composition::bound_device::is_host) traits::set_threads(before_);
  }
  void tell(auto& context) const {
    if constexpr (Composition::bound_device::is_host) {
      std::string const count = report::count_text(trials_.threads(), "thread");
      report::write_line(context.sink(), trials_.fell_back() ? "[tacit] AutoThreads: updates became much slower; " + count + " from here on"
                                                             : "[tacit] AutoThreads: " + count + " (an update with " + trials_.report() + ")");
    }
  }

  AutoThreads config_;
  detail::ThreadTrials trials_;
  std::int64_t before_ = 1;  // the library's number outside of runs
  bool is_timing_ = false;
  clock::time_point started_{};
};

}  // namespace tacit::inline v0
