#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0::optim {

/// What a parameter group is asked about a parameter.
struct ParameterInfo {
  std::string_view name;        ///< dotted, as `named_parameters()` gives it
  std::int64_t dimensions = 0;  ///< 1 for biases and the weights of norms
  std::int64_t elements = 0;
};
using ParameterPredicate = std::function<bool(ParameterInfo const&)>;

/// Parameters of at most one dimension: biases, weights of norms, scales.
inline bool biases_and_norms(ParameterInfo const& parameter) { return parameter.dimensions <= 1; }

/// Parameters whose name begins with `prefix`: `named("head.")`.
inline ParameterPredicate named(std::string prefix) {
  return [prefix = std::move(prefix)](ParameterInfo const& parameter) { return parameter.name.starts_with(prefix); };
}

/// The parameters that `takes` says yes to are updated with `options`.
template <class Recipe>
struct Group {
  std::string name{};
  ParameterPredicate takes{};
  Recipe options{};
  bool may_be_empty = false;  ///< true: all its parameters are frozen at first
};

template <class Recipe, class Parameters>
class BoundGroups;

/// One optimizer with options of their own for groups of parameters; a parameter belongs to the first group that takes it,
/// else to `base`, the group of the name "base".
///
/// Schedules apply to all groups, or to the one they name: `lr(cosine(), "head")`.
/// Example: optim::Groups<optim::AdamW>{.base = {.lr = 1e-3}, .groups = {{"head", optim::named("head."), {.lr = 1e-2}}}}
template <class Recipe>
struct Groups {
  using slot = tacit::slot::optimizer;

  Recipe base{};
  std::vector<Group<Recipe>> groups{};

  /// Effects: as the recipe's; `Parameter::group` becomes the index into `groups`, and their number for `base`.
  /// Throws: ConfigError for no parameters, for a group without name or predicate, for two of one name, for one that
  /// takes no parameter.
  template <class Parameters>
  BoundGroups<Recipe, Parameters> bind(Parameters& parameters) const {
    return {*this, parameters};
  }
};

/// The recipe, but biases and the weights of norms do not decay.
/// Example: optim::no_decay_for_biases_and_norms(optim::AdamW{.lr = 1e-3, .weight_decay = 0.1})
template <class Recipe>
  requires requires(Recipe& recipe) { recipe.weight_decay = 0.0; }
Groups<Recipe> no_decay_for_biases_and_norms(Recipe const& recipe) {
  Recipe without = recipe;
  without.weight_decay = 0.0;
  return {recipe, {{.name = "no_decay", .takes = biases_and_norms, .options = std::move(without)}}};
}

/// Learning rates that shrink by `decay` from each layer to the one before it: the last layer has the recipe's. A layer is
/// the parameters whose name begins with one of `prefixes`, which go from the input to the output; what is of none of them
/// has the recipe's rate.
/// Example: optim::layerwise_rates(optim::AdamW{.lr = 1e-3}, 0.75, {"embed.", "block0.", "block1.", "head."})
template <class Recipe>
  requires requires(Recipe& recipe) { recipe.lr = 0.0; }
Groups<Recipe> layerwise_rates(Recipe const& recipe, double decay, std::vector<std::string> const& prefixes) {
  Groups<Recipe> result{recipe, {}};
  double factor = 1.0;
  for (auto prefix = prefixes.rbegin(); prefix != prefixes.rend(); ++prefix, factor *= decay) {
    Recipe slower = recipe;
    slower.lr *= factor;
    result.groups.push_back({.name = *prefix, .takes = named(*prefix), .options = std::move(slower)});
  }
  return result;
}

/// `Groups` with the state of a set of parameters.
template <class Recipe, class Parameters>
class BoundGroups {
  using tensor_type = typename Parameters::tensor_type;
  using parameter = typename Parameters::parameter;
  using bound_type = decltype(std::declval<Recipe const&>().bind(std::declval<Parameters&>()));

 public:
  static constexpr bool maskable = bound_type::maskable;
  static constexpr bool groups_closures =
      detail::steps_with_closure<bound_type&, Parameters> || detail::groups_closures<bound_type>;

  /// A group's parameters, which share their tensors with the whole set, and the optimizer that updates them.
  struct Part {
    std::string name;
    Parameters parameters;
    bound_type optimizer;
    int group;
  };

  BoundGroups(Groups<Recipe> const& recipe, Parameters& parameters) : recipe_{recipe} {
    check_names();
    for (parameter& one : parameters) one.slots.clear();
    parameters_changed(parameters);
    for (std::size_t g = 0; g < recipe_.groups.size(); ++g) {
      if (recipe_.groups[g].may_be_empty || find(static_cast<int>(g)) != nullptr) continue;
      throw ConfigError{"TACIT-RC07", detail::message({"the group '", recipe_.groups[g].name, "' takes no parameter"}), "optim::Groups",
                        "look at its predicate and those of the groups before it; where it is frozen at first, .may_be_empty = true"};
    }
  }

  /// The groups that have had parameters.
  std::vector<Part>& parts() & noexcept { return parts_; }
  /// Also of one that waits for parameters.
  bool has_group(std::string_view name) const {
    return name == "base" || std::ranges::find(recipe_.groups, name, &Group<Recipe>::name) != recipe_.groups.end();
  }

  /// Whether there is a group that has had no parameter yet.
  bool has_waiting_group() const { return parts_.size() <= recipe_.groups.size(); }

  /// The options of a group, "base" for what no other one took; to be read, and written between updates.
  /// Throws: ConfigError if there is none of that name.
  auto& options(std::string_view group) & {
    for (Part& part : parts_) {
      if (part.name == group) return options_of(part.optimizer);
    }
    throw ConfigError{"TACIT-RC08", detail::message({"there is no parameter group '", group, "'"}), "optim::Groups",
                      "give the name of one of the groups, or \"base\""};
  }

  /// Updates every parameter that has a gradient, group by group.
  /// Throws: ConfigError if parameters came or went without `parameters_changed`.
  void step(Parameters& parameters, update_input<tensor_type> const& input = {})
    requires(!groups_closures && detail::steps<bound_type&, Parameters>)
  {
    take_slots(parameters);
    bool more_slots = false;
    for (Part& part : parts_) {
      if (part.parameters.empty()) continue;
      std::size_t const before = part.parameters.slot_names().size();
      part.optimizer.step(part.parameters, input);
      more_slots |= part.parameters.slot_names().size() != before;
    }
    if (more_slots) give_slots(parameters);
  }

  /// Gives new parameters their group and slots and keeps the others'; to be called as well after state was loaded.
  void parameters_changed(Parameters& parameters) {
    if (parameters.empty()) detail::refuse_no_parameters("optim::Groups");
    std::vector<Parameters> shares(recipe_.groups.size() + 1);
    for (parameter& one : parameters) {
      one.group = static_cast<int>(group_of(one));
      shares[static_cast<std::size_t>(one.group)].adopt(one);
    }
    for (Part& part : parts_) {  // a group may lose all of them
      SlotNames names = part.parameters.all_slot_names();
      part.parameters = Parameters{};
      part.parameters.swap_slot_names(names);
    }
    for (std::size_t g = 0; g < shares.size(); ++g) {
      if (shares[g].empty()) continue;
      if (Part* const part = find(static_cast<int>(g))) {
        SlotNames names = part->parameters.all_slot_names();
        shares[g].swap_slot_names(names);
        part->parameters = std::move(shares[g]);
        part->optimizer.parameters_changed(part->parameters);
      } else {
        bool const base = g == recipe_.groups.size();
        bound_type bound = (base ? recipe_.base : recipe_.groups[g].options).bind(shares[g]);
        parts_.push_back({base ? "base" : recipe_.groups[g].name, std::move(shares[g]), std::move(bound), static_cast<int>(g)});
      }
    }
    give_slots(parameters);
  }

  /// The weights are others now, an average say.
  void weights_replaced(Parameters const&, std::size_t = 0)
    requires requires(bound_type& inner, Parameters const& parameters) { inner.weights_replaced(parameters); }
  {
    for (Part& part : parts_) part.optimizer.weights_replaced(part.parameters);
  }

  void run_begins(Parameters const&) {
    if constexpr (tacit::detail::keeps_weights<bound_type, Parameters>) {
      for (Part& part : parts_) part.optimizer.run_begins(part.parameters);
    }
  }
  void run_ends(Parameters const&) noexcept {
    if constexpr (tacit::detail::keeps_weights<bound_type, Parameters>) {
      for (Part& part : parts_) part.optimizer.run_ends(part.parameters);
    }
  }

  static void visit_state(auto& self, auto&& visit)
    requires visitable_state<bound_type>
  {
    for (auto& part : self.parts_) visit(std::string_view{part.name}, part.optimizer);
  }
  void state_loaded() noexcept {
    if constexpr (requires(bound_type& inner) { inner.state_loaded(); }) {
      for (Part& part : parts_) part.optimizer.state_loaded();
    }
  }

 private:
  static auto& options_of(bound_type& optimizer) {
    if constexpr (requires { optimizer.options; }) {
      return optimizer.options;
    } else {
      return optimizer;
    }
  }

  void check_names() const {
    for (std::size_t g = 0; g < recipe_.groups.size(); ++g) {
      auto const& group = recipe_.groups[g];
      bool good = !group.name.empty() && group.name != "base" && group.takes;
      for (std::size_t other = 0; other < g; ++other) good = good && recipe_.groups[other].name != group.name;
      if (good) continue;
      throw ConfigError{"TACIT-RC03", detail::message({"group ", g, " ('", group.name, "') has no name of its own, or no predicate"}), "optim::Groups",
                        "give each group a predicate and a name that is not \"base\""};
    }
  }

  std::size_t group_of(parameter const& one) const {
    using traits = tensor_traits<tensor_type>;
    ParameterInfo const info{one.name, traits::dimensions(one.model), traits::numel(one.model)};
    std::size_t g = 0;
    while (g < recipe_.groups.size() && !recipe_.groups[g].takes(info)) ++g;
    return g;
  }

  Part* find(int group) {
    for (Part& part : parts_) {
      if (part.group == group) return &part;
    }
    return nullptr;
  }

  /// Calls visit(parameter of the whole set, the same one in its group's).
  template <class Visit>
  void for_each_pair(Parameters& parameters, Visit const& visit) {
    for (Part& part : parts_) {
      auto own = part.parameters.begin();
      for (parameter& whole : parameters) {
        if (whole.group == part.group && own != part.parameters.end()) visit(whole, *own++);
      }
    }
  }

  /// The state of the whole set is what checkpoints see: the groups' tensors, under the names that each group gives.
  void give_slots(Parameters& parameters) {
    SlotNames names;
    bool differ = false;
    names.groups.resize(recipe_.groups.size() + 1);
    for (Part const& part : parts_) {
      std::vector<std::string> const& own = part.parameters.slot_names();
      differ = differ || own != parts_.front().parameters.slot_names();
      if (own.size() > names.all.size()) names.all = own;
      names.groups[static_cast<std::size_t>(part.group)] = own;
    }
    if (!differ) names.groups.clear();
    parameters.swap_slot_names(names);
    for_each_pair(parameters, [](parameter& whole, parameter& own) { whole.slots = own.slots; });
  }
  /// State that somebody put in place of the old goes to the groups, whose optimizers check it.
  void take_slots(Parameters& parameters) {
    std::size_t known = 0;
    for_each_pair(parameters, [&known](parameter& whole, parameter& own) {
      if (!tensor_traits<tensor_type>::same(whole.model, own.model)) return;
      ++known;
      bool same = whole.slots.size() == own.slots.size();
      for (std::size_t s = 0; same && s < own.slots.size(); ++s) same = tensor_traits<tensor_type>::same(whole.slots[s], own.slots[s]);
      if (!same) own.slots = whole.slots;
    });
    std::size_t bound = 0;
    for (Part const& part : parts_) bound += part.parameters.size();
    if (known == bound && known == parameters.size()) return;
    throw ConfigError{"TACIT-RC131",
                      detail::message({"step got ", parameters.size(), " parameters, of which ", known,
                                       " are those of the last binding, which had ", bound}),
                      "optim::Groups", "call parameters_changed() after parameters came or went"};
  }

  Groups<Recipe> recipe_;
  std::vector<Part> parts_{};
};

}  // namespace tacit::inline v0::optim
