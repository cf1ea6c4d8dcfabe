#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/task/phase.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/scopes.hpp"

namespace tacit::inline v0::detail {

/// Calls a user's `change(parameters)` or `change(parameters, phase)` for phase I, whose set then knows the tensors of its model.
template <std::size_t I, class Core, class Change>
void change_parameters_of(Core& core, Change& change) {
  auto& parameters = core.template phase<I>().parameters;
  using parameters_type = typename Core::parameters_type;
  auto const known = parameters.know_model(task_model<I>(core.task()));
  if constexpr (std::is_invocable_v<Change&, parameters_type&, PhaseId>) {
    change(parameters, PhaseId{I, phase_name<typename Core::task_type, I>().view()});
  } else if constexpr (std::is_invocable_v<Change&, parameters_type&>) {
    change(parameters);
  } else {
    report(bad<misuse::ET20, Change>{});
  }
}

/// What the phases of a task have in common while a run lasts: the parameters that a phase leaves alone, and a gradient for each
/// phase that trains the same parameter.
///
/// `.grad` of a shared parameter belongs to one phase at a time, the holder; those of the other phases are kept here.
/// Cost: linear in the number of parameters when it is made and after a change; a step pays for what it switches.
template <class Core>
class SharedParameters {
  using tensor_type = typename Core::tensor_type;
  using traits = tensor_traits<tensor_type>;
  static constexpr std::size_t count = Core::phase_count;
  using phases = std::bitset<count>;

 public:
  explicit SharedParameters(Core& core) { find(core); }

  /// While it lives, the graph that is recorded reaches the parameters of phase I, and of no other phase.
  template <std::size_t I>
  PhaseScope<tensor_type> only() {
    return {others_[I], quiet_};
  }

  /// `.grad` of the shared parameters becomes that of phase I. Call it before the phase's forward pass and before its update.
  void hold(std::size_t phase) {
    if (holder_ == phase) return;
    for (Shared& one : shared_) {
      tensor_type& gradient = traits::grad(one.tensor);
      one.gradients[holder_] = std::move(gradient);
      gradient = std::exchange(one.gradients[phase], tensor_type{});
    }
    holder_ = phase;
  }

  /// Calls `change`, which may add parameters to the phases and remove them.
  ///
  /// A phase that keeps a parameter keeps its gradient of the window in work, whatever another phase does with that parameter.
  template <class Change>
  void during_change(Core& core, Change const& change) {
    Kept const kept{*this, core};
    change();
  }
  /// Requires: called by the change, when every phase has its new set.
  void require_own_masters([[maybe_unused]] Core& core) {
    if constexpr (Core::keeps_masters) {
      find(core);
      if (shared_.empty()) return;
      throw ConfigError{"TACIT-RC06", "a parameter is trained by two phases now, and would have two masters", "change_parameters",
                        "train it in one of them, or take a precision without masters, Bf16 say"};
    }
  }

 private:
  struct Shared {
    tensor_type tensor;
    std::array<tensor_type, count> gradients{};
  };

  /// Takes every phase's gradients out of the parameters, and puts them back into those that the phase still trains.
  class Kept {
   public:
    Kept(SharedParameters& shared, Core& core) : shared_{shared}, core_{core} {
      for_each_phase([this](std::size_t phase, auto& parameters) {
        shared_.hold(phase);
        for (auto& parameter : parameters) {
          before_[phase].push_back({parameter.model, std::exchange(traits::grad(parameter.model), tensor_type{}), traits::requires_grad(parameter.model)});
        }
      });
    }
    Kept(Kept const&) = delete;
    Kept& operator=(Kept const&) = delete;
    ~Kept() {
      shared_.find(core_);
      for_each_phase([this](std::size_t phase, auto& parameters) {
        shared_.hold(phase);
        std::unordered_map<void const*, tensor_type*> now;
        for (auto& parameter : parameters) now.emplace(traits::identity(parameter.model), &parameter.model);
        for (Before& one : before_[phase]) {
          auto const found = now.find(traits::identity(one.tensor));
          if (found == now.end()) continue;
          // Another phase may have frozen what this one goes on to train.
          if (one.required_gradient) traits::set_requires_grad(*found->second, true);
          traits::grad(*found->second) = std::move(one.gradient);
        }
      });
    }

   private:
    struct Before {
      tensor_type tensor;
      tensor_type gradient;
      bool required_gradient;
    };
    template <class Visit>
    void for_each_phase(Visit const& visit) {
      [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(I, core_.template phase<I>().parameters), ...); }(std::make_index_sequence<count>{});
    }

    SharedParameters& shared_;
    Core& core_;
    std::array<std::vector<Before>, count> before_{};
  };

  void find(Core& core) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      std::unordered_map<void const*, phases> trained_by;
      (note<I>(core, trained_by), ...);
      shared_.clear();
      (find<I>(core, trained_by), ...);
    }(std::make_index_sequence<count>{});
    holder_ = 0;
  }
  template <std::size_t I>
  void note(Core& core, std::unordered_map<void const*, phases>& trained_by) {
    for (auto const& parameter : core.template phase<I>().parameters) trained_by[traits::identity(parameter.model)].set(I);
    others_[I].clear();
  }
  template <std::size_t I>
  void find(Core& core, std::unordered_map<void const*, phases> const& trained_by) {
    for (auto const& parameter : core.template phase<I>().parameters) {
      phases const by = trained_by.at(traits::identity(parameter.model));
      if ((by << (count - I)).any()) continue;  // an earlier phase has it, too: it is in the lists
      for (std::size_t other = 0; other < count; ++other) {
        if (!by.test(other)) others_[other].push_back(parameter.model);
      }
      if (by.count() > 1) shared_.push_back({parameter.model, {}});
    }
  }

  std::array<std::vector<tensor_type>, count> others_{};  // by phase: what the other phases train, and it does not
  std::vector<Shared> shared_{};
  std::vector<tensor_type> quiet_{};
  std::size_t holder_ = 0;
};

/// Of a task of one phase.
struct nothing_shared {
  explicit constexpr nothing_shared(auto&) noexcept {}
  template <std::size_t>
  static constexpr no_scope only() noexcept {
    return {};
  }
  static constexpr void hold(std::size_t) noexcept {}
  static void during_change(auto&, auto const& change) { change(); }
  static constexpr void require_own_masters(auto&) noexcept {}
};
template <class Core>
using shared_parameters_of = std::conditional_t<(Core::phase_count > 1), SharedParameters<Core>, nothing_shared>;

/// The phases' sets as they are before a change, and which tensors require a gradient. Cost: linear in their number.
template <class Core>
class SetsBefore {
  using tensor_type = typename Core::tensor_type;
  using traits = tensor_traits<tensor_type>;
  using indices = std::make_index_sequence<Core::phase_count>;

 public:
  explicit SetsBefore(Core& core) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (keep<I>(core), ...); }(indices{});
  }
  SetsBefore(SetsBefore const&) = delete;
  SetsBefore& operator=(SetsBefore const&) = delete;

  /// Phases before that one have told their optimizers of the new set, or have begun to.
  void told(std::size_t phase) noexcept { told_ = phase; }
  /// Undoes a change that an exception ended. No collective: the other ranks may not have met it.
  void restore(Core& core) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((core.template phase<I>().parameters = std::move(sets_[I])), ...);
    }(indices{});
    for (Before& one : tensors_) {
      traits::set_requires_grad(one.tensor, one.required_gradient);
    }
    [&]<std::size_t... I>(std::index_sequence<I...>) { (tell<I>(core), ...); }(indices{});
  }

 private:
  struct Before {
    tensor_type tensor;
    bool required_gradient;
  };
  template <std::size_t I>
  void keep(Core& core) {
    sets_[I] = core.template phase<I>().parameters;
    for (auto const& parameter : sets_[I]) keep(parameter.model);
    for (auto&& item : task_model<I>(core.task()).named_parameters()) keep(item.value());
  }
  void keep(tensor_type const& tensor) { tensors_.push_back({tensor, traits::requires_grad(tensor)}); }
  template <std::size_t I>
  void tell(Core& core) {
    auto& phase = core.template phase<I>();
    if (I < told_) phase.optimizer.parameters_changed(phase.parameters);
  }

  std::array<typename Core::parameters_type, Core::phase_count> sets_{};
  std::vector<Before> tensors_{};
  std::size_t told_ = 0;
};

template <std::size_t I, class Core, class Change>
void change_phase(Core& core, Change& change) {
  change_parameters_of<I>(core, change);
  if (core.template phase<I>().parameters.empty()) refuse_no_parameters("context.change_parameters");
}
template <std::size_t I, class Core>
void follow_change(Core& core, SetsBefore<Core>& before) {
  auto& phase = core.template phase<I>();
  if constexpr (!Core::is_single) core.distribution().prepare_parameters(phase.parameters);
  if constexpr (Core::keeps_masters) core.precision().prepare_parameters(phase.parameters);
  before.told(I + 1);
  phase.optimizer.parameters_changed(phase.parameters);
}
/// Calls a user's change for every phase; reducer, masters and optimizer follow. Returns: the number of parameters.
/// A change that ends by an exception is undone in every phase: set and optimizer would not agree.
template <class Core, class Shared, class Change>
std::size_t change_every_phase(Core& core, Shared& shared, Change& change) {
  std::size_t count = 0;
  shared.during_change(core, [&] {
    SetsBefore<Core> before{core};
    try {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (change_phase<I>(core, change), ...);
        shared.require_own_masters(core);
        (follow_change<I>(core, before), ...);
        count = (core.template phase<I>().parameters.size() + ...);
      }(std::make_index_sequence<Core::phase_count>{});
    } catch (...) {
      before.restore(core);
      throw;
    }
  });
  return count;
}

}  // namespace tacit::inline v0::detail
