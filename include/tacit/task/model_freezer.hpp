#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0 {

/// Some parameters of a model that are frozen together.
///
/// By `LayersBy::child` a direct child with all that is in it; by `LayersBy::module` one module alone, its children not included.
/// The model's own parameters, where it has any, are one without a name.
struct LayerGroup {
  std::int64_t index = 0;     ///< from the first, 0
  std::int64_t from_end = 0;  ///< the same from the last, -1
  std::string name{};
  std::int64_t parameters = 0;  ///< tensors
  bool is_frozen = false;       ///< none of them gets a gradient
};

/// What a layer group is: a direct child of the model, or every module that owns parameters, however deep.
enum class LayersBy { child, module };

struct FreezeOptions {
  LayersBy by = LayersBy::child;
  bool batch_norms = false;  ///< true: their scales and shifts are frozen too
};

/// Freezes and unfreezes the layer groups of a model, as fine-tuning does.
///
/// Every parameter is in one group, also those that a module with children owns itself. Batch norms stay as they are unless
/// asked for; `KeepFrozenNorms` keeps those that are frozen in evaluation mode in a run. The model must outlive the freezer.
/// Example: ModelFreezer freezer{*net};
///          freezer.freeze();                                      // all groups but the last: before the trainer is made
///          context.change_parameters([&](auto& all) { freezer.unfreeze(all, -2, -1); });  // in a callback, later
template <class Model>
class ModelFreezer {
 public:
  explicit ModelFreezer(Model& model, FreezeOptions options = {}) : model_{model} {
    auto const items = model.named_parameters();
    std::vector<std::string> names{""};
    if (options.by == LayersBy::child) {
      for (auto const& child : model.named_children()) names.push_back(child.key());
    } else {
      // Parents come before their children, and a parameter belongs to the last module on its way.
      for (auto const& module : model.named_modules("", /*include_self=*/false)) names.push_back(module.key());
    }
    for (std::string const& name : names) groups_.push_back({name, {}});
    for (auto const& item : items) {
      std::size_t owner = 0;
      for (std::size_t i = 1; i < names.size(); ++i) {
        if (is_in(item.key(), names[i])) owner = i;
      }
      groups_[owner].names.push_back(item.key());
    }
    bool const by_module = options.by == LayersBy::module;
    std::erase_if(groups_, [&](Group const& group) { return group.names.empty() && (by_module || group.name.empty()); });
    if (!options.batch_norms) exempt_ = batch_norm_parameters();
  }

  std::vector<LayerGroup> groups() const {
    std::unordered_set<std::string> trained;
    for (auto const& item : model_.named_parameters()) {
      if (traits::requires_grad(item.value())) trained.insert(item.key());
    }
    std::vector<LayerGroup> result;
    auto const count = static_cast<std::int64_t>(groups_.size());
    for (std::int64_t i = 0; i < count; ++i) {
      Group const& group = groups_[static_cast<std::size_t>(i)];
      bool const frozen = std::ranges::none_of(group.names, [&](std::string const& name) { return trained.contains(name); });
      result.push_back({i, i - count, group.name, static_cast<std::int64_t>(group.names.size()), frozen});
    }
    return result;
  }

  /// The index of the group of this name, `freezer.index("body.conv1")`. Throws: ConfigError where there is none.
  std::int64_t index(std::string_view name) const {
    auto const at = std::ranges::find(groups_, name, &Group::name);
    if (at != groups_.end()) return at - groups_.begin();
    std::string known;
    for (Group const& group : groups_) known.append(known.empty() ? "" : ", ").append(group.name.empty() ? "\"\"" : group.name);
    throw ConfigError{"TACIT-RC58", detail::message({"there is no layer group '", name, "'"}), "ModelFreezer::index", "they are " + known};
  }

  /// The groups from `first` to `last` get no gradients any more; negative numbers count from the end, in either order.
  /// A tied parameter is frozen as a whole, also where the group has only one of its names.
  /// Returns the names of the parameters that changed.
  /// Requires: no trainer of this model yet: a trainer has the parameters that it found when it was made. In a run give it the
  /// run's parameters, see below.
  /// Throws: ConfigError for an index that the model does not have.
  std::vector<std::string> freeze(std::int64_t first = 0, std::int64_t last = -2) { return set(first, last, false); }
  std::vector<std::string> unfreeze(std::int64_t first = 0, std::int64_t last = -1) { return set(first, last, true); }

  /// The same for the parameters of a run, within `context.change_parameters`; what stays keeps its optimizer state.
  ///
  /// Only tensors of the freezer's model change, and a phase gets only those that its own model has: `change_parameters` may call it
  /// for every phase. Returns their names in the set.
  template <class Parameters>
    requires(!std::integral<Parameters>)
  std::vector<std::string> freeze(Parameters& parameters, std::int64_t first = 0, std::int64_t last = -2) {
    std::vector<std::string> changed;
    for (Named const& one : chosen(first, last)) {
      auto const* const found = std::as_const(parameters).find(one.tensor);
      if (found == nullptr) continue;
      changed.push_back(found->name);
      parameters.remove(changed.back());
    }
    return changed;
  }
  template <class Parameters>
    requires(!std::integral<Parameters>)
  std::vector<std::string> unfreeze(Parameters& parameters, std::int64_t first = 0, std::int64_t last = -1) {
    std::vector<std::string> changed;
    for (Named const& one : chosen(first, last)) {
      if (std::as_const(parameters).find(one.tensor) != nullptr) continue;
      std::string name = parameters.name_in_model(one.tensor, one.name);
      if (name.empty()) continue;  // of another phase
      parameters.add(name, one.tensor);
      changed.push_back(std::move(name));
    }
    return changed;
  }

 private:
  using tensor_type = std::remove_cvref_t<decltype(std::declval<Model&>().named_parameters().begin()->value())>;
  using traits = tensor_traits<tensor_type>;

  struct Named {
    std::string name;
    tensor_type tensor;
  };
  struct Group {
    std::string name{};
    std::vector<std::string> names{};
  };

  static bool is_in(std::string_view parameter, std::string_view module) {
    return parameter.size() > module.size() && parameter.starts_with(module) && parameter[module.size()] == '.';
  }
  static bool has(std::vector<std::string> const& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

  std::vector<std::string> batch_norm_parameters() const {
    std::vector<std::string> names;
    auto const look = [&names](std::string const& prefix, auto const& module) {
      if (!module.named_buffers(/*recurse=*/false).contains("running_mean")) return;
      for (auto const& item : module.named_parameters(/*recurse=*/false)) names.push_back(prefix + item.key());
    };
    look("", model_);
    // The model itself may be in no shared_ptr, and is then not to be had by name.
    for (auto const& module : model_.named_modules("", /*include_self=*/false)) look(module.key() + ".", *module.value());
    return names;
  }

  std::int64_t place(std::int64_t index) const {
    auto const count = static_cast<std::int64_t>(groups_.size());
    if (index < -count || index >= count) {
      throw ConfigError{"TACIT-RC58", detail::message({"there is no layer group ", index, " among ", count}), "ModelFreezer",
                        "give an index from 0, or from the end from -1; groups() lists them"};
    }
    return index < 0 ? index + count : index;
  }

  /// The parameters of these groups that may be frozen, each tensor once.
  std::vector<Named> chosen(std::int64_t first, std::int64_t last) const {
    auto const [from, to] = std::minmax({place(first), place(last)});
    std::unordered_set<std::string_view> names;
    for (std::int64_t i = from; i <= to; ++i) names.insert(groups_[static_cast<std::size_t>(i)].names.begin(), groups_[static_cast<std::size_t>(i)].names.end());
    std::unordered_set<void const*> taken;
    auto const all = model_.named_parameters();
    for (auto const& item : all) {
      if (has(exempt_, item.key())) taken.insert(traits::identity(item.value()));
    }
    std::vector<Named> result;
    for (auto const& item : all) {
      if (names.contains(item.key()) && taken.insert(traits::identity(item.value())).second) result.push_back({item.key(), item.value()});
    }
    return result;
  }

  std::vector<std::string> set(std::int64_t first, std::int64_t last, bool trained) {
    std::vector<std::string> changed;
    for (Named& one : chosen(first, last)) {
      if (traits::requires_grad(one.tensor) == trained) continue;
      traits::set_requires_grad(one.tensor, trained);
      if (!trained) traits::clear_grad(one.tensor);
      changed.push_back(std::move(one.name));
    }
    return changed;
  }

  Model& model_;
  std::vector<Group> groups_{};
  std::vector<std::string> exempt_{};  // batch norms' parameters, where those are left alone
};

}  // namespace tacit::inline v0
