#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"

namespace tacit::inline v0 {

struct lower_is_better {
  static constexpr bool better(double candidate, double reference) noexcept { return candidate < reference; }
};
struct higher_is_better {
  static constexpr bool better(double candidate, double reference) noexcept { return candidate > reference; }
};

/// A metric's name as a type: derive a tag from it, `struct hit_rate : tacit::Metric<"hit_rate", tacit::higher_is_better> {}`.
template <fixed_string Name, class Direction = lower_is_better>
struct Metric {
  static constexpr std::string_view name = Name.view();
  using direction = Direction;
  static constexpr bool is_volatile = false;       ///< differs from run to run, as times do
  static constexpr bool needs_evaluation = false;  ///< recorded in evaluations only: who watches it needs an eval set
};

template <class Tag>
concept metric_tag = std::is_empty_v<Tag> && requires {
  { Tag::name } -> std::convertible_to<std::string_view>;
  { Tag::direction::better(0.0, 0.0) } -> std::same_as<bool>;
  { Tag::is_volatile } -> std::convertible_to<bool>;
  { Tag::needs_evaluation } -> std::convertible_to<bool>;
};

namespace detail {
template <fixed_string Where, class Tag>
consteval auto join_name() {
  struct {
    char chars[Where.view().size() + 1 + Tag::name.size() + 1]{};
  } joined;
  char* at = joined.chars;
  for (char c : Where.view()) *at++ = c;
  *at++ = '/';
  for (char c : Tag::name) *at++ = c;
  return joined;
}
// A variable of its own: g++ 12 drops a static member that only another one's initialiser names where a second translation
// unit has both, and the program does not link.
template <fixed_string Where, class Tag>
inline constexpr auto joined_name = join_name<Where, Tag>();
}  // namespace detail

/// The metric of that tag on a named eval set, or of a named phase of the task: "clean/eval_loss".
template <fixed_string Where, class Tag>
struct on : Tag {
  static constexpr std::string_view name{detail::joined_name<Where, Tag>.chars, sizeof(detail::joined_name<Where, Tag>.chars) - 1};
};

/// A metric whose name is known only at run time; it can be recorded and read, not watched by type.
struct dynamic {
  std::string name;
};

namespace tag {
struct train_loss : Metric<"train_loss"> {};
struct eval_loss : Metric<"eval_loss"> {
  static constexpr bool needs_evaluation = true;
};
struct accuracy : Metric<"accuracy", higher_is_better> {
  static constexpr bool needs_evaluation = true;
};
/// Throughput of a train epoch, of all processes together; it differs from run to run, so it is in no hash and no comparison.
struct samples_per_second : Metric<"samples_per_second", higher_is_better> {
  static constexpr bool is_volatile = true;
};
}  // namespace tag

/// The tags that a callback records: `using records = tacit::records<hit_rate>`.
template <class... Tags>
struct records {
  using tags = list<Tags...>;
};

/// The tags that a callback reads; watching what nothing records does not compile.
template <class... Tags>
struct watches {
  using tags = list<Tags...>;
};

/// The names under which a callback evaluates the run's eval sets, by `context.evaluate("name")`: every eval metric of the
/// pack is then recorded and watched as `on<"name", tag>` too. `using evaluates_as = tacit::evaluates_as<"ema">`
template <fixed_string... Names>
struct evaluates_as {};

}  // namespace tacit::inline v0
