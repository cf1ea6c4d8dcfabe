#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"

namespace tacit::inline v0 {

/// One parameter as the optimizer, clipping, the reducer and checkpoints see it.
template <class Tensor>
struct basic_parameter {
  std::string name;           ///< dotted, as `named_parameters()` of the phase's model gives it; a tied one's first name
  Tensor model;               ///< what the model computes with
  Tensor master;              ///< what the optimizer updates: the same tensor unless the precision policy keeps masters
  int group = 0;              ///< index into the optimizer's parameter groups
  int owner_rank = 0;         ///< the rank that holds its optimizer state
  std::vector<Tensor> slots;  ///< the optimizer's state, in the order of `basic_parameter_set::slot_names()`
};

/// The names of the optimizer's state tensors: in general, and by parameter group where groups have other ones.
struct SlotNames {
  std::vector<std::string> all;
  std::vector<std::vector<std::string>> groups;
  bool operator==(SlotNames const&) const = default;
};

/// The only list of parameters: optimizer, clipping, reducer, freezing and checkpoints hold views of it.
///
/// Built once when a trainer binds its task and changed by `change_parameters` alone; nothing asks a module
/// for its parameters inside the loop.
template <class Tensor>
class basic_parameter_set {
 public:
  using tensor_type = Tensor;
  using parameter = basic_parameter<Tensor>;

  /// Appends a parameter; from now on it gets gradients.
  /// Throws: ConfigError if the name is taken, or if the tensor is in the set under any name.
  void add(std::string name, Tensor tensor) {
    if (find(name) != nullptr) {
      throw ConfigError{"TACIT-RC02", detail::message({"two parameters are named '", name, "'"}), "ParameterSet", "register each tensor once"};
    }
    if (parameter const* const found = find(tensor)) {
      throw ConfigError{"TACIT-RC120", detail::message({"'", name, "' is the tensor that the set has as '", found->name, "'"}), "ParameterSet::add",
                        "add a tied parameter once; find(tensor) tells whether it is in the set"};
    }
    tensor_traits<Tensor>::clear_grad(tensor);
    tensor_traits<Tensor>::set_requires_grad(tensor, true);
    parameters_.push_back(parameter{std::move(name), tensor, tensor, 0, 0, {}});
  }

  /// Appends a parameter as it is, of another set say, which then shares its tensors. Requires: a name that is not taken.
  void adopt(parameter one) { parameters_.push_back(std::move(one)); }

  /// Forgets the parameter of that name, which gets no gradient any more: it is frozen. True if there was one.
  bool remove(std::string_view name) {
    parameter* const found = find(name);
    if (found == nullptr) return false;
    tensor_traits<Tensor>::clear_grad(found->model);
    tensor_traits<Tensor>::set_requires_grad(found->model, false);
    parameters_.erase(parameters_.begin() + (found - parameters_.data()));
    return true;
  }

  parameter* find(std::string_view name) {
    auto at = std::ranges::find(parameters_, name, &parameter::name);
    return at == parameters_.end() ? nullptr : &*at;
  }
  parameter const* find(std::string_view name) const {
    auto at = std::ranges::find(parameters_, name, &parameter::name);
    return at == parameters_.end() ? nullptr : &*at;
  }

  /// The parameter whose model tensor that is, under whatever name.
  parameter* find(Tensor const& tensor) {
    auto at = std::ranges::find_if(parameters_, [&](parameter const& p) { return tensor_traits<Tensor>::same(p.model, tensor); });
    return at == parameters_.end() ? nullptr : &*at;
  }
  parameter const* find(Tensor const& tensor) const {
    auto at = std::ranges::find_if(parameters_, [&](parameter const& p) { return tensor_traits<Tensor>::same(p.model, tensor); });
    return at == parameters_.end() ? nullptr : &*at;
  }

  /// While the result lives, `name_in_model` answers for that model. `change_parameters` does it for the model of the phase.
  template <class Model>
  [[nodiscard]] auto know_model(Model& model) {
    struct Known {
      explicit Known(basic_parameter_set& set) : set_{set} {}
      Known(Known const&) = delete;
      Known& operator=(Known const&) = delete;
      ~Known() { set_.model_.clear(); set_.knows_model_ = false; }
      basic_parameter_set& set_;
    };
    knows_model_ = true;
    for (auto&& item : model.named_parameters()) model_.push_back(parameter{item.key(), item.value(), item.value(), 0, 0, {}});
    return Known{*this};
  }
  /// The first name of a tensor in the model that the set knows, or `otherwise` where it knows none; empty: the model does not have it.
  std::string name_in_model(Tensor const& tensor, std::string const& otherwise) const {
    if (!knows_model_) return otherwise;
    for (parameter const& one : model_) {
      if (tensor_traits<Tensor>::same(one.model, tensor)) return one.name;
    }
    return {};
  }

  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }
  std::size_t size() const { return parameters_.size(); }
  bool empty() const { return parameters_.empty(); }

  /// The names of the optimizer's state tensors of each parameter, "momentum" say; set by the optimizer when it binds.
  /// Where parameter groups have other options, and with them other state, those of the group that has most.
  std::vector<std::string> const& slot_names() const { return slot_names_.all; }
  void set_slot_names(std::vector<std::string> names) { slot_names_ = {std::move(names), {}}; }
  /// The names of one parameter's.
  std::vector<std::string> const& slot_names(parameter const& one) const {
    auto const group = static_cast<std::size_t>(one.group);
    return group < slot_names_.groups.size() ? slot_names_.groups[group] : slot_names_.all;
  }

  SlotNames const& all_slot_names() const { return slot_names_; }
  void swap_slot_names(SlotNames& names) noexcept { std::swap(slot_names_, names); }

  /// Drops every gradient.
  void clear_gradients() {
    for (parameter& p : parameters_) {
      tensor_traits<Tensor>::clear_grad(p.model);
      if (!tensor_traits<Tensor>::same(p.model, p.master)) tensor_traits<Tensor>::clear_grad(p.master);
    }
  }

 private:
  std::vector<parameter> parameters_;
  std::vector<parameter> model_{};  // all parameters of the phase's model, while they change
  bool knows_model_ = false;
  SlotNames slot_names_{};
};

namespace detail {
[[noreturn, gnu::noinline, gnu::cold]] inline void refuse_no_parameters(std::string_view where) {
  throw ConfigError{"TACIT-RC20", "there are no parameters to update: the model has none, or all of them are frozen",
                    where,
                    "let parameters require gradients (freezer.unfreeze), or register the layers (register_module, "
                    "register_parameter)"};
}
}  // namespace detail

/// The parameters of a model that require a gradient, each once: a tied one under its first name.
/// Requires: `named_parameters()` as LibTorch's modules have it.
/// Example: auto parameters = parameters_of(*net);
template <class Model>
auto parameters_of(Model& model) {
  auto all = model.named_parameters();
  using Tensor = std::remove_cvref_t<decltype(all.begin()->value())>;
  basic_parameter_set<Tensor> parameters;
  for (auto& item : all) {
    Tensor& tensor = item.value();
    bool known = !tensor_traits<Tensor>::requires_grad(tensor);
    for (auto const& parameter : parameters) known = known || tensor_traits<Tensor>::same(parameter.model, tensor);
    if (!known) parameters.add(item.key(), tensor);
  }
  return parameters;
}

}  // namespace tacit::inline v0
