#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>

#include "tacit/core/units.hpp"
#include "tacit/data/shuffle.hpp"

namespace tacit::inline v0::data {

/// The random numbers of one sample: number n is a pure function of (key, n), as splitmix64 makes it.
///
/// A uniform random bit generator; what is drawn from it by its own members is the same on every machine, but for the
/// last bits of `normal`, `gamma` and `beta`, which use the machine's log, cos and pow.
/// Example: `RandomStream{sample_stream(seed, epoch, sample)}.uniform()`.
class RandomStream {
 public:
  using result_type = std::uint64_t;

  constexpr explicit RandomStream(std::uint64_t key) noexcept : key_{key} {}

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }
  constexpr result_type operator()() noexcept { return detail::mix(key_ + 0x9e3779b97f4a7c15u * ++drawn_); }

  /// A stream that has nothing to do with this one, for one of several users of a sample's numbers.
  constexpr RandomStream fork(std::uint64_t purpose) const noexcept {
    return RandomStream{detail::absorb(key_, purpose)};
  }

  /// In [0, 1), all multiples of 2^-53.
  constexpr double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
  /// In [low, high).
  constexpr double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
  /// True with the given probability.
  constexpr bool chance(double probability) noexcept { return uniform() < probability; }

  /// In [0, limit), each number equally likely; 0 where the limit is below 2.
  constexpr std::int64_t below(std::int64_t limit) noexcept {
    if (limit < 2) return 0;
    auto const range = static_cast<std::uint64_t>(limit);
    std::uint64_t const surplus = (max() % range + 1) % range;  // 2^64 modulo range: draws that would favour some
    std::uint64_t value = (*this)();
    while (surplus != 0 && value > max() - surplus) value = (*this)();
    return static_cast<std::int64_t>(value % range);
  }

  /// Of mean 0 and deviation 1 (Box and Muller, 1958; one of the pair).
  double normal() noexcept {
    double const radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

  /// Gamma-distributed of scale 1 (Marsaglia and Tsang: A simple method for generating gamma variables, 2000).
  /// Requires: shape > 0.
  double gamma(double shape) noexcept {
    if (shape < 1) {
      double const boost = std::pow(1 - uniform(), 1 / shape);
      return gamma(shape + 1) * boost;
    }
    double const d = shape - 1.0 / 3;
    double const c = 1 / std::sqrt(9 * d);
    for (;;) {
      double const x = normal();
      double const v = std::pow(1 + c * x, 3);
      if (v > 0 && std::log(1 - uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
  }

  /// Beta-distributed, in [0, 1].
  /// Requires: a > 0, b > 0.
  double beta(double a, double b) noexcept {
    double const x = gamma(a);
    double const sum = x + gamma(b);
    return sum > 0 ? x / sum : 0.5;
  }

 private:
  std::uint64_t key_;
  std::uint64_t drawn_ = 0;
};

/// The random streams of the samples of a batch: pure functions of (seed, epoch, sample), whatever the batch is.
/// Example: `SampleStreams{seed, EpochIndex{3}, indices}`, with the indices that `get_batch` was given.
class SampleStreams {
 public:
  constexpr SampleStreams(std::uint64_t seed, EpochIndex epoch, std::span<std::int64_t const> samples) noexcept
      : seed_{seed}, epoch_{epoch}, samples_{samples} {}

  constexpr std::int64_t size() const noexcept { return static_cast<std::int64_t>(samples_.size()); }
  /// The stream of the sample at a place of the batch.
  constexpr RandomStream operator[](std::int64_t place) const noexcept {
    std::int64_t const sample = samples_[static_cast<std::size_t>(place)];
    return RandomStream{sample_stream(seed_, epoch_, SampleIndex{sample})}.fork(purpose_);
  }
  /// Streams of the same samples that have nothing to do with these.
  constexpr SampleStreams fork(std::uint64_t purpose) const noexcept {
    SampleStreams forked = *this;
    forked.purpose_ = detail::absorb(purpose_, purpose);
    return forked;
  }

 private:
  std::uint64_t seed_;
  EpochIndex epoch_;
  std::span<std::int64_t const> samples_;
  std::uint64_t purpose_ = 0;
};

}  // namespace tacit::inline v0::data
