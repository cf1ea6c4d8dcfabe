#pragma once

#include <concepts>
#include <cstddef>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0 {

namespace detail {

/// The index of the first tag that stands in no column.
template <class Columns, class... Tags>
consteval std::size_t first_missing(list<Tags...>) {
  return first_true({!contains_v<Columns, Tags>...});
}
template <class Columns, class... C>
constexpr auto check_watched(list<C...>) {
  constexpr std::size_t at = first_true({(first_missing<Columns>(watched_tags_t<C>{}) < watched_tags_t<C>::size)...});
  if constexpr (at < sizeof...(C)) {
    using callback = type_at_t<at, list<C...>>;
    using tags = watched_tags_t<callback>;
    return refuse<misuse::EM01, type_at_t<first_missing<Columns>(tags{}), tags>, innermost_t<callback>>{};
  } else {
    return sound{};
  }
}

template <class First, class Other>
concept same_name = !std::same_as<First, Other> && First::name == Other::name;
template <class Tag, class... Tags>
constexpr auto check_name_of() {
  constexpr std::size_t at = first_true({same_name<Tag, Tags>...});
  if constexpr (at < sizeof...(Tags)) {
    return refuse<misuse::EM03, Tag, type_at_t<at, list<Tags...>>>{};
  } else {
    return sound{};
  }
}
template <class... Tags>
constexpr auto check_tag_names(list<Tags...>) {
  return first_of<decltype(check_name_of<Tags, Tags...>())...>();
}

/// One column has one writer: the first tag of those that follow which is recorded in a column of `Columns` too.
template <class Columns, class Writer, class... Tags>
constexpr auto check_written(list<Tags...>) {
  constexpr std::size_t at = first_true({contains_v<Columns, Tags>...});
  if constexpr (at < sizeof...(Tags)) {
    return refuse<misuse::EM12, type_at_t<at, list<Tags...>>, Writer>{};
  } else {
    return sound{};
  }
}
template <class Evaluations, class Columns>
constexpr auto check_writers(list<>) {
  return sound{};
}
template <class Evaluations, class Columns, class First, class... Rest>
constexpr auto check_writers(list<First, Rest...>) {
  using own = columns_by<First, Evaluations>;
  using result = decltype(check_written<Columns, innermost_t<First>>(own{}));
  if constexpr (!is_sound_v<result>) {
    return result{};
  } else {
    return check_writers<Evaluations, concat_t<Columns, own>>(list<Rest...>{});
  }
}

/// Evaluations have names of their own: what two record would stand in one column.
template <class Evaluation, class... Others>
inline constexpr std::size_t times_named = (std::size_t{0} + ... + std::size_t{Evaluation::name == Others::name});
template <class Sets, class... Evaluations>
constexpr auto check_evaluations(list<Evaluations...>) {
  constexpr std::size_t at = first_true({(times_named<Evaluations, Evaluations...> > 1)...});
  if constexpr (at < sizeof...(Evaluations)) {
    return refuse<misuse::EM03, type_at_t<at, list<Evaluations...>>, Sets>{};
  } else {
    return sound{};
  }
}
template <class... Evaluations>
consteval std::size_t count_plain(list<Evaluations...>) {
  return (std::size_t{0} + ... + std::size_t{Evaluations::name.empty()});
}
template <class... Tags>
consteval bool any_empty_name(list<Tags...>) {
  return (Tags::name.empty() || ...);
}
template <class... C>
concept names_evaluations_badly = ((requires { typename innermost_t<C>::evaluates_as; } && !states_evaluations<innermost_t<C>>) || ...);

template <class Composition, class... C>
constexpr auto check_metrics(list<C...> pack) {
  using evaluations = typename Composition::evaluations;
  if constexpr (names_evaluations_badly<C...>) {
    return refuse<misuse::EM14, list<C...>>{};
  } else if constexpr (count_plain(evaluations{}) > 1 || any_empty_name(typename Composition::stated_tags{})) {
    return refuse<misuse::EM13, typename Composition::named_eval_sets, typename Composition::stated_tags>{};
  } else {
    return first_of<decltype(check_evaluations<typename Composition::named_eval_sets>(evaluations{})),
                    decltype(check_tag_names(typename Composition::recorded_tags{})),
                    decltype(check_writers<evaluations, loop_tags_t<typename Composition::task>>(pack)),
                    decltype(check_watched<typename Composition::template columns<evaluations>>(pack))>();
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
