#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
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
  static constexpr bool takes_closure = detail::steps_with_closure<inner_type&, Parameters>;
  static constexpr bool groups_closures = detail::groups_closures<inner_type>;

  BoundLookahead(Lookahead<Inner> const& recipe, Parameters& parameters)
      : every_{recipe.every.value_or(0)}, alpha_{recipe.alpha}, inner_{bound_inner(recipe, parameters)} {
    if (every_ < 1 || !(alpha_ > 0.0 && alpha_ <= 1.0)) {
      throw ConfigError{"TACIT-RC59", "`every` is 0 or alpha is not a number above 0 and up to 1", "optim::Lookahead", "give .every = 5, .alpha = 0.5 or so"};
    }
    hidden_.assign(parameters.size(), tensor_type{});
    show(parameters);
  }

  /// An update of the inner optimizer, and of the slow weights where it is time.
  /// Effects: a mask that is not 0 leaves parameters and state as they are, and does not count.
  /// Cost: once a mask was on a device, updates are counted there; the slow weights' step is then computed at every
  /// update, and left out on the device where it is not due.
  void step(Parameters& parameters, update_input<tensor_type> const& input = {})
    requires detail::steps<inner_type&, Parameters>
  {
    tensor_type const* mask = input.mask;
    if (mask != nullptr && traits::host_readable(*mask)) {
      if (traits::read(*mask) != 0.0) return;
      mask = nullptr;
    }
    if (updates_ == 0) start_slow(parameters, 0);  // weights may have been loaded since the optimizer was bound
    without_slow(parameters, [&] { inner_.step(parameters, update_input<tensor_type>{mask}); });
    count(parameters, mask);
  }

  /// The same where the inner optimizer computes the loss several times in an update.
  template <class Closure>
    requires takes_closure && requires(Closure const& closure) { { closure() } -> std::same_as<tensor_type>; }
  void step(Parameters& parameters, Closure const& closure) {
    if (updates_ == 0) start_slow(parameters, 0);
    without_slow(parameters, [&] { inner_.step(parameters, closure); });
    count(parameters, nullptr);
  }

  /// Gives new parameters their slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(Parameters& parameters) {
    without_slow(parameters, [&] { inner_.parameters_changed(parameters); });
  }

  /// The weights are others now, an average say: slow weights start from them, those of inner optimizers too.
  void weights_replaced(Parameters const& parameters, std::size_t above = 0) {
    start_slow(parameters, above);
    if constexpr (requires { inner_.weights_replaced(parameters, above + 1); }) {
      inner_.weights_replaced(parameters, above + 1);
    }
  }

  /// A run begins. Where the weights are not those that the last run left, others were loaded, and slow weights start
  /// from them.
  void run_begins(Parameters const& parameters) {
    if (left_ && !are_left(parameters)) weights_replaced(parameters);
    left_.reset();
  }
  void run_ends(Parameters const& parameters) noexcept {
    try {
      leave(parameters);
    } catch (std::exception const&) {
      left_.reset();  // no memory for the copy: the next run goes on from the slow weights
    }
  }

  /// The inner optimizer: its fields and groups are this one's, for schedules.
  inner_type& inner() & noexcept { return inner_; }
  /// Updates so far, as far as the host knows: those that a mask on a device left out count.
  std::int64_t updates() const noexcept { return updates_; }

  static void visit_state(auto& self, auto&& visit)
    requires visitable_state<inner_type>
  {
    if constexpr (std::is_const_v<std::remove_reference_t<decltype(self)>>) {
      // Only how many there were since the slow weights' last step matters.
      bool const on_device = traits::defined(self.counted_);
      std::int64_t const updates = on_device ? static_cast<std::int64_t>(traits::read(self.counted_)) : self.updates_;
      visit("updates", updates);
    } else {
      visit("updates", self.updates_);
    }
    visit("inner", self.inner_);
  }
  void state_loaded() noexcept {
    counted_ = tensor_type{};
    left_.reset();  // slow weights came with the others
    if constexpr (requires(inner_type& inner) { inner.state_loaded(); }) inner_.state_loaded();
  }

 private:
  static inner_type bound_inner(Lookahead<Inner> const& recipe, Parameters& parameters) {
    for (auto& parameter : parameters) parameter.slots.clear();
    parameters.set_slot_names({});
    return recipe.inner.bind(parameters);
  }

  /// Keeps the weights as they are now.
  void leave(Parameters const& parameters) {
    left_.emplace();
    for (auto const& parameter : parameters) left_->push_back(traits::clone(parameter.model));
  }
  bool are_left(Parameters const& parameters) const {
    return std::ranges::equal(parameters, *left_, [](auto const& parameter, tensor_type const& left) {
      return traits::equal(parameter.model, left);
    });
  }

  /// Slow weights take the weights over; `above` wrappers have slots after this one's.
  void start_slow(Parameters const& parameters, std::size_t above) {
    for (auto const& parameter : parameters) {
      if (parameter.slots.size() <= above) continue;  // it came without `parameters_changed`
      fast_.push_back(parameter.master);
      slow_.push_back(parameter.slots[parameter.slots.size() - 1 - above]);
    }
    traits::copy_(slow_, fast_);
    fast_.clear();
    slow_.clear();
  }

  void count(Parameters& parameters, tensor_type const* mask) {
    std::int64_t const before = updates_++ % every_;
    if (mask == nullptr && !traits::defined(counted_)) {
      if (before + 1 == every_) {
        list(parameters);
        traits::lerp_(slow_, fast_, alpha_);
        traits::copy_(fast_, slow_);
      }
    } else {
      if (!traits::defined(counted_)) counted_ = traits::flag_like(static_cast<double>(before), *mask);
      std::vector<tensor_type> now{traits::clone(counted_)};  // not in place: a copy of this optimizer has the old one
      std::vector<tensor_type> const next{plus(counted_, 1.0)};
      if (mask == nullptr) {
        traits::copy_(now, next);
      } else {
        traits::masked_lerp_(now, next, 1.0, *mask);
      }
      tensor_type const is_early = plus(now.front(), -static_cast<double>(every_));  // 0 where the step is due
      list(parameters);
      traits::masked_lerp_(slow_, fast_, alpha_, is_early);
      traits::masked_lerp_(fast_, slow_, 1.0, is_early);
      traits::masked_lerp_(now, {traits::flag_like(0.0, counted_)}, 1.0, is_early);
      counted_ = std::move(now.front());
    }
    fast_.clear();
    slow_.clear();
  }
  static tensor_type plus(tensor_type const& number, double more) {
    tensor_type sum = traits::clone(number);
    traits::add_(sum, traits::flag_like(1.0, number), more);
    return sum;
  }
  void list(Parameters& parameters) {
    for (auto& parameter : parameters) {
      fast_.push_back(parameter.master);
      slow_.push_back(parameter.slots.back());
    }
  }

  /// Each parameter's slow weight is the last of its slots, of however many: groups may have other options. The inner
  /// optimizer knows nothing of it, and could take it for one of its own.
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
      bool const is_new = parameter.slots.empty();
      hidden_.push_back(is_new ? tensor_type{} : std::move(parameter.slots.back()));
      if (!is_new) parameter.slots.pop_back();
    }
    parameters.swap_slot_names(names_);
  }
  void show(Parameters& parameters) {
    auto slow = hidden_.begin();
    for (auto& parameter : parameters) {
      bool const fits = traits::defined(*slow) && traits::numel(*slow) == traits::numel(parameter.master);
      parameter.slots.push_back(fits ? std::move(*slow) : traits::clone(parameter.master));
      ++slow;
    }
    hidden_.clear();
    if (!names_.all.empty() && parameters.all_slot_names() == inner_names_) return parameters.swap_slot_names(names_);
    inner_names_ = parameters.all_slot_names();
    names_ = inner_names_;
    SlotNames all = inner_names_;
    add_name(all.all);
    for (auto& names : all.groups) add_name(names);
    parameters.swap_slot_names(all);
  }
  /// Slow weights of slow weights have another name.
  static void add_name(std::vector<std::string>& names) {
    std::string name = "slow";
    while (std::ranges::find(names, name) != names.end()) name.insert(0, "outer_");
    names.push_back(std::move(name));
  }

  std::int64_t every_;
  double alpha_;
  inner_type inner_;
  std::int64_t updates_ = 0;
  std::optional<std::vector<tensor_type>> left_{};  // the weights that the last run left; none within a run
  tensor_type counted_{};  // updates since the slow weights' last step, on the device, once a mask was there
  SlotNames names_{};      // those that the set does not show: the inner optimizer's, or all while it is at work
  SlotNames inner_names_{};
  std::vector<tensor_type> hidden_{};  // the slow weights while the inner optimizer is at work
  std::vector<tensor_type> fast_{};
  std::vector<tensor_type> slow_{};
};

}  // namespace tacit::inline v0::optim
