#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/train/composition.hpp"

/// What a run knows of its recorded metrics besides their values: which belong to the evaluation in work, who writes those
/// whose names are made at run time, and which watched ones never came.
namespace tacit::inline v0::detail {

// A loop: std::ranges::find costs thousands of instantiations.
inline bool holds(std::vector<std::string> const& names, std::string_view name) {
  for (std::string const& one : names) {
    if (one == name) return true;
  }
  return false;
}

/// The metrics of the evaluation in work, so that one is read in it only once it was recorded in it.
class EvaluationMetrics {
 public:
  void begin(bool is_one) {
    is_on_ = is_one;
    now_.clear();
  }
  void note(std::string_view name, std::string const& full) {
    if (!is_on_) return;
    now_.push_back(full);
    if (!holds(evaluated_, name)) evaluated_.emplace_back(name);
  }
  /// The latest value; in an evaluation that of this evaluation, for a metric that evaluations record.
  /// Throws: UsageError where there is none yet.
  double latest(History const& from, std::string_view name, std::string_view full, bool needs_evaluation) const {
    if (!is_on_) return from.latest(dynamic{std::string{name}});
    if (holds(now_, full)) return from.latest(dynamic{std::string{full}});
    if (!needs_evaluation && !holds(evaluated_, name)) return from.latest(dynamic{std::string{name}});
    throw UsageError{"TACIT-RU32", message({"no value of '", full, "' was recorded in this evaluation yet"}), "context.latest",
                     "read it after the callback that records it, by `using runs_after`; context.metrics() has earlier values"};
  }

 private:
  bool is_on_ = false;
  std::vector<std::string> now_{};        // full names, in this evaluation
  std::vector<std::string> evaluated_{};  // names that any evaluation recorded
};

/// Throws: UsageError if a metric whose name is made at run time has the name of a declared tag.
template <class... Tags>
void require_dynamic_name(std::string_view name, std::string_view full, list<Tags...>) {
  if (!(((Tags::name == name) || (Tags::name == full)) || ...)) return;
  throw UsageError{"TACIT-RU33", message({"'", full, "' is the name of a declared metric"}), "context.record(dynamic{...})",
                   "give it another name, or record the tag"};
}

/// The callback that uses each name made at run time.
class NameOwners {
 public:
  /// Returns: false if another callback uses it already.
  bool take(std::string_view name, std::size_t place) {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == name) return places_[i] == place;
    }
    names_.emplace_back(name);
    places_.push_back(place);
    return true;
  }
  bool has(std::string_view name) const {
    for (std::string const& one : names_) {
      if (one == name) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> names_{};
  std::vector<std::size_t> places_{};  // of the callback that uses the name
};

/// Throws: UsageError if another callback records a metric of that name.
inline void require_own_metric(NameOwners& owners, std::string_view name, std::size_t place) {
  if (owners.take(name, place)) return;
  throw UsageError{"TACIT-RU34",
                   message({"two callbacks record '", name, "', and would write alternately into one column"}),
                   "context.record(dynamic{...})", "give each a name of its own"};
}

/// True if an evaluation as `as`, or one of `owners`, records the set `set` under the name of the other.
inline bool meets_evaluation(NameOwners const& owners, std::string_view as, std::string_view set) {
  std::string suffix{"/"};
  suffix.append(set);
  if (owners.has(std::string{as}.append(suffix))) return true;
  return as.ends_with(suffix) && owners.has(as.substr(0, as.size() - suffix.size()));
}
/// True if an evaluation as `as` would write into the column of an eval set. It records the set without a name under "as",
/// and the set "clean" under "as/clean"; so do those of `owners`.
template <fixed_string... Names>
bool has_name_of_set([[maybe_unused]] NameOwners const& owners, [[maybe_unused]] std::string_view as, eval_sets<Names...>) {
  [[maybe_unused]] auto const is_one = []([[maybe_unused]] std::string_view name) {
    return ((Names.view() == name) || ...);
  };
  return is_one(as) || ((is_one(message({as, "/", Names.view()})) || meets_evaluation(owners, as, Names.view())) || ...);
}
/// Throws: UsageError if a named eval set, or the evaluation of another callback, is recorded under the name.
template <class EvalSets>
void require_own_evaluation(NameOwners& owners, std::string_view as, std::size_t place) {
  if (has_name_of_set(owners, as, EvalSets{})) {
    throw UsageError{"TACIT-RU35",
                     message({"'", as, "' is the name of an eval set, and the metrics of both ",
                              "would stand in one column"}),
                     "context.evaluate(name)", "give it a name that is not one of eval_sets<...>"};
  }
  if (owners.take(as, place)) return;
  throw UsageError{"TACIT-RU36",
                   message({"two callbacks evaluate as '", as, "', and the metrics of both would stand in one column"}),
                   "context.evaluate(name)", "give each a name of its own"};
}

/// Says once a run which watched metrics have no value, at the end of the first epoch that should have recorded them.
class WatchedMetrics {
 public:
  /// Whether `name` was recorded in the run in work.
  static bool has_value(History const& history, std::string_view name) {
    auto const values = history.values(dynamic{std::string{name}});
    return !values.empty() && values.back().run == static_cast<std::int64_t>(history.runs().size()) - 1;
  }
  /// True the first time that it is asked for `name` in a run.
  bool is_news(History const& history, std::string_view name) {
    std::size_t const run = history.runs().size();
    if (run != run_) told_.clear();
    run_ = run;
    if (holds(told_, name)) return false;
    told_.emplace_back(name);
    return true;
  }

 private:
  std::size_t run_ = 0;
  std::vector<std::string> told_{};
};

template <class Tag, class Core>
void tell_missing(Core& core, bool is_due, bool is_over) {
  History const& history = core.history();
  if (!is_due || core.rank() != 0 || WatchedMetrics::has_value(history, Tag::name) || !core.watched().is_news(history, Tag::name)) return;
  std::string const when = is_over ? std::string{"in this run"} : message({"by the end of epoch ", core.progress().epoch.value() + 1});
  core.sink().write(message({"[tacit] warning: a callback watches '", Tag::name, "', but nothing recorded it ", when, "\n"}));
}
/// A line for each watched metric that should have come by now, or that never came once the run is over.
///
/// `evaluated`: the eval sets were evaluated in the epoch that ends, or no epoch of this run does so. What a callback
/// records under a name of its own, it may begin later: that is due at the end.
template <class Core, class... Tags>
void tell_missing_metrics(Core& core, [[maybe_unused]] bool evaluated, [[maybe_unused]] bool is_over, list<Tags...>) {
  using by_callbacks = typename Core::composition::evaluation_types::by_callbacks;
  (tell_missing<Tags>(core, is_over || (evaluated && !names_evaluation<Tags>(by_callbacks{})), is_over), ...);
}

}  // namespace tacit::inline v0::detail
