#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/core/units.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/field.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0::optim {

template <class Inner, class Parameters>
class BoundLookahead;

/// Lookahead (Zhang et al., 2019): every `every` updates of the inner optimizer, slow weights take a step of `alpha` towards
/// the fast ones, which go on from there.
/// Example: optim::Lookahead<optim::AdamW>{.inner = {.lr = 1e-3}, .every = 6}
template <class Inner>
struct Lookahead {
  using slot = tacit::slot::optimizer;

  Inner inner{};
  Updates every = 5;
  double alpha = 0.5;

  /// Effects: as the inner recipe's; every parameter gets the slot "slow" besides, a copy of it.
  /// Throws: ConfigError for `every` 0 or alpha outside (0, 1], and what the inner recipe throws.
  template <class Parameters>
  BoundLookahead<Inner, Parameters> bind(Parameters& parameters) const {
    return {*this, parameters};
  }
};

/// `Lookahead` with the state of a set of parameters.
template <class Inner, class Parameters>
class BoundLookahead {
  using tensor_type = typename Parameters::tensor_type;
  using traits = tensor_traits<tensor_type>;
  using inner_type = decltype(std::declval<Inner const&>().bind(std::declval<Parameters&>()));

 public:
  static constexpr bool maskable = inner_type::maskable;

  BoundLookahead(Lookahead<Inner> const& recipe, Parameters& parameters)
      : every_{recipe.every.value()}, alpha_{recipe.alpha}, inner_{recipe.inner.bind(parameters)} {
    if (every_ < 1 || !(alpha_ > 0.0 && alpha_ <= 1.0)) {
      throw ConfigError{"TACIT-RC59", "`every` is 0 or alpha is not a number above 0 and up to 1", "optim::Lookahead", "give .every = 5, .alpha = 0.5 or so"};
    }
    show(parameters);
  }

  /// An update of the inner optimizer, and of the slow weights where it is time.
  /// Effects: a mask that is not 0 leaves parameters and state as they are; the update counts where the mask is on a device.
  void step(Parameters& parameters, update_input<tensor_type> const& input = {}) {
    tensor_type const* mask = input.mask;
    if (mask != nullptr && traits::host_readable(*mask)) {
      if (traits::read(*mask) != 0.0) return;
      mask = nullptr;
    }
    without_slow(parameters, [&] { inner_.step(parameters, update_input<tensor_type>{mask}); });
    if (++updates_ % every_ != 0) return;
    fast_.clear();
    slow_.clear();
    for (auto& parameter : parameters) {
      fast_.push_back(parameter.master);
      slow_.push_back(parameter.slots[own_slots_]);
    }
    if (mask == nullptr) {
      traits::lerp_(slow_, fast_, alpha_);
      traits::copy_(fast_, slow_);
    } else {
      traits::masked_lerp_(slow_, fast_, alpha_, *mask);
      traits::masked_lerp_(fast_, slow_, 1.0, *mask);
    }
    fast_.clear();
    slow_.clear();
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(Parameters& parameters) {
    without_slow(parameters, [&] { inner_.parameters_changed(parameters); });
  }

  /// The fields of the inner optimizer, for schedules.
  template <fixed_string Name>
    requires detail::has_field<Name, inner_type>
  double field(tacit::name<Name>) {
    return detail::read_field<Name>(inner_);
  }
  template <fixed_string Name>
    requires detail::has_field<Name, inner_type>
  void set_field(tacit::name<Name>, double value) {
    detail::write_field<Name>(inner_, value);
  }

  inner_type& inner() noexcept { return inner_; }
  std::int64_t updates() const noexcept { return updates_; }

  static void visit_state(auto& self, auto&& visit) {
    visit("updates", self.updates_);
    if constexpr (visitable_state<inner_type>) visit("inner", self.inner_);
  }
  void state_loaded() noexcept {
    if constexpr (requires(inner_type& inner) { inner.state_loaded(); }) inner_.state_loaded();
  }

 private:
  /// The inner optimizer knows nothing of the last slot, and could take it for one of its own.
  template <class Work>
  void without_slow(Parameters& parameters, Work const& work) {
    hide(parameters);
    try {
      work();
    } catch (...) {
      show(parameters);
      throw;
    }
    show(parameters);
  }
  void hide(Parameters& parameters) {
    hidden_.clear();
    for (auto& parameter : parameters) {
      bool const has = parameter.slots.size() == own_slots_ + 1;
      hidden_.push_back(has ? std::move(parameter.slots.back()) : tensor_type{});
      if (has) parameter.slots.pop_back();
    }
  }
  void show(Parameters& parameters) {
    std::size_t at = 0;
    for (auto& parameter : parameters) {
      own_slots_ = parameter.slots.size();
      bool const has = at < hidden_.size() && traits::defined(hidden_[at]);
      parameter.slots.push_back(has ? std::move(hidden_[at]) : traits::clone(parameter.master));
      ++at;
    }
    hidden_.clear();
    std::vector<std::string> const& names = parameters.slot_names();
    if (names.size() == own_slots_ + 1 && names.back() == "slow") return;
    std::vector<std::string> all{names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), own_slots_))};
    all.emplace_back("slow");
    parameters.set_slot_names(std::move(all));
  }

  std::int64_t every_;
  double alpha_;
  inner_type inner_;
  std::size_t own_slots_ = 0;  // of the inner optimizer, before "slow"
  std::int64_t updates_ = 0;
  std::vector<tensor_type> hidden_{};  // the slow weights while the inner optimizer is at work
  std::vector<tensor_type> fast_{};
  std::vector<tensor_type> slow_{};
};

}  // namespace tacit::inline v0::optim
