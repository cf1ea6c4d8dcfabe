#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <tuple>
#include <type_traits>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"

namespace tacit::inline v0 {

namespace detail {

/// What a check returns: the misuse that it found, or `sound`.
template <misuse N, class Culprit = void, class Detail = void>
using refuse = type<bad<N, Culprit, Detail>>;
using sound = type<bad<misuse::none>>;
template <misuse N, class Culprit>
using refuse_if = std::conditional_t<N == misuse::none, sound, refuse<N, Culprit>>;
template <class T>
inline constexpr bool is_sound_v = std::same_as<T, sound>;

/// The first result that refuses, or `sound`. All are computed: a check that rests on what an earlier one asks for stands
/// in an `if constexpr` behind it.
template <class First = sound, class... Rest>
constexpr auto first_of() {
  if constexpr (sizeof...(Rest) == 0 || !is_sound_v<First>) {
    return First{};
  } else {
    return first_of<Rest...>();
  }
}

/// The index of the first `true`; the number of flags where there is none.
consteval std::size_t first_true(std::initializer_list<bool> flags) {
  std::size_t at = 0;
  for (bool const flag : flags) {
    if (flag) break;
    ++at;
  }
  return at;
}
/// The index of the first number that is not `misuse::none`; N where there is none.
template <std::size_t N>
consteval std::size_t first_fault(std::array<misuse, N> const& numbers) {
  std::size_t at = 0;
  while (at < N && numbers[at] == misuse::none) ++at;
  return at;
}

template <std::size_t I, class... Types>
auto type_at(list<Types...>) -> std::tuple_element_t<I, std::tuple<type<Types>...>>;
template <std::size_t I, class List>
using type_at_t = typename decltype(type_at<I>(List{}))::value;

}  // namespace detail

}  // namespace tacit::inline v0
