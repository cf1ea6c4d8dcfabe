#pragma once

#include "tacit/events/events.hpp"

namespace tacit::inline v0 {

/// Batch norms whose parameters are all frozen stay in evaluation mode while the model trains: their running statistics do
/// not move.
/// Requires: a model of LibTorch's modules.
struct KeepFrozenNorms {
  using events = event::list<event::TrainEpochStart, event::ParametersChanged>;

  void on(event::TrainEpochStart const&, auto& context) const { set(context.trainer().model(), true); }
  void on(event::ParametersChanged const&, auto& context) const { set(context.trainer().model(), context.trainer().model().is_training()); }

  static void visit_config(auto&, auto&&) {}

 private:
  static void set(auto& model, bool training) {
    for (auto& module : model.modules()) {
      if (!module->named_buffers(/*recurse=*/false).contains("running_mean")) continue;
      auto const own = module->named_parameters(/*recurse=*/false);
      bool trained = own.is_empty();
      for (auto const& item : own) trained = trained || item.value().requires_grad();
      module->train(training && trained);
    }
  }
};

}  // namespace tacit::inline v0
