#pragma once

#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "tacit/concepts/precision_policy.hpp"
#include "tacit/core/error.hpp"
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

/// One run in the process, on the trainer's thread; released on every way out.
template <class Core>
class RunGuard {
 public:
  explicit RunGuard(Core& core) : core_{core}, scope_{run_scope(core.precision())} {
    if (core.running()) {
      throw UsageError{"TACIT-RU10", "this trainer is running already", "train or evaluate", "do not call it from a callback; use context.evaluate()"};
    }
    if (core.owner() != std::this_thread::get_id()) {
      throw UsageError{"TACIT-RU11", "called on another thread than the one that made the trainer", "train or evaluate",
                       "make and use the trainer on one thread; only request_stop() may be called from others"};
    }
    if constexpr (!shares_process<typename Core::composition::distribution>) {
      if (run_in_process.exchange(true)) {
        throw UsageError{"TACIT-RU12", "another trainer is running in this process", "train or evaluate", "run one after the other, or in processes of their own"};
      }
    }
    core.running() = true;
  }
  RunGuard(RunGuard const&) = delete;
  RunGuard& operator=(RunGuard const&) = delete;
  ~RunGuard() {
    core_.running() = false;
    core_.record_to(nullptr);
    core_.forget_mask();
    core_.set_wish(0);
    if constexpr (!shares_process<typename Core::composition::distribution>) run_in_process.store(false);
  }

 private:
  Core& core_;
  decltype(run_scope(std::declval<typename Core::precision_type&>())) scope_;
};

/// Sets every model of the task to one mode; on the way out each module gets back its own.
template <class Task>
class ModeScope {
 public:
  ModeScope(Task& task, bool training) : task_{&task} {
    for_each_model(task, [&](auto& model) {
      for_each_submodule(model, [&](auto& module) { was_training_.push_back(module.is_training()); });
      model.train(training);
    });
  }
  ModeScope(ModeScope const&) = delete;
  ModeScope& operator=(ModeScope const&) = delete;
  ~ModeScope() {
    std::size_t at = 0;
    for_each_model(*task_, [&](auto& model) {
      // Parents come first and set their children too, which are then set to their own.
      for_each_submodule(model, [&](auto& module) { module.train(was_training_[at++]); });
    });
  }

 private:
  Task* task_;
  std::vector<bool> was_training_;
};

/// While it lives, the graph that is recorded reaches the parameters of phase I only.
template <std::size_t I, class Core>
class PhaseScope {
 public:
  explicit PhaseScope(Core& core) {
    [&]<std::size_t... J>(std::index_sequence<J...>) { (quiet<J>(core), ...); }(std::make_index_sequence<Core::phase_count>{});
  }
  PhaseScope(PhaseScope const&) = delete;
  PhaseScope& operator=(PhaseScope const&) = delete;
  ~PhaseScope() {
    for (auto& tensor : quiet_) tensor_traits<tensor_type>::set_requires_grad(tensor, true);
  }

 private:
  using tensor_type = typename Core::tensor_type;

  template <std::size_t J>
  void quiet(Core& core) {
    if constexpr (I != J) {
      for (auto& parameter : core.template phase<J>().parameters) {
        bool shared = false;
        for (auto& own : core.template phase<I>().parameters) shared = shared || tensor_traits<tensor_type>::same(own.model, parameter.model);
        if (!shared && tensor_traits<tensor_type>::requires_grad(parameter.model)) {
          tensor_traits<tensor_type>::set_requires_grad(parameter.model, false);
          quiet_.push_back(parameter.model);
        }
      }
    }
  }

  std::vector<tensor_type> quiet_;
};

}  // namespace tacit::inline v0::detail
