#pragma once

#include <cstdint>
#include <limits>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// A counter-based generator: its n-th number is a hash of (key, n), the same on every machine.
///
/// It is two words, cheap to make for each sample, and a standard uniform random bit generator. The distributions of the
/// standard library differ from one library to the next; `uniform`, `below` and `chance` do not.
/// Source: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class Random {
 public:
  using result_type = std::uint64_t;

  constexpr explicit Random(std::uint64_t key) noexcept : key_{key} {}

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

  constexpr result_type operator()() noexcept {
    std::uint64_t z = key_ + ++counter_ * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  constexpr double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
  /// Uniform in [0, limit), without bias; 0 for a limit below 1.
  constexpr std::int64_t below(std::int64_t limit) noexcept {
    if (limit < 1) return 0;
    auto const range = static_cast<std::uint64_t>(limit);
    std::uint64_t const last = max() - max() % range;  // below it, every remainder is met equally often
    std::uint64_t number = (*this)();
    while (number >= last) number = (*this)();
    return static_cast<std::int64_t>(number % range);
  }
  /// True with the given probability.
  constexpr bool chance(double probability) noexcept { return uniform() < probability; }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace tacit::inline v0
