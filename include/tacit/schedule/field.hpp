#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/schedule/schedule.hpp"
#include "tacit/version.hpp"

namespace tacit::inline v0 {

namespace detail {
/// What `auto&&` deduces for an rvalue of std::string.
template <class T>
concept ending_string = std::same_as<std::remove_const_t<T>, std::string>;
}  // namespace detail

/// A schedule for one field of an optimizer, in all parameter groups or in the one named `group`.
///
/// The schedule is a factor: the field's value in update u is its configured value times `value(u)`.
template <fixed_string Name, std::size_t N>
struct FieldSchedule {
  static constexpr auto name = Name;
  schedule::Schedule<N> schedule;
  std::string_view group{};  ///< empty: all groups
};

template <fixed_string Name, std::size_t N>
constexpr FieldSchedule<Name, N> field(schedule::Schedule<N> const& schedule, std::string_view group = {}) {
  return {schedule, group};
}
/// The learning rate's schedule: `lr(schedule::warmup(Epochs{1}).then(schedule::cosine()))`.
template <std::size_t N>
constexpr FieldSchedule<"lr", N> lr(schedule::Schedule<N> const& schedule, std::string_view group = {}) {
  return {schedule, group};
}
template <std::size_t N>
constexpr FieldSchedule<"weight_decay", N> weight_decay(schedule::Schedule<N> const& schedule, std::string_view group = {}) {
  return {schedule, group};
}
template <std::size_t N>
constexpr FieldSchedule<"momentum", N> momentum(schedule::Schedule<N> const& schedule, std::string_view group = {}) {
  return {schedule, group};
}

// A group's name is borrowed: that of a std::string which ends with the call would dangle.
template <fixed_string Name, std::size_t N>
void field(schedule::Schedule<N> const& schedule, detail::ending_string auto&& group) = delete;
template <std::size_t N>
void lr(schedule::Schedule<N> const& schedule, detail::ending_string auto&& group) = delete;
template <std::size_t N>
void weight_decay(schedule::Schedule<N> const& schedule, detail::ending_string auto&& group) = delete;
template <std::size_t N>
void momentum(schedule::Schedule<N> const& schedule, detail::ending_string auto&& group) = delete;

/// A field's schedule for one run, with the configured value that its factors refer to.
template <fixed_string Name, std::size_t N>
struct BoundField {
  static constexpr auto name = Name;
  schedule::Bound<N> factor;
  double base;  ///< may be changed between updates, by a plateau for one

  /// The value that update `update` uses.
  constexpr double value(UpdateIndex update) const { return base * factor(update); }
};

/// The field's schedule for a run of this length, over its configured value.
/// Throws: ConfigError where the schedule does not fit, or depends on a length that is not known.
template <fixed_string Name, std::size_t N>
constexpr BoundField<Name, N> resolve(FieldSchedule<Name, N> const& field, schedule::RunLength run, double base) {
  return {schedule::resolve(field.schedule, run), base};
}

namespace detail {

template <class T>
inline constexpr bool is_field_schedule_v = false;
template <fixed_string Name, std::size_t N>
inline constexpr bool is_field_schedule_v<FieldSchedule<Name, N>> = true;

}  // namespace detail

}  // namespace tacit::inline v0
