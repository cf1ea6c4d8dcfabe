#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// A string that can be a template argument.
template <std::size_t N>
struct fixed_string {
  char text[N]{};

  consteval fixed_string(char const (&literal)[N]) { std::copy_n(literal, N, text); }
  constexpr std::string_view view() const noexcept { return {text, N - 1}; }

  template <std::size_t M>
  friend constexpr bool operator==(fixed_string const& a, fixed_string<M> const& b) noexcept {
    return a.view() == b.view();
  }
};

/// A name as a type, to be passed as a value: `context.output(name<"generator">{})`.
template <fixed_string Name>
struct name {
  static constexpr std::string_view value = Name.view();
};

}  // namespace tacit::inline v0
