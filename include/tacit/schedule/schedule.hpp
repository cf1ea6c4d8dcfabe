#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/schedule/math.hpp"
#include "tacit/version.hpp"

/// Schedules: multipliers of an optimizer field as pure functions of the update, made of phases with lengths in strong units.
namespace tacit::inline v0::schedule {

/// How long a run is; what is not known stays unset.
struct RunLength {
  Updates updates = unset;
  Updates updates_per_epoch = unset;
};

/// A part of the run, in updates: `Fraction{0.1}` is a tenth.
struct Fraction {
  double of_run = 0.0;
};

namespace detail {
template <class T>
inline constexpr bool is_length_unit = std::is_same_v<T, Updates> || std::is_same_v<T, Epochs> || std::is_same_v<T, Fraction>;
}  // namespace detail

/// A length in updates, epochs, or parts of the run, or a sum of those; a plain number is none.
/// Throws: ConfigError for a count that is not given, or a fraction outside [0, 1].
class Length {
 public:
  constexpr Length(Updates updates) : updates_{given(updates.is_set(), updates.value())} {}
  constexpr Length(Epochs epochs) : epochs_{given(epochs.is_set(), epochs.value())} {}
  constexpr Length(Fraction part) : part_{part.of_run} {
    if (!(part.of_run >= 0.0 && part.of_run <= 1.0)) {
      throw ConfigError{"TACIT-RC90", "a part of the run is a number from 0 to 1", "schedule::Fraction", "give 0.1 for a tenth"};
    }
  }

  /// A number without its unit: refused, with the units in the message.
  template <class Number>
    requires(std::is_arithmetic_v<Number>)
  constexpr Length(Number) {
    tacit::detail::report(bad<misuse::ER13, Number>{});
  }

  friend constexpr Length operator+(Length a, Length b) {
    a.updates_ = sum(a.updates_, b.updates_);
    a.epochs_ = sum(a.epochs_, b.epochs_);
    a.part_ += b.part_;
    return a;
  }
  friend constexpr Length operator-(Length a, Length b) {
    if (__builtin_sub_overflow(a.updates_, b.updates_, &a.updates_)) throw too_long();
    if (__builtin_sub_overflow(a.epochs_, b.epochs_, &a.epochs_)) throw too_long();
    a.part_ -= b.part_;
    return a;
  }

  /// The length in updates, rounded down.
  /// Throws: ConfigError where the run does not say what it takes, or the length is negative or over 2^63-1.
  constexpr std::int64_t updates(RunLength run) const {
    std::int64_t result = updates_;
    if (epochs_ != 0) {
      if (!run.updates_per_epoch.is_set()) throw unknown("an epoch of the run");
      std::int64_t of_epochs = 0;
      if (__builtin_mul_overflow(epochs_, run.updates_per_epoch.value(), &of_epochs)) throw too_long();
      result = sum(result, of_epochs);
    }
    if (part_ != 0.0) {
      if (!run.updates.is_set()) throw unknown("the run");
      // The small summand keeps 0.3 of 10 from becoming 2.
      double const of_run = math::detail::product(part_, static_cast<double>(run.updates.value())) + 1e-9;
      if (!(of_run < 0x1p63 && of_run > -0x1p63)) throw too_long();
      result = sum(result, static_cast<std::int64_t>(of_run));
    }
    if (result < 0) {
      throw ConfigError{"TACIT-RC92", "a phase has a negative length", "schedule", "shorten the phases around it"};
    }
    return result;
  }

  static ConfigError unknown(std::string_view what) {
    return ConfigError{"TACIT-RC91", tacit::detail::message({"the length of ", what, " is not known, and the schedule depends on it"}), "schedule",
                       "limit the run in updates, or give lengths in updates"};
  }
  /// Throws: ConfigError for a sum over 2^63-1.
  static constexpr std::int64_t sum(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) throw too_long();
    return result;
  }

 private:
  static ConfigError too_long() {
    return ConfigError{"TACIT-RC144", "a length is over 2^63-1", "schedule::Length",
                       "give a shorter one; a phase without a length takes the rest of the run"};
  }
  static constexpr std::int64_t given(bool is_set, std::int64_t count) {
    if (!is_set) throw ConfigError{"TACIT-RC93", "a length is not given", "schedule::Length", "give a number"};
    return count;
  }

  std::int64_t updates_ = 0;
  std::int64_t epochs_ = 0;
  double part_ = 0.0;
};

/// A sum of unlike lengths; that of two counts of one unit is a count.
template <class A, class B>
  requires(detail::is_length_unit<A> && detail::is_length_unit<B> && (!std::is_same_v<A, B> || std::is_same_v<A, Fraction>))
constexpr Length operator+(A a, B b) {
  return Length{a} + Length{b};
}

/// The shape of a phase.
enum class Shape { constant, linear, cosine, inverse_decay, sqrt_decay, polynomial, exponential, step, inverse_sqrt };

constexpr std::string_view name_of(Shape shape) {
  constexpr std::string_view names[] = {"constant",   "linear",      "cosine", "inverse decay", "square root decay",
                                        "polynomial", "exponential", "step",   "inverse square root"};
  return names[static_cast<std::size_t>(shape)];
}

/// One phase of a schedule: its shape, its ends, its length.
struct Piece {
  Shape shape = Shape::constant;
  double from = 1.0;
  double to = 1.0;
  double power = 1.0;             ///< k of cosine's k-decay, the power of polynomial, the factor of exponential and step
  std::int64_t cycles = 1;        ///< of cosine
  bool takes_rest = true;         ///< the phase takes what the others leave of the run
  Length length = Updates{0};     ///< where it does not
  Length period = Updates{1};     ///< of step and exponential, the time scale of inverse_sqrt
  double scale = 1.0;
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
};

/// Where a phase of a bound schedule lies: updates [begin, end).
struct Phase {
  Shape shape = Shape::constant;
  UpdateIndex begin{};
  UpdateIndex end{};
  bool is_endless = false;
};

/// A schedule that knows its run: the value used by update u is `value(u)`; beyond the end it keeps the last phase's end.
/// It has no state, so a resumed run needs nothing but the update's number.
template <std::size_t N>
class Bound {
 public:
  constexpr Bound(std::array<Piece, N> const& pieces, RunLength run) : pieces_{pieces} {
    std::int64_t fixed = 0;
    std::size_t open = 0;
    for (Piece const& piece : pieces_) {
      if (piece.takes_rest) {
        ++open;
      } else {
        fixed = Length::sum(fixed, piece.length.updates(run));
      }
    }
    if (open > 1) {
      throw ConfigError{"TACIT-RC94", "two phases take the rest of the run", "schedule", "give a length to all but one: `.over(Epochs{5})`"};
    }
    if (run.updates.is_set() && fixed > run.updates.value()) {
      throw ConfigError{"TACIT-RC95", tacit::detail::message({"the phases are ", fixed, " updates long, the run ", run.updates.value()}), "schedule",
                        "shorten the phases or train longer"};
    }
    std::int64_t at = 0;
    for (std::size_t i = 0; i < N; ++i) {
      Piece const& piece = pieces_[i];
      bool const is_timeless = piece.shape == Shape::constant || piece.shape == Shape::exponential || piece.shape == Shape::step ||
                               piece.shape == Shape::inverse_sqrt;
      if (piece.shape == Shape::exponential || piece.shape == Shape::step || piece.shape == Shape::inverse_sqrt) {
        periods_[i] = piece.period.updates(run);
        if (periods_[i] < 1) throw ConfigError{"TACIT-RC96", "a period of 0 updates", "schedule", "give 1 or more"};
      }
      phases_[i] = {piece.shape, UpdateIndex{at}, UpdateIndex{at}, false};
      if (!piece.takes_rest) {
        at += piece.length.updates(run);
      } else if (run.updates.is_set()) {
        at += run.updates.value() - fixed;
      } else if (is_timeless && i + 1 == N) {
        phases_[i].is_endless = true;
        at = std::numeric_limits<std::int64_t>::max();
      } else {
        throw Length::unknown("the run");
      }
      phases_[i].end = UpdateIndex{at};
    }
  }

  constexpr double value(UpdateIndex update) const {
    std::size_t const i = index(update);
    return value_of(i, std::clamp(update.value(), phases_[i].begin.value(), phases_[i].end.value()));
  }
  constexpr double operator()(UpdateIndex update) const { return value(update); }

  /// The highest value of any update of the run. Several cosine cycles count with the end of their curve, which no
  /// update may reach.
  constexpr double highest() const {
    double highest = 0.0;
    for (std::size_t i = 0; i < N; ++i) {
      Phase const& phase = phases_[i];
      if (phase.begin == phase.end) continue;
      Piece const& piece = pieces_[i];
      double top = value_of(i, phase.begin.value());
      if (phase.is_endless) {
        if (piece.power > 1.0 && (piece.shape == Shape::exponential || piece.shape == Shape::step)) top = piece.highest;
      } else if (piece.shape == Shape::cosine && piece.cycles > 1) {
        top = kept_within(piece, std::max(piece.from, piece.to));
      } else if (double const last = value_of(i, phase.end.value() - 1); !(last <= top)) {
        top = last;
      }
      if (!(top <= highest)) highest = top;
    }
    return highest;
  }

  constexpr std::array<Phase, N> const& phases() const& noexcept { return phases_; }
  constexpr std::array<Phase, N> phases() const&& { return phases_; }
  /// The phase that update `update` is in; the last one beyond the end.
  constexpr Phase const& phase(UpdateIndex update) const& { return phases_[index(update)]; }
  constexpr Phase phase(UpdateIndex update) const&& { return phases_[index(update)]; }

 private:
  constexpr std::size_t index(UpdateIndex update) const {
    std::size_t last = 0;
    for (std::size_t i = 0; i < N; ++i) {
      if (phases_[i].begin == phases_[i].end) continue;
      last = i;
      if (update < phases_[i].end) break;
    }
    return last;
  }

  constexpr double value_of(std::size_t i, std::int64_t update) const {
    using math::detail::product;
    Piece const& piece = pieces_[i];
    auto const at = static_cast<double>(update - phases_[i].begin.value());
    auto const length = static_cast<double>(phases_[i].end.value() - phases_[i].begin.value());
    double const t = length > 0.0 ? at / length : 1.0;
    double const span = piece.to - piece.from;
    auto const period = static_cast<double>(periods_[i]);
    double value = piece.from;
    switch (piece.shape) {
      case Shape::constant:
        break;
      case Shape::linear:
        value = t == 1.0 ? piece.to : piece.from + product(span, t);
        break;
      case Shape::cosine: {
        double const cycle = product(t, static_cast<double>(piece.cycles));
        double const part = t == 1.0 ? 1.0 : cycle - static_cast<double>(static_cast<std::int64_t>(cycle));
        double const angle = product(3.141592653589793, math::pow(part, piece.power));
        value = piece.to - product(span, product(0.5, 1.0 + math::cos(angle)));
        break;
      }
      case Shape::inverse_decay:
        value = piece.from / (product(t, piece.from / piece.to) + (1.0 - t));
        break;
      case Shape::sqrt_decay:
        value = piece.to - product(span, 1.0 - math::sqrt(t));
        break;
      case Shape::polynomial:
        value = piece.to - product(span, math::pow(1.0 - t, piece.power));
        break;
      case Shape::exponential:
        value = product(piece.from, math::pow(piece.power, at / period));
        break;
      case Shape::step:
        value = product(piece.from, math::pow(piece.power, static_cast<double>((update - phases_[i].begin.value()) / periods_[i])));
        break;
      case Shape::inverse_sqrt:
        value = product(piece.from, math::sqrt(period / (period + at)));
        break;
    }
    return kept_within(piece, value);
  }
  static constexpr double kept_within(Piece const& piece, double value) {
    return std::clamp(math::detail::product(value, piece.scale), piece.lowest, piece.highest);
  }

  std::array<Piece, N> pieces_;
  std::array<Phase, N> phases_{};
  std::array<std::int64_t, N> periods_{};
};

/// A schedule before it knows its run: phases one after the other.
///
/// Example: `warmup(Epochs{1}).then(cosine())`
template <std::size_t N>
class Schedule {
 public:
  constexpr explicit Schedule(std::array<Piece, N> const& pieces) : pieces_{pieces} {}

  /// This schedule, then `next`.
  template <std::size_t M>
  constexpr Schedule<N + M> then(Schedule<M> const& next) const {
    std::array<Piece, N + M> all{};
    std::copy(pieces_.begin(), pieces_.end(), all.begin());
    std::copy(next.pieces().begin(), next.pieces().end(), all.begin() + N);
    return Schedule<N + M>{all};
  }
  /// Every value times `factor`. Throws: ConfigError for a factor that is negative or not finite.
  constexpr Schedule scaled(double factor) const {
    if (!(factor >= 0.0 && factor < std::numeric_limits<double>::infinity())) {
      throw ConfigError{"TACIT-RC97", "a factor is negative or not finite", "schedule::scaled", "give 0 or more"};
    }
    Schedule result = *this;
    for (Piece& piece : result.pieces_) {
      piece.scale *= factor;
      if (piece.lowest > -std::numeric_limits<double>::infinity()) piece.lowest *= factor;
      if (piece.highest < std::numeric_limits<double>::infinity()) piece.highest *= factor;
    }
    return result;
  }
  /// Every value kept within [lowest, highest].
  /// Throws: ConfigError where the bounds are in the wrong order or no numbers, or the upper one is negative.
  constexpr Schedule clamped(double lowest, double highest) const {
    if (!(lowest <= highest)) throw ConfigError{"TACIT-RC98", "the bounds are no interval", "schedule::clamped", "give the lower one first"};
    if (highest < 0.0) {
      throw ConfigError{"TACIT-RC99", "the upper bound is negative", "schedule::clamped", "give 0 or more"};
    }
    Schedule result = *this;
    for (Piece& piece : result.pieces_) {
      piece.lowest = std::clamp(piece.lowest, lowest, highest);
      piece.highest = std::clamp(piece.highest, lowest, highest);
    }
    return result;
  }
  /// The last phase gets a length in place of the rest of the run.
  constexpr Schedule over(Length length) const {
    Schedule result = *this;
    result.pieces_[N - 1].takes_rest = false;
    result.pieces_[N - 1].length = length;
    return result;
  }

  constexpr std::array<Piece, N> const& pieces() const& noexcept { return pieces_; }
  constexpr std::array<Piece, N> pieces() const&& { return pieces_; }

 private:
  std::array<Piece, N> pieces_;
};

/// The schedule for a run of this length.
/// Throws: ConfigError where it does not fit, or depends on a length that is not known.
template <std::size_t N>
constexpr Bound<N> resolve(Schedule<N> const& schedule, RunLength run) {
  return Bound<N>{schedule.pieces(), run};
}

namespace detail {

constexpr void demand(bool holds, char const* what, char const* where) {
  if (!holds) throw ConfigError{"TACIT-RC99", what, where, "see docs/schedules.md"};
}
constexpr bool is_finite(double x) { return x - x == 0.0; }
/// True for what a field may be multiplied by: no field may become negative.
constexpr bool is_factor(double x) { return x >= 0.0 && is_finite(x); }
constexpr Schedule<1> one(Piece const& piece) { return Schedule<1>{{piece}}; }

}  // namespace detail

/// The same value all the time.
constexpr Schedule<1> constant(double value = 1.0) {
  detail::demand(detail::is_factor(value), "the value is negative or not finite", "schedule::constant");
  return detail::one({.from = value, .to = value});
}
/// In a straight line from one value to another.
constexpr Schedule<1> linear(double from, double to) {
  bool const are_factors = detail::is_factor(from) && detail::is_factor(to);
  detail::demand(are_factors, "an end is negative or not finite", "schedule::linear");
  return detail::one({.shape = Shape::linear, .from = from, .to = to});
}
/// From `from` to 1 in a straight line; the first update after it uses 1.
constexpr Schedule<1> warmup(Length length, double from = 0.0) {
  detail::demand(from >= 0.0 && from <= 1.0, "`from` is not from 0 to 1", "schedule::warmup");
  return linear(from, 1.0).over(length);
}

struct CosineOptions {
  double lowest = 0.0;
  double k = 1.0;  ///< k-decay: above 1 it stays high for longer
  std::int64_t cycles = 1;
};
/// Half a cosine from 1 to `lowest`, `cycles` times: lowest + (1 - lowest) (1 + cos(pi t^k)) / 2.
constexpr Schedule<1> cosine(CosineOptions options = {}) {
  detail::demand(detail::is_factor(options.lowest), "`lowest` is negative or not finite", "schedule::cosine");
  detail::demand(options.k > 0.0 && detail::is_finite(options.k), "`k` is not a positive number", "schedule::cosine");
  detail::demand(options.cycles >= 1, "`cycles` is below 1", "schedule::cosine");
  return detail::one({.shape = Shape::cosine, .to = options.lowest, .power = options.k, .cycles = options.cycles});
}
/// lowest + (1 - lowest) (1 - t)^power.
constexpr Schedule<1> polynomial(double power, double lowest = 0.0) {
  detail::demand(power > 0.0 && detail::is_finite(power), "`power` is not a positive number", "schedule::polynomial");
  detail::demand(detail::is_factor(lowest), "`lowest` is negative or not finite", "schedule::polynomial");
  return detail::one({.shape = Shape::polynomial, .to = lowest, .power = power});
}
/// factor^(u / period), smoothly.
constexpr Schedule<1> exponential(double factor, Length period) {
  detail::demand(factor > 0.0 && detail::is_finite(factor), "`factor` is not a positive number", "schedule::exponential");
  return detail::one({.shape = Shape::exponential, .power = factor, .period = period});
}
/// factor^floor(u / period).
constexpr Schedule<1> step(double factor, Length period) {
  detail::demand(factor > 0.0 && detail::is_finite(factor), "`factor` is not a positive number", "schedule::step");
  return detail::one({.shape = Shape::step, .power = factor, .period = period});
}
/// Times `factor` at each milestone, counted from the start of the run in rising order.
template <class... Milestones>
  requires(sizeof...(Milestones) > 0)
constexpr Schedule<sizeof...(Milestones) + 1> multi_step(double factor, Milestones... milestones) {
  detail::demand(factor > 0.0 && detail::is_finite(factor), "`factor` is not a positive number", "schedule::multi_step");
  std::array<Length, sizeof...(Milestones)> const at{Length{milestones}...};
  std::array<Piece, sizeof...(Milestones) + 1> pieces{};
  double value = 1.0;
  for (std::size_t i = 0; i < at.size(); ++i) {
    pieces[i] = {.from = value, .to = value, .takes_rest = false, .length = i == 0 ? at[0] : at[i] - at[i - 1]};
    value *= factor;
  }
  pieces[at.size()] = {.from = value, .to = value};
  return Schedule<sizeof...(Milestones) + 1>{pieces};
}
/// sqrt(s / (s + u)) for a time scale s: 1 at its start.
constexpr Schedule<1> inverse_sqrt(Length time_scale) { return detail::one({.shape = Shape::inverse_sqrt, .period = time_scale}); }

struct OneCycleOptions {
  double rising = 0.3;  ///< part of the run
  double start = 1.0 / 25.0;
  double end = 1.0 / 250000.0;
};
/// Up from `start` to 1 and down to `end`, both in half cosines.
constexpr Schedule<2> one_cycle(OneCycleOptions options = {}) {
  bool const are_factors = detail::is_factor(options.start) && detail::is_factor(options.end);
  detail::demand(are_factors, "an end is negative or not finite", "schedule::one_cycle");
  return detail::one({.shape = Shape::cosine, .from = options.start, .to = 1.0})
      .over(Fraction{options.rising})
      .then(cosine({.lowest = options.end}));
}

enum class Decay { square_root, inverse };
struct WsdOptions {
  Length warmup = Updates{0};
  double warmup_from = 0.0;
  double decay = 0.1;  ///< part of each period, above 0 and below 1
  double lowest = 1e-3;
  Decay form = Decay::square_root;
};
/// Warm-up, stable phase, decay; with several checkpoints, periods that end at 1/2^(n-1), ..., 1/2 and all of the run.
///
/// Each period is a stable phase and a decay. A run that goes on from the weights before a decay is a new run without warm-up.
template <std::size_t Checkpoints = 1>
  requires(Checkpoints >= 1 && Checkpoints <= 16)
constexpr Schedule<2 * Checkpoints + 1> wsd(WsdOptions options = {}) {
  detail::demand(options.decay > 0.0 && options.decay < 1.0, "`decay` is not between 0 and 1", "schedule::wsd");
  detail::demand(options.lowest >= 0.0 && options.lowest <= 1.0, "`lowest` is not from 0 to 1", "schedule::wsd");
  detail::demand(options.form == Decay::square_root || options.lowest > 0.0, "an inverse decay cannot reach 0", "schedule::wsd");
  std::array<Piece, 2 * Checkpoints + 1> pieces{};
  pieces[0] = warmup(options.warmup, options.warmup_from).pieces()[0];
  double done = 0.0;
  for (std::size_t i = 0; i < Checkpoints; ++i) {
    double const until = 1.0 / static_cast<double>(std::uint64_t{1} << (Checkpoints - 1 - i));
    double const decay = math::detail::product(until - done, options.decay);
    Length stable = Fraction{until - done - decay};
    if (i == 0) stable = stable - options.warmup;
    pieces[2 * i + 1] = {.takes_rest = i + 1 == Checkpoints, .length = stable};
    pieces[2 * i + 2] = {.shape = options.form == Decay::inverse ? Shape::inverse_decay : Shape::sqrt_decay,
                         .to = options.lowest, .takes_rest = false, .length = Fraction{decay}};
    done = until;
  }
  return Schedule<2 * Checkpoints + 1>{pieces};
}

}  // namespace tacit::inline v0::schedule

namespace tacit::inline v0 {
using schedule::operator+;  // of counts, whose namespace is this one
}  // namespace tacit::inline v0
