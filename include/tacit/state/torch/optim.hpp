#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/state/torch/tensor.hpp"

namespace torch::optim {
class SGD;
struct SGDOptions;
struct SGDParamState;
class Adam;
struct AdamOptions;
struct AdamParamState;
class AdamW;
struct AdamWOptions;
struct AdamWParamState;
class Adagrad;
struct AdagradOptions;
struct AdagradParamState;
class RMSprop;
struct RMSpropOptions;
struct RMSpropParamState;
class LBFGS;
struct LBFGSOptions;
struct LBFGSParamState;
}  // namespace torch::optim

namespace tacit::inline v0 {

/// What an optimizer of `torch::optim` keeps: the types of its options and of its state for a parameter, and visitors of both.
/// Specialise it for an optimizer of your own.
template <class Optimizer>
struct torch_optimizer;

template <>
struct torch_optimizer<torch::optim::SGD> {
  using options = torch::optim::SGDOptions;
  using state = torch::optim::SGDParamState;
  static void visit_options(auto& o, auto&& visit) {
    visit("lr", o.lr());
    visit("momentum", o.momentum());
    visit("dampening", o.dampening());
    visit("weight_decay", o.weight_decay());
    visit("nesterov", o.nesterov());
  }
  static void visit_state(auto& s, auto&& visit) { visit("momentum_buffer", s.momentum_buffer()); }
};

namespace detail {
struct torch_adam_family {
  static void visit_options(auto& o, auto&& visit) {
    visit("lr", o.lr());
    visit("betas", o.betas());
    visit("eps", o.eps());
    visit("weight_decay", o.weight_decay());
    visit("amsgrad", o.amsgrad());
  }
  static void visit_state(auto& s, auto&& visit) {
    visit("step", s.step());
    visit("exp_avg", s.exp_avg());
    visit("exp_avg_sq", s.exp_avg_sq());
    visit("max_exp_avg_sq", s.max_exp_avg_sq());
  }
};
}  // namespace detail

template <>
struct torch_optimizer<torch::optim::Adam> : detail::torch_adam_family {
  using options = torch::optim::AdamOptions;
  using state = torch::optim::AdamParamState;
};
template <>
struct torch_optimizer<torch::optim::AdamW> : detail::torch_adam_family {
  using options = torch::optim::AdamWOptions;
  using state = torch::optim::AdamWParamState;
};

template <>
struct torch_optimizer<torch::optim::Adagrad> {
  using options = torch::optim::AdagradOptions;
  using state = torch::optim::AdagradParamState;
  static void visit_options(auto& o, auto&& visit) {
    visit("lr", o.lr());
    visit("lr_decay", o.lr_decay());
    visit("weight_decay", o.weight_decay());
    visit("initial_accumulator_value", o.initial_accumulator_value());
    visit("eps", o.eps());
  }
  static void visit_state(auto& s, auto&& visit) {
    visit("step", s.step());
    visit("sum", s.sum());
  }
};

template <>
struct torch_optimizer<torch::optim::RMSprop> {
  using options = torch::optim::RMSpropOptions;
  using state = torch::optim::RMSpropParamState;
  static void visit_options(auto& o, auto&& visit) {
    visit("lr", o.lr());
    visit("alpha", o.alpha());
    visit("eps", o.eps());
    visit("weight_decay", o.weight_decay());
    visit("momentum", o.momentum());
    visit("centered", o.centered());
  }
  static void visit_state(auto& s, auto&& visit) {
    visit("step", s.step());
    visit("square_avg", s.square_avg());
    visit("momentum_buffer", s.momentum_buffer());
    visit("grad_avg", s.grad_avg());
  }
};

template <>
struct torch_optimizer<torch::optim::LBFGS> {
  using options = torch::optim::LBFGSOptions;
  using state = torch::optim::LBFGSParamState;
  /// Its tensors have the length of all parameters together, not the shape of one.
  static constexpr bool flat = true;
  static void visit_options(auto& o, auto&& visit) {
    visit("lr", o.lr());
    visit("max_iter", o.max_iter());
    visit("max_eval", o.max_eval());
    visit("tolerance_grad", o.tolerance_grad());
    visit("tolerance_change", o.tolerance_change());
    visit("history_size", o.history_size());
    visit("line_search_fn", o.line_search_fn());
  }
  static void visit_state(auto& s, auto&& visit) {
    visit("func_evals", s.func_evals());
    visit("n_iter", s.n_iter());
    visit("t", s.t());
    visit("prev_loss", s.prev_loss());
    visit("d", s.d());
    visit("H_diag", s.H_diag());
    visit("prev_flat_grad", s.prev_flat_grad());
    visit("old_dirs", s.old_dirs());
    visit("old_stps", s.old_stps());
    visit("ro", s.ro());
    visit("al", s.al());
  }
};

/// An optimizer of `torch::optim` as a part of checkpoints: options of each group, and state by parameter name, which is there
/// from a parameter's first update on. LibTorch's own archives name parameters by position, and are not read.
///
/// Requires: its header included before, <torch/optim/adam.h> say; both arguments outlive this; made anew after parameters
/// or groups were added.
/// Example: TorchOptimizerState state{adam, *net};  save_state(writer, update, {}, model, state);
template <class Optimizer>
class TorchOptimizerState {
  using facts = torch_optimizer<Optimizer>;
  using options_type = typename facts::options;
  using state_type = typename facts::state;

 public:
  static constexpr std::string_view state_name = "optimizer";

  /// The names are those of `named_parameters()` of a module, or of a `ParameterSet`.
  /// Throws: StateError if the optimizer has a parameter that has no name there.
  template <class Names>
  TorchOptimizerState(Optimizer& optimizer, Names& names) : optimizer_{&optimizer} {
    for (auto& group : optimizer.param_groups()) {
      for (at::Tensor const& tensor : group.params()) entries_.push_back({name_of(tensor, names), tensor, nullptr});
    }
  }

  static void visit_state(auto& self, auto&& visit) {
    std::size_t count = 0;
    for (auto& group : self.optimizer_->param_groups()) {
      Options view{static_cast<options_type*>(&group.options())};
      visit(std::string_view{"group" + std::to_string(count++)}, view);
    }
    for (auto& entry : self.entries_) {
      if constexpr (!std::is_const_v<std::remove_reference_t<decltype(self)>>) {
        entry.begin_loading();
        visit(std::string_view{entry.name}, entry.loading);
      } else {
        auto const found = self.optimizer_->state().find(entry.parameter.unsafeGetTensorImpl());
        state_type none;
        State const view{found != self.optimizer_->state().end(), found != self.optimizer_->state().end() ? static_cast<state_type*>(found->second.get()) : &none};
        visit(std::string_view{entry.name}, view);
      }
    }
    if constexpr (!std::is_const_v<std::remove_reference_t<decltype(self)>>) self.optimizer_->state().reserve(self.entries_.size());
  }
  static void state_loaded(auto& self) noexcept {
    for (auto& entry : self.entries_) {
      void* const key = entry.parameter.unsafeGetTensorImpl();
      if (entry.loading.begun) {
        self.optimizer_->state()[key] = std::move(entry.loaded);
      } else {
        self.optimizer_->state().erase(key);
      }
      entry.loaded.reset();
    }
  }

 private:
  struct Options {
    options_type* fields;
    static void visit_state(auto& self, auto&& visit) { facts::visit_options(*self.fields, visit); }
  };
  struct State {
    bool begun = false;
    state_type* fields = nullptr;
    static void visit_state(auto& self, auto&& visit) {
      visit("begun", self.begun);
      facts::visit_state(*self.fields, visit);
    }
  };
  struct Entry {
    std::string name;
    at::Tensor parameter;
    std::unique_ptr<state_type> loaded;  // what is being read, until the optimizer takes it
    State loading{};

    void begin_loading() {
      loaded = std::make_unique<state_type>();
      loading = {false, loaded.get()};
      if constexpr (!requires { facts::flat; }) {
        // Says where tensors are to live, and what shape they have.
        c10::InferenceMode const normal{false};
        facts::visit_state(*loaded, [&](auto&&, auto& field) {
          if constexpr (std::is_same_v<decltype(field), at::Tensor&>) field = at::empty_like(parameter.detach());
        });
      } else if (!parameter.is_cpu()) {
        throw StateError{"TACIT-RS95", "the state of LBFGS comes back on the CPU, its parameters are elsewhere", name, "load before the model is moved"};
      }
    }
  };

  template <class Names>
  static std::string name_of(at::Tensor const& tensor, Names& names) {
    if constexpr (requires { names.named_parameters(); }) {
      auto const all = names.named_parameters();
      for (auto const& item : all) {
        if (item.value().is_same(tensor)) return item.key();
      }
    } else {
      for (auto const& one : names) {
        if (one.master.is_same(tensor)) return one.name;
      }
    }
    throw StateError{"TACIT-RS96", "the optimizer has a parameter that has no name here", "TorchOptimizerState", "give the module, or the set, that it was made for"};
  }

  Optimizer* optimizer_;
  std::vector<Entry> entries_{};
};

}  // namespace tacit::inline v0
