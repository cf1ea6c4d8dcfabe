#pragma once

#include <concepts>
#include <ranges>
#include <tuple>
#include <type_traits>

namespace tacit::inline v0::detail {

/// Converts to each base class of T.
template <class T>
struct any_base {
  any_base(any_base const&) = delete;
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::same_as<B, T>)
  operator B() const;
};
/// Converts to nothing.
struct not_a_base {
  not_a_base(not_a_base const&) = delete;
};

/// An aggregate with a base class: Boost.PFR cannot visit its fields. A base is initialised as a member is, before all
/// members.
template <class T>
concept has_base = std::is_aggregate_v<T> && requires(any_base<T> const& base) { T{base}; } &&
                   !requires(not_a_base const& other) { T{other}; };

template <class T>
concept tuple_like = requires { std::tuple_size<T>::value; } && !std::ranges::range<T>;

/// A struct whose fields Boost.PFR can visit.
template <class T>
concept plain_struct = std::is_class_v<T> && std::is_aggregate_v<T> && !tuple_like<T> && !std::ranges::range<T> &&
                       !has_base<T>;

}  // namespace tacit::inline v0::detail
