#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/schedule/field.hpp"
#include "tacit/task/field.hpp"

namespace tacit::inline v0::detail {

/// The schedules of a run over the optimizers of a task's phases.
///
/// A schedule is a factor of what the field is. What others change between updates, a plateau or the user, counts: from
/// then on the curve is that much higher or lower.
template <class Core, class... Fields>
class Scheduled {
 public:
  static constexpr bool empty = false;
  /// Throws: ConfigError for a parameter group that no optimizer has, for two schedules of one field in one group, for
  /// a field that is 0 in all of them, and for values that the field cannot have.
  Scheduled(Core& core, schedule::RunLength run, Fields const&... fields) : core_{core}, rows_{Row<Fields>{core, run, fields}...} {
    std::array<std::pair<std::string_view, std::string_view>, sizeof...(Fields)> const all{{{Fields::name.view(), fields.group}...}};
    for (std::size_t a = 0; a < all.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (all[a].first != all[b].first || !(all[a].second.empty() || all[b].second.empty() || all[a].second == all[b].second)) continue;
        throw ConfigError{"TACIT-RC09", detail::message({"two schedules set '", all[a].first, "' of one parameter group"}), "schedules of a run",
                          "give one to each group, by the group's name"};
      }
    }
  }
  Scheduled(Scheduled const&) = delete;
  Scheduled& operator=(Scheduled const&) = delete;
  /// The configured values are back when the run ends, times what others changed.
  ~Scheduled() {
    std::apply([this](auto&... rows) { (rows.restore(core_), ...); }, rows_);
  }

  /// Update `update` of phase I uses f(update).
  template <std::size_t I>
  void set(UpdateIndex update) {
    std::apply([&](auto&... rows) { (rows.template set<I>(core_, update), ...); }, rows_);
  }

 private:
  template <std::size_t I>
  using optimizer_of = std::remove_reference_t<decltype(std::declval<Core&>().template phase<I>().optimizer)>;

  template <class Field>
  class Row {
    static constexpr auto name = Field::name;
    using bound_type = decltype(resolve(std::declval<Field const&>(), schedule::RunLength{}, 0.0));
    template <std::size_t I>
    static constexpr bool applies = has_field<name, optimizer_of<I>>;

   public:
    Row(Core& core, schedule::RunLength run, Field const& field) : field_{field}, run_{run} {
      bool found = field.group.empty();
      bool is_zero = true;
      bool is_there = false;
      bool may_come = false;
      for_each_phase([&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
        for_each_group(core.template phase<I>().optimizer, [&](std::string_view group, auto& optimizer) {
          states_[I].push_back(begun(optimizer, group));
          found = found || group == field.group;
          if (!is_for(group)) return;
          is_there = true;
          is_zero = is_zero && states_[I].back().field.base == 0.0;
        });
        // Parameters of a group may come within the run.
        found = found || has_group(core.template phase<I>().optimizer, field.group);
        may_come = may_come || has_waiting_group(core.template phase<I>().optimizer);
      });
      if (!found) {
        throw ConfigError{"TACIT-RC87", detail::message({"there is no parameter group '", field.group, "'"}),
                          detail::message({name.view(), " schedule"}), "leave the group out, or give the name of one of optim::Groups"};
      }
      if (is_there && is_zero && !may_come) {
        throw ConfigError{"TACIT-RC145", detail::message({"the schedule multiplies ", name.view(), ", which is 0"}),
                          detail::message({name.view(), " schedule"}),
                          "give the optimizer the value that the schedule is a factor of, or leave the schedule out"};
      }
    }

    template <std::size_t I>
    void set(Core& core, UpdateIndex update) {
      for_each_state<I>(core, [&](State& state, auto& optimizer) {
        take_change(state, optimizer);
        state.written = state.field.value(update);
        write_field<name>(optimizer, state.written);
      });
    }
    void restore(Core& core) noexcept {
      for_each_phase([&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
        std::size_t at = 0;
        for_each_group(core.template phase<I>().optimizer, [&](std::string_view group, auto& optimizer) {
          if (at == states_[I].size()) return;  // it came after the last update
          State& state = states_[I][at++];
          if (!is_for(group)) return;
          take_change(state, optimizer);
          write_field<name>(optimizer, state.field.base);
        });
      });
    }

   private:
    struct State {
      bound_type field;
      double written = field.base;
    };

    /// Calls visit(integral_constant<I>) for each phase whose optimizer has the field.
    template <class Visit>
    static void for_each_phase(Visit const& visit) {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ([&] {
          if constexpr (applies<I>) visit(std::integral_constant<std::size_t, I>{});
        }(), ...);
      }(std::make_index_sequence<Core::phase_count>{});
    }
    /// Calls visit(state, optimizer) for each group of phase I that the schedule is for.
    /// Throws: ConfigError where a group that came within the run has a value that the schedule takes out of its range.
    template <std::size_t I, class Visit>
    void for_each_state(Core& core, Visit const& visit) {
      if constexpr (applies<I>) {
        std::size_t at = 0;
        for_each_group(core.template phase<I>().optimizer, [&](std::string_view group, auto& optimizer) {
          if (at == states_[I].size()) states_[I].push_back(begun(optimizer, group));  // it came within the run
          State& state = states_[I][at++];
          if (is_for(group)) visit(state, optimizer);
        });
      }
    }

    bool is_for(std::string_view group) const { return field_.group.empty() || field_.group == group; }
    State begun(auto& optimizer, std::string_view group) const {
      State state{resolve(field_, run_, read_field<name>(optimizer))};
      if (is_for(group)) require_range(state.field);
      return state;
    }
    /// Throws: ConfigError where the highest value is one that the field cannot have. A curve that grows in a run of
    /// unknown length reaches any momentum; of other fields nothing is known then.
    static void require_range(bound_type const& field) {
      if (field.base == 0.0) return;
      double const most = field.base * field.factor.highest();
      constexpr bool is_momentum = name == fixed_string{"momentum"};
      if (is_momentum ? most < 1.0 : std::isfinite(most) || field.factor.phases().back().is_endless) return;
      throw ConfigError{"TACIT-RC146",
                        message({"the schedule takes ", name.view(), " from ", std::to_string(field.base), " up to ",
                                 std::to_string(most)}),
                        message({name.view(), " schedule"}),
                        is_momentum ? "momentum is below 1: give smaller factors, or clamped(0, highest)"
                                    : "give factors that stay finite, or clamped(0, highest)"};
    }
    /// Where the curve is at 0 a change cannot be told from it, and counts as the new value.
    static void take_change(State& state, auto& optimizer) {
      double const now = read_field<name>(optimizer);
      if (now == state.written) return;
      state.field.base = state.written == 0.0 ? now : state.field.base * (now / state.written);
    }

    Field field_;
    schedule::RunLength run_;
    std::array<std::vector<State>, Core::phase_count> states_{};
  };

  Core& core_;
  std::tuple<Row<Fields>...> rows_;
};

/// No schedule costs nothing.
template <class Core>
class Scheduled<Core> {
 public:
  static constexpr bool empty = true;
  Scheduled(Core&, schedule::RunLength) {}
};

}  // namespace tacit::inline v0::detail
