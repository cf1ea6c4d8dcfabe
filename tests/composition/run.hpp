#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "composition/parts.hpp"
#include "composition/reference.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/train/trainer.hpp"

/// Runs the compositions of `compositions.txt` with random settings against the reference loop. README.md says how to
/// read a failure.
namespace composition {

// --- a composition, and the settings of one run of it ---

/// A line of the list: the value of each dimension.
struct Composition {
  std::string name{};
  std::map<std::string, std::string> values{};
  std::string const& operator[](std::string const& dimension) const { return values.at(dimension); }
  bool is(std::string const& dimension, std::string const& value) const { return values.at(dimension) == value; }
};

inline std::vector<Composition> read_compositions(std::string const& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  std::vector<std::string> dimensions;
  std::vector<Composition> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words{line};
    std::string word;
    words >> word;
    if (word == "dimension") {
      words >> word;
      dimensions.push_back(word.substr(0, word.find(':')));
    } else if (word == "composition") {
      Composition& one = all.emplace_back();
      words >> one.name;
      for (std::string const& dimension : dimensions) {
        if (!(words >> word)) throw std::runtime_error{"a value is missing: " + line};
        one.values[dimension] = word;
      }
    }
  }
  return all;
}

/// The numbers of one run; 0 is the simplest value of each but those that begin at 1. Data follow from the seed.
struct Settings {
  std::int64_t seed = 0;
  std::int64_t epochs = 1, batches = 1, rows = 1, ragged = 0, drop_last = 0, accumulation = 1;
  std::int64_t limit = 0, limit_at = 1, epoch_limit = 0, eval_batches = 1, eval_limit = 0, every_updates = 0,
               not_after_epochs = 0;
  std::int64_t skips = 0, zeros = 0, zero_is_nan = 0, spikes = 0, nan_at = 0, nan_for = 1, throw_at = 0, memory = 1;
  std::int64_t coupling = 0, modes = 0, frozen = 0, clip_at = 0, momentum = 0, rate_every = 1, freeze_from = 0,
               freeze_for = 1, leaves_average = 0;

  std::vector<std::pair<char const*, std::int64_t*>> all() {
    return {{"seed", &seed},
            {"epochs", &epochs},
            {"batches", &batches},
            {"rows", &rows},
            {"ragged", &ragged},
            {"drop_last", &drop_last},
            {"accumulation", &accumulation},
            {"limit", &limit},
            {"limit_at", &limit_at},
            {"epoch_limit", &epoch_limit},
            {"eval_batches", &eval_batches},
            {"eval_limit", &eval_limit},
            {"every_updates", &every_updates},
            {"not_after_epochs", &not_after_epochs},
            {"skips", &skips},
            {"zeros", &zeros},
            {"zero_is_nan", &zero_is_nan},
            {"spikes", &spikes},
            {"nan_at", &nan_at},
            {"nan_for", &nan_for},
            {"throw_at", &throw_at},
            {"memory", &memory},
            {"coupling", &coupling},
            {"modes", &modes},
            {"frozen", &frozen},
            {"clip_at", &clip_at},
            {"momentum", &momentum},
            {"rate_every", &rate_every},
            {"freeze_from", &freeze_from},
            {"freeze_for", &freeze_for},
            {"leaves_average", &leaves_average}};
  }
};

/// What does not say its value has the simplest one.
inline std::string text_of(Settings settings) {
  Settings simplest;
  auto const given = settings.all();
  auto const plain = simplest.all();
  std::string text;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (*given[i].second != *plain[i].second)
      text += std::string{text.empty() ? "" : " "} + given[i].first + "=" + std::to_string(*given[i].second);
  }
  return text;
}

/// Numbers that depend on nothing but their key (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t key) : state_{key} {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool one_in(std::int64_t n) { return between(1, n) == 1; }
  double real(double low, double high) { return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

inline int world_of(Composition const& c) { return c.is("world", "process") ? 1 : std::stoi(c["world"]); }

inline Settings draw(Composition const& c, std::int64_t seed) {
  Random random{static_cast<std::uint64_t>(seed) * 7919 + 13};
  int const world = world_of(c);
  bool const in_session = c.is("source", "session");
  Settings s;
  s.seed = seed;
  s.epochs = random.between(1, world > 1 ? 2 : 3);
  s.batches = random.between(1, 5);
  s.rows = random.between(1, 4);
  s.ragged = random.between(0, 1);
  s.drop_last = random.one_in(4);
  if (c.is("accumulation", "n")) s.accumulation = random.between(2, 4);
  if (random.one_in(2)) {
    s.limit = random.between(1, c.is("weights", "zero") ? 2 : 3);
    s.limit_at = random.between(1, s.limit == 3 ? 20 : 8);
  }
  if (random.one_in(4) && !in_session) s.epoch_limit = random.between(1, 5);
  s.eval_batches = random.between(1, 3);
  if (random.one_in(4)) s.eval_limit = random.between(1, 2);
  if (random.one_in(2)) s.every_updates = random.between(1, 3);
  s.not_after_epochs = random.one_in(4);
  if (c.is("skip", "yes")) s.skips = random.between(0, 3);
  if (c.is("weights", "zero")) s.zeros = random.between(1, 3);
  s.zero_is_nan = random.between(0, 1);
  if (c.is("precision", "scaled")) s.spikes = random.between(0, 2);
  if (!c.is("watch", "no")) s.nan_at = random.between(0, 6);
  if (c.is("run", "exception")) s.throw_at = random.between(1, 5);
  s.memory = random.between(1, 4);
  s.coupling = random.between(0, 1);
  s.modes = random.between(0, 1);
  s.frozen = random.one_in(3);
  s.clip_at = random.between(0, 3);
  s.momentum = random.between(0, 1);
  s.rate_every = random.between(1, 3);
  s.freeze_from = random.between(0, 1);
  s.freeze_for = random.between(1, 2);
  s.leaves_average = random.between(0, 1);
  if (c.is("watch", "skips")) s.nan_for = random.between(1, 3);
  return s;
}

/// Everything that a run and its reference need.
struct Case {
  int world = 1;
  std::vector<reference::Row> rows{};                  ///< of a dataset
  std::vector<std::vector<reference::Row>> batches{};  ///< of ranges and sessions, in their order
  std::vector<std::vector<reference::Row>> eval{};
  std::int64_t batch_size = 1;
  bool drop_last = false;
  reference::Plan plan{};    ///< with the data dealt to the ranks
  reference::Model model{};  ///< as it is at first
  std::string shared{};
  int frozen = -1;  ///< the place of a parameter that gets no gradient at all
  std::vector<bool> modes{};
  std::string run{};
  std::size_t memory = 1000;
};

/// Batches in turn, as ranks that walk one range take them.
inline std::vector<reference::Step> dealt(std::vector<std::vector<reference::Row>> const& batches, int world,
                                          bool whole_steps) {
  std::vector<reference::Step> steps;
  for (std::size_t at = 0; at < batches.size(); at += static_cast<std::size_t>(world)) {
    reference::Step step(static_cast<std::size_t>(world));
    for (std::size_t r = 0; r < step.size() && at + r < batches.size(); ++r) step[r] = batches[at + r];
    if (!whole_steps || at + step.size() <= batches.size()) steps.push_back(std::move(step));
  }
  return steps;
}
/// Consecutive rows, each global batch dealt as evenly as possible.
inline std::vector<reference::Step> dealt(std::vector<reference::Row> const& rows, std::int64_t batch_size, int world,
                                          bool drop_last) {
  std::vector<reference::Step> steps;
  std::int64_t const count = static_cast<std::int64_t>(rows.size());
  std::int64_t const global = std::min(batch_size, count) * world;
  for (std::int64_t first = 0; first < count; first += global) {
    std::int64_t const total = std::min(global, count - first);
    if (drop_last && total < global) break;
    std::int64_t at = first;
    reference::Step step;
    for (int rank = 0; rank < world; ++rank) {
      std::int64_t const share = total / world + (rank < total % world ? 1 : 0);
      step.emplace_back(rows.begin() + at, rows.begin() + at + share);
      at += share;
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

inline Case build(Composition const& c, Settings const& s) {
  Case made;
  Random numbers{static_cast<std::uint64_t>(s.seed) * 104729 + 1};
  std::uint64_t const data_key = numbers.bits();
  made.world = world_of(c);
  made.run = c["run"];
  made.shared = c["shared"];
  auto const phases = static_cast<std::size_t>(std::stoi(c["phases"]));
  bool const in_session = c.is("source", "session");
  bool const is_dataset = c.is("source", "dataset");

  // The nets: a shared parameter has one place.
  for (std::size_t p = 0; p < phases; ++p) {
    int const at = static_cast<int>(4 * p);
    reference::Net net{at, at + 1, at + 2, at + 3};
    reference::Net const first = p == 0 ? net : made.model.phases[0].net;
    if (p == 1 && made.shared == "parameter") net.head_weight = first.head_weight;
    if (p == 1 && made.shared == "module") net.body_weight = first.body_weight, net.body_bias = first.body_bias;
    if (p == 1 && made.shared == "model") net = first;
    made.model.phases.push_back({net, {}});
  }
  for (std::size_t i = 0; i < 4 * phases; ++i) made.model.values.push_back(numbers.real(-0.6, 0.9));
  if (s.frozen != 0) made.frozen = 3;
  for (reference::Phase& phase : made.model.phases) {
    for (int place : {phase.net.body_weight, phase.net.body_bias, phase.net.head_weight, phase.net.head_bias}) {
      if (place != made.frozen) phase.trained.push_back(place);
    }
  }
  for (std::size_t i = 0; i < 3 * phases; ++i) made.modes.push_back(s.modes == 0 || !numbers.one_in(3));

  // The data. A row is the same whatever the other settings are.
  auto row = [&](std::uint64_t at) {
    Random random{data_key + at * 1000003};
    reference::Row one;
    one.x = random.real(-1.0, 1.0);
    one.y = random.real(-1.0, 1.0);
    for (double& weight : one.weight) weight = static_cast<double>(random.between(0, 3));
    if (one.weight[0] + one.weight[1] + one.weight[2] == 0.0) one.weight[0] = 1.0;
    if (!c.is("weights", "zero")) {
      for (double& weight : one.weight) weight += 1.0;
    }
    return one;
  };
  std::uint64_t next = 0;
  auto const batch_of_rows = [&](std::uint64_t at) {
    std::vector<reference::Row> batch(
        static_cast<std::size_t>(s.ragged != 0 ? Random{data_key + 77 + at}.between(1, s.rows) : s.rows));
    for (reference::Row& one : batch) one = row(next++);
    return batch;
  };
  std::int64_t const batch_count = in_session ? std::max<std::int64_t>(s.batches, made.world) : s.batches;
  for (std::int64_t b = 0; b < batch_count; ++b) made.batches.push_back(batch_of_rows(static_cast<std::uint64_t>(b)));
  std::int64_t const global = s.rows * made.world;
  std::int64_t const row_count =
      s.ragged != 0 ? std::max<std::int64_t>(1, s.batches * global - Random{data_key + 5}.between(0, global - 1))
                    : s.batches * global;
  for (std::int64_t r = 0; r < row_count; ++r) made.rows.push_back(row(static_cast<std::uint64_t>(r)));
  made.batch_size = s.rows;
  made.drop_last = s.drop_last != 0 && row_count >= std::min(s.rows, row_count) * made.world && row_count >= s.rows;
  next = 500;
  for (std::int64_t b = 0; b < s.eval_batches; ++b)
    made.eval.push_back(batch_of_rows(500 + static_cast<std::uint64_t>(b)));

  // Marks belong to whole batches of one rank.
  auto steps = is_dataset ? dealt(made.rows, made.batch_size, made.world, made.drop_last)
                          : dealt(made.batches, made.world, in_session);
  std::size_t const throwing = s.throw_at == 0 ? steps.size() : static_cast<std::size_t>(s.throw_at - 1) % steps.size();
  bool everyone_throws = s.throw_at != 0;
  std::uint64_t key = data_key + 99;
  for (std::size_t at = 0; at < steps.size(); ++at) {
    for (std::size_t rank = 0; rank < steps[at].size(); ++rank) {
      reference::Batch& batch = steps[at][rank];
      Random random{key++};
      bool const skips = random.between(1, 4) <= s.skips;
      bool const zero[3] = {random.between(1, 4) <= s.zeros, random.between(1, 4) <= s.zeros,
                            random.between(1, 4) <= s.zeros};
      unsigned marks = 0;
      for (unsigned p = 0; p < 3; ++p) marks |= random.between(1, 6) <= s.spikes ? reference::spike << p : 0U;
      if (skips && at != throwing) marks |= reference::skip;
      if (at == throwing) marks |= reference::throws;
      if (s.zero_is_nan != 0 && c.is("watch", "no")) marks |= reference::nan_if_nothing;
      auto const nth = static_cast<std::int64_t>(at) + 1;
      if (s.nan_at != 0 && nth >= s.nan_at && nth < s.nan_at + s.nan_for &&
          (made.world == 1 || rank == 0 || random.one_in(2)))
        marks |= reference::not_a_number;
      if (at == throwing && batch.empty()) everyone_throws = false;
      for (reference::Row& one : batch) {
        one.marks = marks;
        for (std::size_t p = 0; p < 3; ++p) {
          if (zero[p]) one.weight[p] = 0.0;
        }
      }
    }
  }
  if (!everyone_throws) {
    for (reference::Step& step : steps) {
      for (reference::Batch& batch : step) {
        for (reference::Row& one : batch) one.marks &= ~static_cast<unsigned>(reference::throws);
      }
    }
  }
  // Back to the order in which the run gets them.
  std::vector<reference::Row> in_order;
  std::vector<std::vector<reference::Row>> in_turn;
  for (reference::Step const& step : steps) {
    for (reference::Batch const& batch : step) {
      in_order.insert(in_order.end(), batch.begin(), batch.end());
      if (!batch.empty()) in_turn.push_back(batch);
    }
  }
  if (is_dataset) {
    std::copy(in_order.begin(), in_order.end(), made.rows.begin());  // drop_last leaves some at the end
  } else {
    made.batches = std::move(in_turn);
  }

  reference::Plan& plan = made.plan;
  plan.train = std::move(steps);
  plan.eval = dealt(made.eval, made.world, false);
  plan.is_sized = c.is("source", "dataset") || c.is("source", "vector");
  plan.has_evaluation = !in_session;
  plan.states_weights = !c.is("weights", "rows");
  plan.has_spikes = c.is("precision", "scaled");
  plan.coupling = phases > 1 && s.coupling != 0 ? 0.3 : 0.0;
  plan.epochs = static_cast<int>(s.epochs);
  plan.accumulation = static_cast<int>(s.accumulation);
  plan.clip = c.is("clip", "norm")    ? reference::Clip::norm
              : c.is("clip", "value") ? reference::Clip::value
                                      : reference::Clip::none;
  plan.clip_at = std::array{4.0, 1.0, 0.3, 0.05}.at(static_cast<std::size_t>(s.clip_at));
  if (s.limit == 1) plan.update_limit = s.limit_at;
  if (s.limit == 2) plan.micro_batch_limit = s.limit_at;
  if (s.limit == 3) plan.sample_limit = s.limit_at;
  bool const limits_batches = c.is("skip", "yes") || !c.is("watch", "no");
  plan.epoch_limit = limits_batches ? s.epoch_limit : 0;
  plan.eval_limit = limits_batches ? s.eval_limit : 0;
  plan.bad_in_a_row = c.is("watch", "skips") ? 2 : 1;
  plan.evaluate_every_updates = s.every_updates;
  plan.evaluates_epochs = s.not_after_epochs == 0;
  plan.halve_rate_every = c.is("schedule", "lr") ? s.rate_every : 0;
  plan.averaging = c.is("averaging", "ema")       ? reference::Averaging::ema
                   : c.is("averaging", "swa")     ? reference::Averaging::swa
                   : c.is("averaging", "freezer") ? reference::Averaging::freezer
                                                  : reference::Averaging::none;
  plan.leaves_average = s.leaves_average != 0;
  plan.freeze_from = static_cast<int>(s.freeze_from);
  plan.freeze_to = static_cast<int>(s.freeze_from + s.freeze_for);
  std::string const& how = c["optimizer"];
  reference::Optimizer& optimizer = plan.optimizer;
  optimizer.base = {0.1, how == "plain" || s.momentum == 0 ? 0.0 : 0.5};
  if (how == "momentum" || how == "not_maskable") optimizer.base.momentum = 0.5;
  optimizer.has_groups = how.find("groups") != std::string::npos;
  optimizer.head = {0.03, s.momentum == 0 ? 0.5 : 0.0};  // the other way round: groups whose states differ
  if (how.find("lookahead") != std::string::npos) {
    optimizer.slow_every = 2;
    optimizer.slow_step = 0.25;
    optimizer.slow_by_group = how == "groups_of_lookahead";
  }
  if (c.is("memory", "halved")) made.memory = static_cast<std::size_t>(s.memory);
  return made;
}

/// False for the place that a parameter would have if it were not shared.
inline bool is_used(reference::Model const& model, int place) {
  return std::any_of(model.phases.begin(), model.phases.end(), [place](reference::Phase const& phase) {
    reference::Net const& net = phase.net;
    return place == net.body_weight || place == net.body_bias || place == net.head_weight || place == net.head_bias;
  });
}

// --- what is compared ---

struct Observed {
  bool threw = false;  ///< the run that was to be broken off
  std::vector<double> values{};
  std::vector<bool> modes{};
  reference::Outcome outcome{};                     ///< of the last run
  std::vector<reference::Recorded> evaluated[3]{};  ///< by `evaluate`, afterwards
};

inline bool equal(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= 1e-12 * std::max({1.0, std::abs(a), std::abs(b)});
}
/// An evaluation of one model may be recorded twice.
inline std::vector<reference::Recorded> once(std::vector<reference::Recorded> const& all) {
  std::vector<reference::Recorded> result;
  for (auto const& one : all) {
    if (!result.empty() && result.back().updates == one.updates) result.pop_back();
    result.push_back(one);
  }
  return result;
}

/// The first difference in words; empty where there is none.
class Difference {
 public:
  void number(std::string const& what, double got, double wanted) {
    if (text_.empty() && !equal(got, wanted)) {
      char buffer[200];
      std::snprintf(buffer, sizeof buffer, "%s is %.15g, should be %.15g", what.c_str(), got, wanted);
      text_ = buffer;
    }
  }
  void list(std::string const& what, std::vector<reference::Recorded> got, std::vector<reference::Recorded> wanted) {
    got = once(got);
    wanted = once(wanted);
    number("the number of values of " + what, static_cast<double>(got.size()), static_cast<double>(wanted.size()));
    if (!text_.empty()) return;
    for (std::size_t i = 0; i < got.size(); ++i) {
      number("value " + std::to_string(i) + " of " + what, got[i].value, wanted[i].value);
      number("the updates before value " + std::to_string(i) + " of " + what, static_cast<double>(got[i].updates),
             static_cast<double>(wanted[i].updates));
    }
  }
  void say(std::string const& text) {
    if (text_.empty()) text_ = text;
  }
  std::string const& text() const { return text_; }

 private:
  std::string text_{};
};

inline char const* name_of(reference::End end) {
  return std::array{"completed", "limit", "not finite", "thrown"}.at(static_cast<std::size_t>(end));
}

inline std::string compare(Case const& c, std::vector<Observed> const& ranks) {
  reference::Model model = c.model;
  reference::Outcome wanted;
  bool threw = false;
  int const runs = c.run == "first" ? 1 : 2;
  for (int run = 0; run < runs; ++run) {
    reference::Plan plan = c.plan;
    plan.throws = c.run == "exception" && run == 0;
    wanted = reference::Loop{plan, model}.run();
    if (run == 0) threw = wanted.end == reference::End::thrown;
  }
  std::vector<reference::Recorded> evaluated[3];
  reference::Plan whole = c.plan;
  reference::Loop{whole, model}.evaluate(evaluated);

  Difference difference;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    Observed const& got = ranks[r];
    std::string const who = ranks.size() > 1 ? "rank " + std::to_string(r) + ": " : "";
    if (got.threw != threw) difference.say(who + (threw ? "the first run should have thrown" : "the first run threw"));
    difference.number(who + "updates", static_cast<double>(got.outcome.updates), static_cast<double>(wanted.updates));
    difference.number(who + "micro-batches", static_cast<double>(got.outcome.micro_batches),
                      static_cast<double>(wanted.micro_batches));
    if (!(c.plan.states_weights))
      difference.number(who + "samples", static_cast<double>(got.outcome.samples), static_cast<double>(wanted.samples));
    if (got.outcome.end != wanted.end)
      difference.say(who + "the run's end is " + name_of(got.outcome.end) + ", should be " + name_of(wanted.end));
    static char const* const places[] = {"body.weight", "body.bias", "head.weight", "head.bias"};
    for (std::size_t i = 0; i < model.values.size(); ++i) {
      difference.number(who + "net " + std::to_string(i / 4) + " " + places[i % 4], got.values[i], model.values[i]);
    }
    for (std::size_t p = 0; p < model.phases.size(); ++p) {
      std::string const of = " of phase " + std::to_string(p);
      difference.list(who + "train_loss" + of, got.outcome.train_loss[p], wanted.train_loss[p]);
      difference.list(who + "eval_loss" + of, got.outcome.eval_loss[p], wanted.eval_loss[p]);
      difference.list(who + "evaluate()" + of, got.evaluated[p], evaluated[p]);
    }
    difference.list(who + "the average's eval_loss", got.outcome.average_loss, wanted.average_loss);
    for (std::size_t i = 0; i < got.modes.size(); ++i) {
      if (got.modes[i] != c.modes[i])
        difference.say(who + "module " + std::to_string(i) + " is left in " +
                       (got.modes[i] ? "training" : "evaluation") + " mode, was in the other");
    }
  }
  return difference.text();
}

// --- types ---

enum class Form { supervised, derived, lambda, phases };
enum class Source { dataset, vector, stream, session };
using reference::Averaging;

/// What the compiler must know of a composition.
template <Form F, std::size_t Phases, bool Stated, Source S, bool Ranks, bool Skips, Averaging Average, bool Halves,
          bool Watches, bool Scaled, bool Maskable, bool Scheduled>
struct Type {
  static bool fits(Composition const& c) {
    static char const* const forms[] = {"supervised", "derived", "lambda", "phases"};
    static char const* const sources[] = {"dataset", "vector", "stream", "session"};
    static char const* const averages[] = {"none", "ema", "swa", "freezer"};
    return c.is("form", forms[static_cast<int>(F)]) && c.is("phases", std::to_string(Phases)) &&
           c.is("weights", "rows") != Stated && c.is("source", sources[static_cast<int>(S)]) &&
           c.is("world", "process") != Ranks && c.is("skip", "yes") == Skips &&
           c.is("averaging", averages[static_cast<int>(Average)]) && c.is("memory", "halved") == Halves &&
           c.is("watch", "no") != Watches && c.is("precision", "scaled") == Scaled &&
           c.is("optimizer", "not_maskable") != Maskable && c.is("schedule", "lr") == Scheduled;
  }

  static std::vector<Observed> run(Case const& c) {
    std::vector<Observed> ranks(static_cast<std::size_t>(c.world));
    if constexpr (Ranks) {
      run_ranks(c.world, [&](fake::Rank const& rank) {
        ranks[static_cast<std::size_t>(rank.number)] = run_one(c, rank, rank.number);
      });
    } else {
      ranks[0] = run_one(c, tacit::SingleProcess{}, 0);
    }
    return ranks;
  }

 private:
  using optimizer = Chosen<Maskable>;

  struct DerivedLoss : tacit::Supervised<Net, Criterion, optimizer> {
    using overrides = tacit::list<tacit::override::loss>;
    Tensor loss(Tensor const& prediction, Labels const& labels, auto& context) const {
      double weight = 0.0;
      return loss_of(prediction, labels, 0, false, context.is_training(), weight);
    }
  };
  struct DerivedStep : tacit::Supervised<Net, Criterion, optimizer> {
    using overrides = tacit::list<tacit::override::train_step>;
    auto train_step(Batch const& batch, auto& context) { return StepOf<true>{}(*this->model, batch, context); }
  };

  static auto task_of(Case const& c, std::vector<std::shared_ptr<Net>> const& nets) {
    optimizer const how{c.plan.optimizer};
    auto const step = [&](std::size_t p) {
      return StepOf<Stated>{p, Phases > 1 ? nets[(p + 1) % Phases] : nullptr, c.plan.coupling};
    };
    using tacit::phase;
    if constexpr (F == Form::supervised) {
      return tacit::Supervised<Net, Criterion, optimizer>{nets[0], {}, how};
    } else if constexpr (F == Form::derived && Stated) {
      return DerivedStep{{nets[0], {}, how}};
    } else if constexpr (F == Form::derived) {
      return DerivedLoss{{nets[0], {}, how}};
    } else if constexpr (F == Form::lambda) {
      return tacit::Task{nets[0], how, step(0)};
    } else if constexpr (Phases == 1) {
      return tacit::Task{phase<"a">(nets[0], how, step(0))};
    } else if constexpr (Phases == 2) {
      return tacit::Task{phase<"a">(nets[0], how, step(0)), phase<"b">(nets[1], how, step(1))};
    } else {
      return tacit::Task{phase<"a">(nets[0], how, step(0)), phase<"b">(nets[1], how, step(1)),
                         phase<"c">(nets[2], how, step(2))};
    }
  }

  template <bool On, class Callback>
  static auto if_on(Callback callback) {
    if constexpr (On) {
      return std::tuple<Callback>{std::move(callback)};
    } else {
      return std::tuple{};
    }
  }
  static auto pack_of(Case const& c, std::vector<std::shared_ptr<Net>> const& nets) {
    tacit::MicroBatches const train_limit =
        c.plan.epoch_limit > 0 ? tacit::MicroBatches{c.plan.epoch_limit} : tacit::MicroBatches{tacit::unset};
    tacit::MicroBatches const eval_limit =
        c.plan.eval_limit > 0 ? tacit::MicroBatches{c.plan.eval_limit} : tacit::MicroBatches{tacit::unset};
    return std::apply(
        [](auto... one) { return tacit::CallbackPack{std::move(one)...}; },
        std::tuple_cat(if_on<Skips>(Skipper{}),
                       if_on < Skips || Watches > (tacit::LimitBatches{train_limit, eval_limit}),
                       if_on<Average == Averaging::ema>(
                           tacit::Ema{.decay = c.plan.decay, .leave_averaged = c.plan.leaves_average}),
                       if_on<Average == Averaging::swa>(tacit::Swa{.leave_averaged = c.plan.leaves_average}),
                       if_on<Average == Averaging::freezer>(Freeze{std::make_shared<tacit::ModelFreezer<Net>>(*nets[0]),
                                                                   c.plan.freeze_from, c.plan.freeze_to}),
                       if_on<Halves>(tacit::AutoMicroBatch{}), if_on<Watches>(tacit::TerminateOnNaN{.bad_updates_in_a_row = c.plan.bad_in_a_row})));
  }

  static auto precision_of() {
    if constexpr (Scaled) {
      return Scaling{};
    } else {
      return tacit::Fp32{};
    }
  }

  struct Rows {
    std::vector<reference::Row> const* rows;
    std::int64_t size() const { return static_cast<std::int64_t>(rows->size()); }
    Batch get_batch(std::span<std::int64_t const> indices) const {
      std::vector<reference::Row> chosen;
      for (std::int64_t index : indices) chosen.push_back((*rows)[static_cast<std::size_t>(index)]);
      return batch_of(chosen);
    }
  };
  /// Does not tell its size: its iterators have no difference.
  struct Stream {
    struct iterator {
      Batch const* at;
      Batch const& operator*() const { return *at; }
      iterator& operator++() {
        ++at;
        return *this;
      }
      bool operator!=(iterator const& other) const { return at != other.at; }
    };
    std::vector<Batch> batches;
    iterator begin() const { return {batches.data()}; }
    iterator end() const { return {batches.data() + batches.size()}; }
  };

  template <class Distribution>
  static Observed run_one(Case const& c, Distribution const& distribution, int rank) {
    surroundings = {false, c.memory};
    // Ranks begin with other values: those of the first one count.
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < c.model.values.size(); ++i) {
      bool const fixed = static_cast<int>(i) == c.frozen || !is_used(c.model, static_cast<int>(i));
      tensors.push_back(Tensor{{c.model.values[i] + (fixed ? 0.0 : 0.125 * rank)}, !fixed});
    }
    auto const tensor = [&](int place) { return tensors[static_cast<std::size_t>(place)]; };
    std::vector<std::shared_ptr<Layer>> layers;
    std::vector<std::shared_ptr<Net>> nets;
    for (std::size_t p = 0; p < Phases; ++p) {
      reference::Net const& net = c.model.phases[p].net;
      bool const has_body_of_first = p == 1 && c.shared == "module";
      layers.push_back(has_body_of_first ? layers[0]
                                         : std::make_shared<Layer>(tensor(net.body_weight), tensor(net.body_bias)));
      layers.push_back(std::make_shared<Layer>(tensor(net.head_weight), tensor(net.head_bias)));
      nets.push_back(p == 1 && c.shared == "model" ? nets[0] : std::make_shared<Net>(layers[2 * p], layers[2 * p + 1]));
    }
    std::vector<Module*> modules;
    for (auto const& net : nets) {
      for (Module* module : net->modules()) modules.push_back(module);
    }
    // A shared module has the mode that was set last.
    for (std::size_t i = 0; i < modules.size(); ++i) modules[i]->set_own_mode(c.modes[i]);
    std::vector<bool> const modes_before = modes_of(modules);

    tacit::Trainer trainer{task_of(c, nets), precision_of(), distribution, pack_of(c, nets)};
    std::vector<Batch> batches;
    for (auto const& rows : c.batches) batches.push_back(batch_of(rows));
    std::vector<Batch> eval;
    for (auto const& rows : c.eval) eval.push_back(batch_of(rows));
    reference::Plan const& plan = c.plan;
    auto const set_if = [](auto& count, long value) {
      if (value > 0) count = value;
    };
    tacit::TrainOptions options{
        .epochs = plan.epochs, .gradient_accumulation = plan.accumulation, .sink = tacit::Sink::none()};
    set_if(options.limit.updates, plan.update_limit);
    set_if(options.limit.micro_batches, plan.micro_batch_limit);
    set_if(options.limit.samples, plan.sample_limit);
    if (plan.clip == reference::Clip::norm) options.clip.norm = plan.clip_at;
    if (plan.clip == reference::Clip::value) options.clip.value = plan.clip_at;
    if (plan.has_evaluation) set_if(options.evaluation.every_updates, plan.evaluate_every_updates);
    options.evaluation.every_epochs = plan.evaluates_epochs ? 1 : 0;

    auto const with_schedule = [&](auto const& train) {
      if constexpr (Scheduled) {
        return train(tacit::lr(tacit::schedule::step(0.5, tacit::Updates{plan.halve_rate_every})));
      } else {
        return train();
      }
    };
    auto const train = [&]() -> tacit::RunResult {
      if constexpr (S == Source::dataset) {
        auto loader = tacit::data::loader(Rows{&c.rows}, {.batch_size = c.batch_size, .drop_last = c.drop_last});
        return with_schedule(
            [&](auto const&... schedule) { return trainer.train(loader, eval, options, schedule...); });
      } else if constexpr (S == Source::vector) {
        return with_schedule(
            [&](auto const&... schedule) { return trainer.train(batches, eval, options, schedule...); });
      } else if constexpr (S == Source::stream) {
        return with_schedule(
            [&](auto const&... schedule) { return trainer.train(Stream{batches}, eval, options, schedule...); });
      } else {
        auto session = trainer.template session<Batch>(options);
        while (session.is_running()) {
          for (std::size_t at = 0; at < plan.train.size() && session.is_running(); ++at) {
            session.step(batches[at * static_cast<std::size_t>(c.world) + static_cast<std::size_t>(rank)]);
          }
          if (session.is_running()) session.end_epoch();
        }
        return session.finish();
      }
    };

    Observed seen;
    tacit::RunResult result;
    if (c.run == "second") train();
    if (c.run == "exception") {
      surroundings.throws = true;
      try {
        train();
      } catch (std::runtime_error const& error) {
        if (std::string_view{error.what()} != "broken on purpose") throw;
        seen.threw = true;
      }
      surroundings.throws = false;
    }
    result = train();
    seen.outcome.end = result.reason == tacit::StopReason::completed    ? reference::End::completed
                       : result.reason == tacit::StopReason::limit      ? reference::End::limit
                       : result.reason == tacit::StopReason::non_finite ? reference::End::not_finite
                                                                        : reference::End::thrown;
    seen.outcome.updates = result.updates.value();
    seen.outcome.micro_batches = result.micro_batches.value();
    seen.outcome.samples = result.samples.value();
    for (std::size_t p = 0; p < Phases; ++p) {
      std::string const of = Phases == 1 ? "" : std::string{"abc"[p]} + "/";
      seen.outcome.train_loss[p] = recorded(result.metrics, of + "train_loss");
      seen.outcome.eval_loss[p] = recorded(result.metrics, of + "eval_loss");
    }
    seen.outcome.average_loss = recorded(result.metrics, Average == Averaging::ema ? "ema/eval_loss" : "swa/eval_loss");
    seen.modes = modes_of(modules);
    for (std::size_t i = 0; i < modules.size(); ++i)
      seen.modes[i] = seen.modes[i] == modes_before[i] ? c.modes[i] : !c.modes[i];

    auto const evaluated = trainer.evaluate(eval, {.sink = tacit::Sink::none()});
    for (std::size_t p = 0; p < Phases; ++p) {
      std::string const of = Phases == 1 ? "" : std::string{"abc"[p]} + "/";
      seen.evaluated[p] = recorded(evaluated.metrics(), of + "eval_loss");
      for (auto& one : seen.evaluated[p]) one.updates = 0;
    }
    for (Tensor const& one : tensors) seen.values.push_back(one.item());
    return seen;
  }

  static std::vector<bool> modes_of(std::vector<Module*> const& modules) {
    std::vector<bool> modes;
    for (Module const* module : modules) modes.push_back(module->is_training());
    return modes;
  }
  static std::vector<reference::Recorded> recorded(tacit::History const& history, std::string const& name) {
    std::vector<reference::Recorded> all;
    for (auto const& one : history.values(tacit::dynamic{name})) all.push_back({one.updates.value(), one.value});
    return all;
  }
};

// --- running them all ---

using Run = std::vector<Observed> (*)(Case const&);

/// Empty where the run is the reference's.
inline std::string difference_of(Composition const& c, Settings const& settings, Run run) {
  Case const made = build(c, settings);
  try {
    return compare(made, run(made));
  } catch (std::exception const& error) {
    return std::string{"an exception: "} + error.what();
  }
}

/// The simplest settings that still fail.
inline Settings shrunk(Composition const& c, Settings settings, Run run) {
  int tries = 400;
  for (bool changed = true; changed && tries > 0;) {
    changed = false;
    Settings simplest;
    auto const fields = settings.all();
    auto const lowest = simplest.all();
    for (std::size_t i = 1; i < fields.size(); ++i) {  // the seed stays
      std::int64_t const before = *fields[i].second;
      for (std::int64_t value = *lowest[i].second; value < before && --tries > 0; ++value) {
        *fields[i].second = value;
        if (!difference_of(c, settings, run).empty()) {
          changed = true;
          break;
        }
        *fields[i].second = before;
      }
    }
  }
  return settings;
}

template <class... Types>
struct TypeList {
  static Run find(Composition const& c) {
    Run found = nullptr;
    ((Types::fits(c) ? static_cast<void>(found = &Types::run) : static_cast<void>(0)), ...);
    return found;
  }
};

inline std::int64_t count_of_settings() {
  char const* const given = std::getenv("TACIT_COMPOSITION_SETTINGS");
  return given == nullptr ? 200 : std::atoll(given);
}

/// TACIT_COMPOSITION="c017 seed=3 batches=2" runs that case alone, "c017" all settings of that composition.
template <class Types>
void check_all(std::vector<std::string> const& groups) {
  std::string const only = std::getenv("TACIT_COMPOSITION") == nullptr ? "" : std::getenv("TACIT_COMPOSITION");
  std::int64_t compositions = 0;
  std::int64_t settings_run = 0;
  for (Composition const& c : read_compositions(std::string{TACIT_TESTS_DIRECTORY} + "/composition/compositions.txt")) {
    std::string const group = c["form"] + (c.is("form", "phases") ? c["phases"] : "");
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) continue;
    if (!only.empty() && only.substr(0, only.find(' ')) != c.name) continue;
    Run const run = Types::find(c);
    if (run == nullptr) {
      FAIL_CHECK(
          "composition " << c.name
                         << " has no type: write them anew, `python3 tests/composition/compositions.py --write`");
      continue;
    }
    if (only.find(' ') != std::string::npos) {
      Settings settings;
      for (auto const& [name, value] : settings.all()) {
        std::istringstream rest{only};
        for (std::string word; rest >> word;) {
          if (word.starts_with(std::string{name} + "=")) *value = std::stoll(word.substr(word.find('=') + 1));
        }
      }
      std::string const difference = difference_of(c, settings, run);
      std::printf("%s %s: %s\n", c.name.c_str(), text_of(settings).c_str(),
                  difference.empty() ? "as the reference" : difference.c_str());
      CHECK(difference.empty());
      continue;
    }
    ++compositions;
    std::int64_t failures = 0;
    std::string first;
    std::string first_difference;
    for (std::int64_t seed = 1; seed <= count_of_settings(); ++seed) {
      Settings const settings = draw(c, seed);
      ++settings_run;
      INFO("TACIT_COMPOSITION=\"" << c.name << " " << text_of(settings) << "\"");
      std::string const difference = difference_of(c, settings, run);
      if (difference.empty() || failures++ > 0) continue;
      Settings const small = shrunk(c, settings, run);
      first = text_of(small);
      first_difference = difference_of(c, small, run);
    }
    if (failures == 0) continue;
    std::string values;
    for (auto const& [dimension, value] : c.values) values += " " + dimension + "=" + value;
    std::printf("%s:%s\n  %lld of %lld settings differ; the first, shrunk: TACIT_COMPOSITION=\"%s %s\": %s\n",
                c.name.c_str(), values.c_str(), static_cast<long long>(failures),
                static_cast<long long>(count_of_settings()), c.name.c_str(), first.c_str(), first_difference.c_str());
    FAIL_CHECK("composition " << c.name << " differs from the reference");
  }
  std::printf("composition: %lld compositions, %lld settings (seeds 1 to %lld)\n",
              static_cast<long long>(compositions), static_cast<long long>(settings_run),
              static_cast<long long>(count_of_settings()));
  CHECK((compositions > 0 || !only.empty()));
}

}  // namespace composition
