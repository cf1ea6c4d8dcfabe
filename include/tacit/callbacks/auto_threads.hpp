#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/events.hpp"
#include "tacit/policy/device/thread_trials.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0 {

namespace unit {
struct thread {
  static constexpr std::string_view name = "threads";
};
}  // namespace unit
/// How many threads the tensor library computes with.
using Threads = Count<unit::thread>;

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

  void on(event::TrainingRunStart const&, auto& context) { follow_run(context); }
  void on(event::TrainStepStart const&, auto& context) {
    follow_run(context);
    if (is_timing_) return;  // a later micro-batch of the window
    is_timing_ = true;
    started_ = clock::now();
  }
  void on(event::UpdateEnd const&, auto& context) {
    follow_run(context);
    if (!std::exchange(is_timing_, false)) return;
    std::chrono::duration<double> const took = clock::now() - started_;
    if (trials_.add(took.count()) && context.is_main_process()) tell(context);
    use();
  }
  void on(event::TrainingRunEnd const&, auto& context) { give_back(context); }
  void on(event::Aborted<stage::TrainingRun> const&, auto& context) { give_back(context); }

  /// How many the next update uses.
  std::int64_t threads() const { return trials_.threads(); }

  static void visit_config(auto& self, auto&& visit) { AutoThreads::visit_config(self.config_, visit); }
  static void visit_state(auto& self, auto&& visit) { detail::ThreadTrials::visit_state(self.trials_, visit); }

 private:
  using traits = tensor_traits<typename Composition::tensor_type>;
  using clock = std::chrono::steady_clock;

  void follow_run(auto& context) {
    if (!run_.is_new(context)) return;
    before_ = traits::threads();
    is_timing_ = false;
    use();
  }
  void use() const {
    if constexpr (Composition::bound_device::is_host) {
      if (traits::threads() != trials_.threads()) traits::set_threads(trials_.threads());
    }
  }
  void give_back(auto& context) {
    if (run_.is_new(context)) return;  // no other event of this run came here
    if constexpr (Composition::bound_device::is_host) traits::set_threads(before_);
  }
  void tell(auto& context) const {
    if constexpr (Composition::bound_device::is_host) {
      report::write_line(context.sink(), "[tacit] AutoThreads: " + trials_.text());
    }
  }

  AutoThreads config_;
  detail::ThreadTrials trials_;
  detail::RunWatch run_{};   // a When may hold the start event back
  std::int64_t before_ = 1;  // the library's number outside of runs
  bool is_timing_ = false;
  clock::time_point started_{};
};

}  // namespace tacit::inline v0
