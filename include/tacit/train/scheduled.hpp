#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/core/error.hpp"
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
  Scheduled(Core& core, schedule::RunLength run, Fields const&... fields) : core_{core}, rows_{Row<Fields>{core, run, fields}...} {}
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
    Row(Core& core, schedule::RunLength run, Field const& field)
        : row_{[&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<State, Core::phase_count>{State{resolve(field, run, base<I>(core))}...};
          }(std::make_index_sequence<Core::phase_count>{})} {
      if (!field.group.empty()) {
        throw ConfigError{"TACIT-RC87", detail::message({"there is no parameter group '", field.group, "'"}),
                          detail::message({name.view(), " schedule"}), "leave the group out"};
      }
    }

    template <std::size_t I>
    void set(Core& core, UpdateIndex update) {
      if constexpr (applies<I>) {
        State& state = row_[I];
        auto& optimizer = core.template phase<I>().optimizer;
        take_change<I>(optimizer);
        state.written = state.field.value(update);
        write_field<name>(optimizer, state.written);
      }
    }
    void restore(Core& core) {
      [&]<std::size_t... I>(std::index_sequence<I...>) { (restore_one<I>(core), ...); }(std::make_index_sequence<Core::phase_count>{});
    }

   private:
    struct State {
      bound_type field;
      double written = field.base;
    };

    template <std::size_t I>
    static double base(Core& core) {
      if constexpr (applies<I>) {
        return read_field<name>(core.template phase<I>().optimizer);
      } else {
        return 0.0;
      }
    }
    /// Where the curve is at 0 a change cannot be told from it, and counts as the new value.
    template <std::size_t I>
    void take_change(auto& optimizer) {
      State& state = row_[I];
      double const now = read_field<name>(optimizer);
      if (now == state.written) return;
      state.field.base = state.written == 0.0 ? now : state.field.base * (now / state.written);
    }
    template <std::size_t I>
    void restore_one(Core& core) {
      if constexpr (applies<I>) {
        auto& optimizer = core.template phase<I>().optimizer;
        take_change<I>(optimizer);
        write_field<name>(optimizer, row_[I].field.base);
      }
    }

    std::array<State, Core::phase_count> row_;
  };

  Core& core_;
  std::tuple<Row<Fields>...> rows_;
};

/// No schedule costs nothing.
template <class Core>
class Scheduled<Core> {
 public:
  Scheduled(Core&, schedule::RunLength) {}
  template <std::size_t I>
  void set(UpdateIndex) {}
};

}  // namespace tacit::inline v0::detail
