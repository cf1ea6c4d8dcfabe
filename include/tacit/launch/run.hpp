#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <boost/hana/at.hpp>
#include <boost/hana/bool.hpp>
#include <boost/hana/cartesian_product.hpp>
#include <boost/hana/filter.hpp>
#include <boost/hana/length.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>
#include <boost/hana/unpack.hpp>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/launch/arguments.hpp"
#include "tacit/policy/compatibility.hpp"

namespace tacit::inline v0 {

/// The policies of one slot among which the command line chooses; the first allowed one where it does not.
template <class... Policies>
struct choices {};

/// Given to `run`: more than 8 compositions are meant.
struct allow_many_t {};
inline constexpr allow_many_t allow_many{};

namespace detail {

template <class T>
inline constexpr bool is_choices_v = is_specialization_v<T, choices>;

/// The policies of a `choices` as Hana types.
template <class... Policies>
constexpr auto policies_of(choices<Policies...>) {
  return boost::hana::tuple_t<Policies...>;
}

template <class Policy, class... All>
inline constexpr bool compatible_with_all = (compatible<Policy, All> && ...);
struct allowed_combination {
  template <class Combination>
  constexpr auto operator()(Combination const& combination) const {
    return boost::hana::unpack(combination, [](auto... policy) {
      return boost::hana::bool_c<(
          compatible_with_all<typename decltype(policy)::type, typename decltype(policy)::type...> && ...)>;
    });
  }
};

/// Every combination of the choices in which no policy excludes another, as a tuple of tuples of types.
template <class... Choices>
constexpr auto combinations(list<Choices...>) {
  return boost::hana::filter(boost::hana::cartesian_product(boost::hana::make_tuple(policies_of(Choices{})...)),
                             allowed_combination{});
}
template <class Lists>
using combinations_t = decltype(combinations(Lists{}));
template <class Lists>
inline constexpr std::size_t combination_count =
    decltype(boost::hana::length(std::declval<combinations_t<Lists>>()))::value;

template <class Combination>
struct policies_in;
template <class... Types>
struct policies_in<boost::hana::tuple<Types...>> {
  using type = list<typename Types::type...>;
};
template <class Lists, std::size_t I>
using combination_t = typename policies_in<
    std::remove_cvref_t<decltype(boost::hana::at_c<I>(std::declval<combinations_t<Lists> const&>()))>>::type;

/// The `choices` among the arguments of `run`.
template <class... A>
using choices_among_t = concat_t<std::conditional_t<is_choices_v<A>, list<A>, list<>>...>;

/// The option that chooses for a slot.
template <class Slot>
constexpr std::string_view option_of() {
  if constexpr (std::same_as<Slot, slot::device>) {
    return "device";
  } else if constexpr (std::same_as<Slot, slot::precision>) {
    return "precision";
  } else {
    return "distribution";
  }
}
template <class First, class... Rest>
constexpr std::string_view option_of(choices<First, Rest...>) {
  return option_of<slot_of_t<First>>();
}

/// How the command line calls a policy: its type's name in lower case, without namespaces.
template <class Policy>
std::string choice_name() {
  std::string name = type_name<Policy>();
  if (std::size_t const scope = name.rfind("::", name.find('<')); scope != std::string::npos) name.erase(0, scope + 2);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}
template <class... Policies>
std::string choice_names(list<Policies...>) {
  std::string names;
  (names.append(names.empty() ? "" : " ").append(choice_name<Policies>()), ...);
  return names;
}
template <class First, class... Rest>
launch::Option option_for(choices<First, Rest...> all) {
  std::string names = choice_name<First>();
  (names.append(", ").append(choice_name<Rest>()), ...);
  return {std::string{option_of(all)}, "NAME", "one of " + names};
}
inline launch::Option option_for(choices<>) { return {}; }

/// A policy that is made from the text that names it.
template <class Policy>
concept parses_text = requires(std::string_view text) {
  { Policy::parse(text) } -> std::same_as<Policy>;
};

/// "cuda:1" is the policy "cuda" with a parameter, if the policy reads one. No text names every policy.
template <class Policy>
bool is_named(std::string_view text) {
  if (text.empty() || text == choice_name<Policy>()) return true;
  return parses_text<Policy> && text.starts_with(choice_name<Policy>() + ":");
}
template <class Policy>
Policy make_choice(std::string_view text) {
  if constexpr (parses_text<Policy>) {
    if (!text.empty()) return Policy::parse(text);
  }
  return Policy{};
}

template <class Lists, std::size_t... I>
std::string combination_names(std::index_sequence<I...>) {
  std::string names;
  (names.append(I == 0 ? "" : ", ").append(choice_names(combination_t<Lists, I>{})), ...);
  return names;
}

/// Calls the body for the first combination that the texts name.
template <class Lists, std::size_t I, class Result, class Body, std::size_t Size>
Result run_combination(std::array<std::string, Size> const& texts, std::string const& asked, Sink const& sink,
                       Body& body) {
  constexpr std::size_t count = combination_count<Lists>;
  if constexpr (I == count) {
    throw ConfigError{"TACIT-RX11", tacit::detail::message({"no composition is made for", asked}), "command line",
                      tacit::detail::message({"the compositions are ", combination_names<Lists>(std::make_index_sequence<count>{})})};
  } else {
    return [&]<class... Policies, std::size_t... J>(list<Policies...> policies, std::index_sequence<J...>) -> Result {
      if (!(is_named<Policies>(texts[J]) && ...)) {
        return run_combination<Lists, I + 1, Result>(texts, asked, sink, body);
      }
      sink.write("[tacit] run: " + choice_names(policies) + ", composition " + std::to_string(I + 1) + " of " +
                 std::to_string(count) + "\n");
      return body(make_choice<Policies>(texts[J])...);
    }(combination_t<Lists, I>{}, std::make_index_sequence<Size>{});
  }
}

/// What a refused `run` gives, so that the refusal stays the only error.
struct refused_result {
  template <class T>
  operator T() const;
};

template <class Body, class... Policies>
auto result_of(list<Policies...>) -> decltype(std::declval<Body&>()(std::declval<Policies>()...));

template <class... Choices, class... A>
decltype(auto) run_choices(list<Choices...> lists, launch::Arguments const& arguments, A&... rest) {
  using all = list<Choices...>;
  constexpr std::size_t count = combination_count<all>;
  if constexpr (count == 0) {
    report(bad<misuse::ER02, all>{});
    return refused_result{};
  } else if constexpr (count > 8 && !contains_v<list<std::remove_cv_t<A>...>, allow_many_t>) {
    report(bad<misuse::ER01, all>{});
    return refused_result{};
  } else {
    static_cast<void>(lists);
    auto const every = std::tie(rest...);
    auto& body = std::get<sizeof...(A) - 1>(every);
    using result = decltype(result_of<std::remove_reference_t<decltype(body)>>(combination_t<all, 0>{}));
    launch::detail::refuse_unanswered_help(arguments);
    for (std::string const& option : arguments.given_for_policies()) {
      if (((option == option_of(Choices{})) || ...)) continue;
      std::string const chosen_by = (... + ("--" + std::string{option_of(Choices{})} + " "));
      throw ConfigError{
          "TACIT-RX13", tacit::detail::message({"--", option, " is given, but `run` chooses by ", chosen_by, "alone"}),
          "command line",
          tacit::detail::message({"leave it out, or list \"", option,
                                  "\" among the program's own options and read it in the body"})};
    }
    std::array<std::string, sizeof...(Choices)> const texts{arguments.text(option_of(Choices{}), "")...};
    std::string asked;
    for (std::string_view const option : {option_of(Choices{})...}) {
      if (arguments.has(option)) asked.append(" --").append(option).append(" ").append(arguments.text(option, ""));
    }
    Sink sink;
    auto const take_sink = [&sink](auto const& argument) {
      if constexpr (std::same_as<std::remove_cvref_t<decltype(argument)>, Sink>) sink = argument;
    };
    (take_sink(rest), ...);
    return run_combination<all, 0, result>(texts, asked, sink, body);
  }
}

}  // namespace detail

/// How many programs `run` makes in one for such choices.
template <class... Choices>
inline constexpr std::size_t composition_count = detail::combination_count<list<Choices...>>;

/// Calls `body` with the policies that the command line names; each allowed combination is a program of its own, so
/// that even this choice costs no branch in a step.
///
/// The arguments: `choices<...>{}` for each slot, `allow_many` where there are more than 8 combinations, a `Sink` for
/// the line that says which one runs and how many there are, and last the body, which takes a policy of each slot in
/// the order of the choices. All combinations give one result type. A policy with a static `parse(text)` takes a
/// parameter: `--device cuda:1`.
/// Throws: ConfigError for a command line that does not fit or names no allowed combination; what the body throws.
/// Example:
///     return tacit::run(argc, argv, tacit::choices<tacit::Cpu, tacit::Cuda>{},
///                       tacit::choices<tacit::Fp32, tacit::Bf16>{},
///                       [](auto device, auto precision) { ... return 0; });
template <class... A>
decltype(auto) run(launch::Arguments const& arguments, A&&... rest) {
  return detail::run_choices(detail::choices_among_t<std::remove_cvref_t<A>...>{}, arguments, rest...);
}
template <class... A>
decltype(auto) run(int argc, char const* const* argv, A&&... rest) {
  return [&]<class... Choices>(list<Choices...> lists) -> decltype(auto) {
    launch::Arguments const arguments{launch::own_options, argc, argv, {detail::option_for(Choices{})...}};
    return detail::run_choices(lists, arguments, rest...);
  }(detail::choices_among_t<std::remove_cvref_t<A>...>{});
}

}  // namespace tacit::inline v0
