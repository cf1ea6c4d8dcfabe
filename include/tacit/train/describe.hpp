#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/list.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/train/compose.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0::detail {

/// The name of a type in a description: lambdas and local types by their kind alone, for their names differ between compilers.
template <class T>
std::string shown_name() {
  std::string name = type_name<T>();
  if (name.find("lambda") != std::string::npos) return "a lambda";
  if (std::size_t const at = name.find("{anonymous}::"); at != std::string::npos) name.erase(at, 13);
  if (std::size_t const at = name.find("(anonymous namespace)::"); at != std::string::npos) name.erase(at, 23);
  return name;
}

template <class Callback>
std::string callback_name() {
  if constexpr (is_specialization_v<Callback, std::reference_wrapper>) {
    return "ref(" + callback_name<unwrap_t<Callback>>() + ")";
  } else if constexpr (requires { Callback::name; typename Callback::inner_type; }) {
    return callback_name<typename Callback::inner_type>() + " \"" + std::string{Callback::name} + "\"";
  } else {
    return shown_name<Callback>();
  }
}

/// An event's name as the guide pages have it: without its namespace.
template <class Event>
std::string event_name() {
  std::string name = shown_name<Event>();
  for (std::string_view const prefix : {"event::", "stage::"}) {
    for (std::size_t at = name.find(prefix); at != std::string::npos; at = name.find(prefix)) name.erase(at, prefix.size());
  }
  return name;
}

template <class Callback, class Tensor, class... Events>
void append_handled(std::string& text, list<Events...>) {
  auto append = [&text]<class Event>(type<Event>) {
    if constexpr (handles<Callback, Event, probe_context<Tensor, Event>>) text.append(text.empty() ? "" : ", ").append(event_name<Event>());
  };
  (append(type<Events>{}), ...);
}

template <class Callback, class Tensor>
std::string handled_events() {
  std::string text;
  if constexpr (requires { requires std::same_as<typename innermost<Callback>::type::events, event::all>; }) {
    return "every event";
  } else if constexpr (requires { typename innermost<Callback>::type::events; }) {
    append_handled<Callback, Tensor>(text, typename innermost<Callback>::type::events{});
  } else {
    append_handled<Callback, Tensor>(text, event::all{});
    // A callback for everything reads better by that word.
    std::string everything;
    [&everything]<class... Events>(list<Events...>) {
      ((everything.append(everything.empty() ? "" : ", ").append(event_name<Events>())), ...);
    }(event::all{});
    if (text == everything) return "every event";
  }
  return text.empty() ? "events of the user's own" : text;
}

/// Names with commas between; each once, for several callbacks may record one metric.
template <class... Tags>
std::string tag_names(list<Tags...>) {
  std::string text;
  std::vector<std::string_view> seen;
  [[maybe_unused]] auto append = [&](std::string_view name) {
    if (std::ranges::find(seen, name) != seen.end()) return;
    seen.push_back(name);
    text.append(text.empty() ? "" : ", ").append(name);
  };
  (append(Tags::name), ...);
  return text;
}

/// A line of a callback's description; none for what it has not.
inline std::string described(std::string_view key, std::string const& value) {
  return value.empty() ? "" : "    " + std::string{key} + std::string(9 - key.size(), ' ') + value + "\n";
}

template <class Bound>
std::string state_of() {
  if constexpr (visitable_state<Bound>) {
    return "visited";
  } else if constexpr (std::is_empty_v<Bound>) {
    return "";
  } else if constexpr (visitable_config<Bound>) {
    return "configuration only";
  } else {
    return "not visited";
  }
}

template <class Composition, class... C>
std::string describe_callbacks(list<C...>) {
  std::vector<std::string> rows;
  [[maybe_unused]] auto row = [&rows]<class Callback>(type<Callback>) {
    using bound = unwrap_t<typename bound_callback<Callback, Composition>::type>;
    if constexpr (!is_eval_sets_v<Callback>) {
      rows.push_back("  " + callback_name<Callback>() + "\n" + described("on", handled_events<bound, typename Composition::tensor_type>()) +
                     described("records", tag_names(recorded_tags_t<Callback>{})) +
                     described("watches", tag_names(watched_tags_t<Callback>{})) + described("state", state_of<bound>()));
    } else {
      rows.emplace_back();
    }
  };
  (row(type<C>{}), ...);
  std::string text;
  for (std::size_t place = 0; place < rows.size(); ++place) text += rows[Composition::call_order.at[place]];
  return text.empty() ? "  none\n" : text;
}

template <class Composition>
std::string describe(std::string const& device, std::string const& precision, std::string const& distribution) {
  using task = typename Composition::task;
  std::string text = "task          " + (is_phase_task_v<task> ? std::string{"Task"} : shown_name<task>()) + "\n";
  [&text]<std::size_t... I>(std::index_sequence<I...>) {
    ((text += "  phase       " + std::string{phase_name<task, I>().view().empty() ? "(one)" : phase_name<task, I>().view()} + ": " +
              shown_name<model_type_of_t<I, task>>() + ", " + shown_name<optimizer_of_t<I, task>>() + "\n"),
     ...);
  }(std::make_index_sequence<task_phase_count<task>>{});
  text += "device        " + shown_name<typename Composition::device>() + " (" + device + ")\n";
  text += "precision     " + shown_name<typename Composition::precision>() + " (" + precision + ")\n";
  text += "distribution  " + shown_name<typename Composition::distribution>() + " (" + distribution + ")\n";
  text += "metrics       " + tag_names(typename Composition::template columns<typename Composition::evaluations>{}) + "\n";
  text += "callbacks, in the order of their calls\n";
  return text + describe_callbacks<Composition>(typename Composition::callbacks{});
}

}  // namespace tacit::inline v0::detail
