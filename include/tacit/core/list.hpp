#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include <boost/hana/basic_tuple.hpp>
#include <boost/hana/type.hpp>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// A list of types.
template <class... Types>
struct list {
  static constexpr std::size_t size = sizeof...(Types);
};

/// A type as a value, for constexpr functions that compute types.
template <class T>
struct type {
  using value = T;
};

namespace detail {

template <class List, class T>
inline constexpr bool contains_v = false;
template <class... Types, class T>
inline constexpr bool contains_v<list<Types...>, T> = (std::same_as<Types, T> || ...);

template <class... Lists>
struct concat;
template <>
struct concat<> {
  using type = list<>;
};
template <class... A>
struct concat<list<A...>> {
  using type = list<A...>;
};
template <class... A, class... B, class... Rest>
struct concat<list<A...>, list<B...>, Rest...> : concat<list<A..., B...>, Rest...> {};
template <class... Lists>
using concat_t = typename concat<Lists...>::type;

template <class Known, class... Types>
constexpr auto without(list<Types...>) {
  return concat_t<std::conditional_t<contains_v<Known, Types>, list<>, list<Types>>...>{};
}
/// The types of a list that are not in `Known`.
template <class Known, class List>
using without_t = decltype(without<Known>(List{}));

template <class T, class... Types>
inline constexpr std::size_t count_v = (std::size_t{0} + ... + std::size_t{std::same_as<T, Types>});

/// Position of T among Types; sizeof...(Types) where it is absent.
template <class T, class... Types>
consteval std::size_t index_of() {
  std::size_t at = 0;
  bool const found = ((std::same_as<T, Types> ? true : (++at, false)) || ...);
  return found ? at : sizeof...(Types);
}

template <class T, template <class...> class Template>
inline constexpr bool is_specialization_v = false;
template <class... Types, template <class...> class Template>
inline constexpr bool is_specialization_v<Template<Types...>, Template> = true;

/// The elements of a list as Hana sees them.
template <class... Types>
constexpr auto to_hana(list<Types...>) {
  return boost::hana::make_basic_tuple(boost::hana::type_c<Types>...);
}

}  // namespace detail
}  // namespace tacit::inline v0
