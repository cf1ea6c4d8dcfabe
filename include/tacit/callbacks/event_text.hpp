#pragma once

#include <cstddef>
#include <string_view>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/events/events.hpp"

namespace tacit::inline v0::detail {

/// The last part of a type's name, without namespaces and template arguments.
template <class T>
constexpr std::string_view short_type_name() {
  std::string_view text = tacit_detail_pretty_function<T>();
  text.remove_prefix(text.find("T = ") + 4);
  text = text.substr(0, text.find_first_of(";]"));
  if (text.ends_with('>')) {
    std::size_t at = text.size();
    int depth = 0;
    do {
      --at;
      depth += text[at] == '>' ? 1 : text[at] == '<' ? -1 : 0;
    } while (depth > 0 && at > 0);
    text = text.substr(0, at);
  }
  std::size_t const colon = text.rfind("::");
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

/// "Aborted<Stage>".
template <class Stage>
struct aborted_name {
  char chars[short_type_name<Stage>().size() + 9]{};

  constexpr aborted_name() {
    char* at = chars;
    for (char c : std::string_view{"Aborted<"}) *at++ = c;
    for (char c : short_type_name<Stage>()) *at++ = c;
    *at = '>';
  }
};
template <class Stage>
inline constexpr aborted_name<Stage> aborted_name_of{};

/// An event's name as events.hpp spells it: "TrainStepEnd", "Aborted<TrainStep>"; of a user's event the name of its type.
template <class Event>
struct event_text {
  static constexpr std::string_view name = short_type_name<Event>();
  static constexpr std::string_view phase{};
};
template <class Stage>
struct event_text<event::Aborted<Stage>> {
  static constexpr std::string_view name{aborted_name_of<Stage>.chars, sizeof(aborted_name_of<Stage>.chars)};
  static constexpr std::string_view phase{};
};
template <fixed_string Phase, class Event>
struct event_text<event::Of<Phase, Event>> {
  static constexpr std::string_view name = event_text<Event>::name;
  static constexpr std::string_view phase = Phase.view();
};

}  // namespace tacit::inline v0::detail
