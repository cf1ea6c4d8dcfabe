#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/task/module_modes.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/core.hpp"

/// What a run or a step changes for a while: each puts it back on every way out.
namespace tacit::inline v0::detail {

struct no_scope {};

/// What the precision changes for as long as a run lasts.
template <class Precision>
auto run_scope(Precision& precision) {
  if constexpr (scopes_runs<Precision>) {
    return precision.run_scope();
  } else {
    return no_scope{};
  }
}

/// What the device changes for as long as a run lasts.
template <class Device>
auto device_scope(Device& device) {
  if constexpr (scopes_steps<Device>) {
    return device.run_scope();
  } else {
    return no_scope{};
  }
}

/// What the device changes or looks at in a forward pass.
template <class Device>
auto forward_scope([[maybe_unused]] Device& device) {
  if constexpr (scopes_steps<Device>) {
    return device.forward_scope();
  } else {
    return no_scope{};
  }
}

/// One run in the process, on the trainer's thread; released on every way out.
template <class Core>
class RunGuard {
 public:
  /// Throws: UsageError where a run cannot begin now; nothing is changed then.
  explicit RunGuard(Core& core)
      : in_work_{core}, device_scope_(device_scope(core.device())), scope_{run_scope(core.precision())} {}
  RunGuard(RunGuard const&) = delete;
  RunGuard& operator=(RunGuard const&) = delete;

 private:
  class InWork {
   public:
    explicit InWork(Core& core) : core_{core} {
      if (core.running()) {
        throw UsageError{"TACIT-RU10", "this trainer is running already", "train or evaluate",
                         "do not call it from a callback: use context.evaluate(); finish() a session first"};
      }
      if (core.owner() != std::this_thread::get_id()) {
        throw UsageError{"TACIT-RU11", "called on another thread than the one that made the trainer",
                         "train or evaluate",
                         "make and use the trainer on one thread; only request_stop() may be called from others"};
      }
      if constexpr (!shares_process<typename Core::composition::distribution>) {
        if (run_in_process.exchange(true)) {
          throw UsageError{"TACIT-RU12", "another trainer is running in this process", "train or evaluate",
                           "run one after the other, or in processes of their own"};
        }
      }
      core.running() = true;
    }
    InWork(InWork const&) = delete;
    InWork& operator=(InWork const&) = delete;
    ~InWork() {
      core_.running() = false;
      core_.end_run();
      if constexpr (!shares_process<typename Core::composition::distribution>) run_in_process.store(false);
    }

   private:
    Core& core_;
  };
  InWork in_work_;
  decltype(device_scope(std::declval<typename Core::device_type&>())) device_scope_;
  decltype(run_scope(std::declval<typename Core::precision_type&>())) scope_;
};

/// Sets every model of the task to one mode; on the way out each module gets back its own.
///
/// Phases may share a model or some modules: all modes are noted before the first model is switched.
template <class Task>
class ModeScope {
 public:
  // Not inline: what is done once an epoch stays out of the functions of its steps.
  ModeScope() = default;
  // The object is complete before a `train` may throw: its destructor puts the modes back.
  ModeScope(Task& task, bool training) : ModeScope{} { enter(task, training); }
  /// Throws: what a model's `train` throws; `leave` puts back the modes then, too.
  [[gnu::noinline]] void enter(Task& task, bool training) {
    for_each_model(task, [this](auto& model) { modes_.note(model); });
    if constexpr (task_phase_count<Task> == 1) {
      task_model<0>(task).train(training);
    } else {
      std::vector<void const*> switched;
      for_each_model(task, [&](auto& model) {
        if (std::find(switched.begin(), switched.end(), &model) != switched.end()) return;
        switched.push_back(&model);
        model.train(training);
      });
    }
  }
  ModeScope(ModeScope const&) = delete;
  ModeScope& operator=(ModeScope const&) = delete;
  [[gnu::noinline]] ~ModeScope() { leave(); }
  [[gnu::noinline]] void leave() {
    modes_.restore();
    modes_.clear();
  }

 private:
  ModuleModes modes_{};
};

/// While it lives, the graph that is recorded does not reach the given tensors.
template <class Tensor>
class PhaseScope {
 public:
  /// `quiet` is a stack that such scopes share; it outlives them.
  PhaseScope(std::vector<Tensor> const& others, std::vector<Tensor>& quiet) : PhaseScope{quiet} {
    for (Tensor const& other : others) {
      if (!tensor_traits<Tensor>::requires_grad(other)) continue;
      tensor_traits<Tensor>::set_requires_grad(quiet_.emplace_back(other), false);
    }
  }
  PhaseScope(PhaseScope const&) = delete;
  PhaseScope& operator=(PhaseScope const&) = delete;
  ~PhaseScope() {
    for (; quiet_.size() > first_; quiet_.pop_back()) tensor_traits<Tensor>::set_requires_grad(quiet_.back(), true);
  }

 private:
  explicit PhaseScope(std::vector<Tensor>& quiet) : quiet_{quiet}, first_{quiet.size()} {}

  std::vector<Tensor>& quiet_;
  std::size_t first_;
};

}  // namespace tacit::inline v0::detail
