#pragma once

#include <unordered_set>

#include "tacit/events/events.hpp"
#include "tacit/task/task.hpp"

namespace tacit::inline v0 {

/// Batch norms whose parameters are all frozen stay in evaluation mode while the models of the task train: their running
/// statistics do not move.
///
/// A norm that another `train(bool)` keeps in evaluation mode stays as it is.
/// Requires: models of LibTorch's modules.
struct KeepFrozenNorms {
  using events = event::list<event::TrainEpochStart, event::ParametersChanged, event::TrainEpochEnd, event::Aborted<stage::TrainEpoch>>;
  static constexpr bool acts_on_all_ranks = true;

  template <class Composition>
  class bound;

  static void visit_config(auto&, auto&&) {}
};

template <class Composition>
class KeepFrozenNorms::bound {
 public:
  using events = KeepFrozenNorms::events;

  explicit bound(KeepFrozenNorms const&) {}

  void on(event::TrainEpochStart const&, auto& context) {
    in_epoch_ = true;
    kept_.clear();
    keep(context.trainer().task());
  }
  void on(event::ParametersChanged const&, auto& context) {
    if (in_epoch_) keep(context.trainer().task());
  }
  // The modes are put back by the loop, for these norms as for all modules.
  void on(event::TrainEpochEnd const&, auto&) { in_epoch_ = false; }
  void on(event::Aborted<stage::TrainEpoch> const&, auto&) { in_epoch_ = false; }

  static void visit_config(auto&, auto&&) {}

 private:
  void keep(auto const& task) {
    detail::for_each_model(task, [this](auto& model) {
      for (auto& module : model.modules()) {
        if (!module->named_buffers(/*recurse=*/false).contains("running_mean")) continue;
        auto const own = module->named_parameters(/*recurse=*/false);
        bool trained = own.is_empty();
        for (auto const& item : own) trained = trained || item.value().requires_grad();
        if (!trained && module->is_training()) {
          module->train(false);
          kept_.insert(module.get());
        } else if (trained && kept_.erase(module.get()) != 0) {
          module->train(true);
        }
      }
    });
  }

  bool in_epoch_ = false;
  std::unordered_set<void const*> kept_{};  // norms that this callback took out of training mode
};

}  // namespace tacit::inline v0
