#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/json_text.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/metric/tags.hpp"

namespace tacit::inline v0 {

/// One recorded value and where in training it was recorded.
struct HistoryEntry {
  std::int64_t run;     ///< counted from 0 over the trainer's life
  EpochIndex epoch;
  Updates updates;      ///< attempted before it was recorded
  double value;

  friend bool operator==(HistoryEntry const& a, HistoryEntry const& b) {
    return a.run == b.run && a.epoch == b.epoch && a.updates == b.updates &&
           std::bit_cast<std::uint64_t>(a.value) == std::bit_cast<std::uint64_t>(b.value);
  }
  static void visit_state(auto& self, auto&& visit) {
    visit("run", self.run);
    visit("epoch", self.epoch);
    visit("updates", self.updates);
    visit("value", self.value);
  }
};

/// All values of one metric, oldest first.
struct HistoryColumn {
  std::string name;
  bool is_volatile = false;  ///< time and throughput: saved, but in no hash and no comparison
  bool higher_is_better = false;
  std::vector<HistoryEntry> entries;

  friend bool operator==(HistoryColumn const&, HistoryColumn const&) = default;
  static void visit_state(auto& self, auto&& visit) {
    visit("name", self.name);
    visit("volatile", self.is_volatile);
    visit("higher_is_better", self.higher_is_better);
    visit("entries", self.entries);
  }
};

/// How one run ended.
struct HistoryRun {
  StopReason reason = StopReason::completed;
  bool finished = false;  ///< false while it runs and after an exception
  Updates updates{};
  std::string error;      ///< where the exception came from, and later ones

  friend bool operator==(HistoryRun const&, HistoryRun const&) = default;
  static void visit_state(auto& self, auto&& visit) {
    visit("reason", self.reason);
    visit("finished", self.finished);
    visit("updates", self.updates);
    visit("error", self.error);
  }
};

/// What was recorded: append-only, const on read.
class History {
 public:
  /// The latest value of a metric.
  /// Throws: UsageError that lists what was recorded, if this was not.
  template <metric_tag Tag>
  double latest(Tag) const {
    return latest_of(Tag::name);
  }
  double latest(dynamic const& metric) const { return latest_of(metric.name); }

  /// All values of a metric, oldest first; empty if none was recorded.
  template <metric_tag Tag>
  std::span<HistoryEntry const> values(Tag) const& {
    return values_of(Tag::name);
  }
  std::span<HistoryEntry const> values(dynamic const& metric) const& { return values_of(metric.name); }
  /// Of a temporary a copy, so that `for (auto& entry : trainer.train(...).metrics.values(tag))` reads what is there.
  template <metric_tag Tag>
  std::vector<HistoryEntry> values(Tag) const&& {
    return copy_of(values_of(Tag::name));
  }
  std::vector<HistoryEntry> values(dynamic const& metric) const&& { return copy_of(values_of(metric.name)); }

  template <metric_tag Tag>
  bool has(Tag) const {
    return !values_of(Tag::name).empty();
  }

  /// Every metric in the order of its first record.
  std::vector<HistoryColumn> const& columns() const& noexcept { return columns_; }
  std::vector<HistoryColumn> columns() const&& { return columns_; }
  std::vector<HistoryRun> const& runs() const& noexcept { return runs_; }
  std::vector<HistoryRun> runs() const&& { return runs_; }

  /// `{"columns": [{"name", "volatile", "entries": [[run, epoch, updates, value], ...]}], "runs": [...]}`; NaN and infinities as null.
  std::string to_json() const {
    std::string text{"{\"columns\":["};
    for (HistoryColumn const& column : columns_) {
      if (text.back() == '}') text += ',';
      text.append("{\"name\":").append(detail::json_quoted(column.name)).append(",\"volatile\":").append(column.is_volatile ? "true" : "false");
      text += ",\"entries\":[";
      for (HistoryEntry const& entry : column.entries) {
        if (text.back() == ']') text += ',';
        text.append("[").append(std::to_string(entry.run)).append(",").append(std::to_string(entry.epoch.value())).append(",");
        text.append(std::to_string(entry.updates.value())).append(",").append(std::isfinite(entry.value) ? number(entry.value) : "null");
        text += ']';
      }
      text += "]}";
    }
    text += "],\"runs\":[";
    for (HistoryRun const& run : runs_) {
      if (text.back() == '}') text += ',';
      text.append("{\"reason\":").append(detail::json_quoted(to_string(run.reason))).append(",\"finished\":").append(run.finished ? "true" : "false");
      text.append(",\"updates\":").append(std::to_string(run.updates.value())).append(",\"error\":").append(detail::json_quoted(run.error)).append("}");
    }
    return text + "]}";
  }

  /// One line a value: `metric,run,epoch,updates,value`.
  std::string to_csv() const {
    std::string text{"metric,run,epoch,updates,value\n"};
    for (HistoryColumn const& column : columns_) {
      bool const plain = column.name.find_first_of(",\"\n\r") == std::string::npos;
      for (HistoryEntry const& entry : column.entries) {
        text.append(plain ? column.name : csv_quoted(column.name)).append(",").append(std::to_string(entry.run)).append(",");
        text.append(std::to_string(entry.epoch.value())).append(",").append(std::to_string(entry.updates.value())).append(",");
        text.append(number(entry.value)).append("\n");
      }
    }
    return text;
  }

  /// The values of the latest run alone.
  History last_run() const {
    History result;
    if (runs_.empty()) return result;
    result.runs_.push_back(runs_.back());
    for (HistoryColumn const& column : columns_) {
      HistoryColumn copy{column.name, column.is_volatile, column.higher_is_better, {}};
      for (HistoryEntry const& entry : column.entries) {
        if (entry.run == static_cast<std::int64_t>(runs_.size()) - 1) copy.entries.push_back(entry);
      }
      if (!copy.entries.empty()) result.columns_.push_back(std::move(copy));
    }
    return result;
  }

  /// Equality of everything that a repeated run repeats: volatile columns are left out.
  friend bool operator==(History const& a, History const& b) { return a.runs_ == b.runs_ && a.stable() == b.stable(); }

  static constexpr std::string_view state_name = "history";
  static constexpr int state_version = 1;
  static void visit_state(auto& self, auto&& visit) {
    visit("columns", self.columns_);
    visit("runs", self.runs_);
  }

  /// For the loop: opens a run, adds a value to it, closes it.
  void begin_run() { runs_.emplace_back(); }
  template <metric_tag Tag>
  void record(Tag, EpochIndex epoch, Updates updates, double value) {
    record(Tag::name, Tag::is_volatile, Tag::direction::better(1.0, 0.0), epoch, updates, value);
  }
  void record(std::string_view name, bool is_volatile, bool higher_is_better, EpochIndex epoch, Updates updates, double value) {
    std::size_t at = place_of(name);
    if (at == columns_.size()) columns_.push_back({std::string{name}, is_volatile, higher_is_better, {}});
    columns_[at].entries.push_back({static_cast<std::int64_t>(runs_.size()) - 1, epoch, updates, value});
  }
  void end_run(StopReason reason, Updates updates) {
    runs_.back().reason = reason;
    runs_.back().finished = true;
    runs_.back().updates = updates;
  }
  void note_error(std::string_view text) {
    if (runs_.empty()) return;
    std::string& error = runs_.back().error;
    if (!error.empty()) error += "; ";
    error += text;
  }

 private:
  std::size_t place_of(std::string_view name) const {
    std::size_t at = 0;
    while (at < columns_.size() && columns_[at].name != name) ++at;
    return at;
  }
  std::span<HistoryEntry const> values_of(std::string_view name) const {
    std::size_t const at = place_of(name);
    return at == columns_.size() ? std::span<HistoryEntry const>{} : std::span<HistoryEntry const>{columns_[at].entries};
  }

  static std::vector<HistoryEntry> copy_of(std::span<HistoryEntry const> entries) {
    return {entries.begin(), entries.end()};
  }

  double latest_of(std::string_view name) const {
    std::span<HistoryEntry const> const entries = values_of(name);
    if (entries.empty()) {
      std::string known;
      for (HistoryColumn const& column : columns_) known.append(known.empty() ? "" : ", ").append(column.name);
      throw UsageError{"TACIT-RU01", detail::message({"no value of '", name, "' was recorded"}), "History::latest",
                       known.empty() ? std::string{"nothing was recorded yet"} : "recorded so far: " + known};
    }
    return entries.back().value;
  }

  std::vector<HistoryColumn> stable() const {
    std::vector<HistoryColumn> columns;
    for (HistoryColumn const& column : columns_) {
      if (!column.is_volatile) columns.push_back(column);
    }
    return columns;
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    char text[32];
    auto const [end, error] = std::to_chars(text, text + sizeof text, value);
    return {text, end};
  }

  static std::string csv_quoted(std::string_view text) {
    std::string result{"\""};
    for (char c : text) result.append(c == '"' ? "\"\"" : std::string(1, c));
    return result + '"';
  }

  std::vector<HistoryColumn> columns_;
  std::vector<HistoryRun> runs_;
};

namespace detail {
/// Whether the last of the values was recorded in the history's last run.
inline bool is_of_last_run(std::span<HistoryEntry const> values, History const& history) {
  return !values.empty() && values.back().run == static_cast<std::int64_t>(history.runs().size()) - 1;
}
}  // namespace detail

}  // namespace tacit::inline v0
