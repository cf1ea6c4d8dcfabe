#pragma once

#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/rsub.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/optim/fused_lists.hpp"

namespace tacit::inline v0::optim {

class BoundSgd;

/// Stochastic gradient descent with momentum; numbers as of
/// torch.optim.SGD(fused=True). The unfused one may differ in the last bit.
/// Example: optim::Sgd{.lr = 1e-3, .momentum = 0.9}
struct Sgd {
  using slot = tacit::slot::optimizer;

  double lr = 1e-3;
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
  bool maximize = false;

  /// Effects: every parameter gets the slot "momentum" where momentum is not 0, on its device, in its type and strides,
  /// and the float32 scalar "started" where dampening is not 0 either.
  /// Throws: ConfigError for options out of range, for no parameters, for parameters that cannot be updated.
  BoundSgd bind(ParameterSet& parameters) const;

  static void visit_config(auto& self, auto&& visit) {
    visit("lr", self.lr);
    visit("momentum", self.momentum);
    visit("dampening", self.dampening);
    visit("weight_decay", self.weight_decay);
    visit("nesterov", self.nesterov);
    visit("maximize", self.maximize);
  }
};

/// `Sgd` with the state of a set of parameters.
class BoundSgd : public detail::masked_step<BoundSgd> {
 public:
  /// Read at every step, so that a schedule may change it; not checked again.
  Sgd options;

  BoundSgd(Sgd const& recipe, ParameterSet& parameters) : options{recipe} {
    check();
    for (Parameter& p : parameters) p.slots.clear();
    parameters_changed(parameters);
  }

  /// `step` for a mask that nothing reads on the host, wherever it is.
  /// Cost: dampening with such a mask takes two calls for each parameter until a step without mask has updated it.
  void step_on_device(ParameterSet& parameters, at::Tensor const* mask) {
    at::NoGradGuard const guard;
    if (forms_wanted() > forms_) parameters_changed(parameters);
    bool const damped = options.momentum != 0.0 && options.dampening != 0.0;
    first_.clear();
    lists_.fill(parameters, [&](std::size_t place, at::Tensor const& gradient) {
      if (!damped || started_[place] == start::done) return false;
      first_.emplace_back(place, gradient);
      return true;
    });
    for (auto const& list : lists_.lists()) {
      if (list.gradients().empty()) continue;
      auto const& [tensors, slots] = list.beside_gradients();
      at::TensorList const momenta = options.momentum != 0.0 ? at::TensorList{slots[0]} : at::TensorList{};
      apply(tensors, list.gradients(), momenta, false, lists_.found_inf(mask, list.device()));
    }
    lists_.release();
    for (auto const& [place, gradient] : first_) {
      Parameter& p = *std::next(parameters.begin(), static_cast<std::ptrdiff_t>(place));
      first_update(p, gradient, started_[place], mask);
    }
    first_.clear();
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(ParameterSet& parameters) {
    forms_ = std::max(forms_wanted(), forms_);
    bool const flagged = forms_ == forms.size();
    // A momentum that is older than the flag has begun.
    started_.clear();
    for (Parameter const& p : parameters) {
      started_.push_back(flagged && p.slots.size() != 1 ? start::unknown : start::done);
    }
    lists_.rebuild(parameters, std::span{forms}.first(forms_));
    if (!flagged) return;
    std::size_t place = 0;
    for (Parameter& p : parameters) {
      start& known = started_[place++];
      if (known == start::done) {
        p.slots[1].fill_(1.0);
      } else {
        known = tensor_traits<at::Tensor>::read(p.slots[1]) == 0.0 ? start::due : start::done;
      }
    }
  }

  static void visit_state(auto& self, auto&& visit) { visit("options", self.options); }
  /// Whether the momenta that were put into the slots have begun is in the slots alone.
  void state_loaded() noexcept {
    if (forms_ == forms.size()) std::ranges::fill(started_, start::unknown);
  }

 private:
  enum class start : unsigned char { due, unknown, done };

  static constexpr std::array<detail::slot_form, 2> forms{{{"momentum"}, {"started", true}}};
  static constexpr std::string_view name = "optim::Sgd";

  void check() const {
    using detail::check_option;
    using detail::finite_from_zero;
    check_option(finite_from_zero(options.lr), "TACIT-RC21", name, "lr", options.lr, "a finite number, 0 or more");
    check_option(options.momentum >= 0.0 && options.momentum < 1.0, "TACIT-RC22", name, "momentum", options.momentum,
                 "a number from 0 to below 1");
    check_option(options.dampening >= 0.0 && options.dampening <= 1.0, "TACIT-RC23", name, "dampening",
                 options.dampening, "a number from 0 to 1");
    check_option(finite_from_zero(options.weight_decay), "TACIT-RC24", name, "weight_decay", options.weight_decay,
                 "a finite number, 0 or more");
    if (options.nesterov && (options.momentum == 0.0 || options.dampening != 0.0)) {
      throw ConfigError{
          "TACIT-RC25",
          detail::message({"nesterov with momentum ", detail::printed(options.momentum), " and dampening ", detail::printed(options.dampening)}),
          name, "give a momentum above 0 and no dampening, or leave nesterov out"};
    }
  }

  std::size_t forms_wanted() const {
    if (options.momentum == 0.0) return 0;
    return options.dampening == 0.0 ? 1 : 2;
  }

  void apply(at::TensorList parameters, at::TensorList gradients, at::TensorList momenta, bool first,
             std::optional<at::Tensor> const& found_inf) const {
    at::_fused_sgd_(parameters, gradients, momenta, options.weight_decay, options.momentum, options.lr,
                    options.dampening, options.nesterov, options.maximize, first, std::nullopt, found_inf);
  }

  /// torch starts the momentum with the first gradient, undamped. Whether an update under a mask on the device was the
  /// first one applied is known there alone: both kinds are called then, each masked where the other one is due.
  void first_update(Parameter& p, at::Tensor const& gradient, start& known, at::Tensor const* mask) {
    at::Tensor& started = p.slots[1];
    lists_.mark_changed(p.master);
    if (mask == nullptr && known == start::due) {
      apply(p.master, gradient, p.slots[0], true, std::nullopt);
    } else {
      at::Tensor const off = mask == nullptr ? tensor_traits<at::Tensor>::flag_like(0.0, started)
                                             : *lists_.found_inf(mask, started.device());
      at::Tensor const off_later = at::maximum(off, at::rsub(started, 1.0));
      apply(p.master, gradient, p.slots[0], true, at::maximum(off, started));
      apply(p.master, gradient, p.slots[0], false, off_later);
      at::maximum_out(started, started, at::rsub(off, 1.0));
    }
    if (mask == nullptr) started.fill_(1.0);
    known = mask == nullptr ? start::done : start::unknown;
  }

  detail::fused_lists<1> lists_{name};
  std::size_t forms_ = 0;                                  // how many of `forms` the parameters have
  std::vector<std::pair<std::size_t, at::Tensor>> first_;  // this step's places and gradients for `first_update`
  std::vector<start> started_;  // per parameter: what the host knows of "started"; `done` where there is no such slot
};

inline BoundSgd Sgd::bind(ParameterSet& parameters) const { return BoundSgd{*this, parameters}; }

}  // namespace tacit::inline v0::optim
