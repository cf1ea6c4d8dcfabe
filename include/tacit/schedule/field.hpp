#pragma once

#include <cstddef>
#include <string_view>

#include "tacit/core/fixed_string.hpp"
#include "tacit/schedule/schedule.hpp"
#include "tacit/version.hpp"

namespace tacit::inline v0 {

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

namespace detail {

template <class T>
inline constexpr bool is_field_schedule_v = false;
template <fixed_string Name, std::size_t N>
inline constexpr bool is_field_schedule_v<FieldSchedule<Name, N>> = true;

}  // namespace detail

}  // namespace tacit::inline v0
