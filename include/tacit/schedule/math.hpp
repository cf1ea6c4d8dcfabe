#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tacit/version.hpp"

/// Elementary functions that give the same bits at compile time and at run time, on every compiler and machine of IEEE doubles.
///
/// `<cmath>` is neither constexpr on all compilers nor the same in all libraries. Errors are below 2 ulp.
namespace tacit::inline v0::schedule::math {

namespace detail {

// A product that no compiler may fuse with the sum it goes into: with FMA instructions the bits would differ.
constexpr double product(double a, double b) {
  double result = a * b;
  if (!std::is_constant_evaluated()) asm("" : "+m"(result));
  return result;
}

/// A number as the sum of two doubles, the second below half an ulp of the first.
struct Sum {
  double high = 0.0;
  double low = 0.0;
};

constexpr Sum sum(double a, double b) {  // Knuth: exact
  double const high = a + b;
  double const rest = high - a;
  return {high, (a - (high - rest)) + (b - rest)};
}
constexpr Sum exact_product(double a, double b) {  // Dekker: exact without overflow
  constexpr double splitter = 134217729.0;         // 2^27 + 1
  double const ca = product(splitter, a), a1 = ca - (ca - a), a2 = a - a1;
  double const cb = product(splitter, b), b1 = cb - (cb - b), b2 = b - b1;
  double const high = product(a, b);
  return {high, ((product(a1, b1) - high) + product(a1, b2) + product(a2, b1)) + product(a2, b2)};
}
constexpr Sum add(Sum a, Sum b) {
  Sum const high = sum(a.high, b.high);
  return sum(high.high, high.low + (a.low + b.low));
}
constexpr Sum multiply(Sum a, Sum b) {
  Sum const high = exact_product(a.high, b.high);
  return sum(high.high, high.low + (product(a.high, b.low) + product(a.low, b.high)));
}
constexpr Sum divide(Sum a, Sum b) {
  double const first = a.high / b.high;
  Sum const back = multiply({first, 0.0}, b);
  double const rest = ((a.high - back.high) - back.low) + a.low;
  return sum(first, rest / b.high);
}

constexpr double power_of_two(int exponent) {  // of a normal number
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}
constexpr double nearest(double x) {  // for |x| below 2^31
  return static_cast<double>(static_cast<std::int64_t>(x < 0.0 ? x - 0.5 : x + 0.5));
}

// exp(x + low), by Taylor's series of what is left of x after multiples of ln 2.
constexpr double exp(double x, double low) {
  if (x != x) return x;
  if (x > 709.8) return std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0.0;
  double const k = nearest(product(x, 1.4426950408889634));
  double const high = x - product(k, 0x1.62e42fefp-1);
  double const rest = product(k, 0x1.473de6af278edp-34) - low;
  double const r = high - rest;
  double series = 1.0 / 87178291200.0;  // 1/14!
  double factorial = 6227020800.0;      // 13!
  for (int n = 13; n >= 2; --n) {
    series = 1.0 / factorial + product(series, r);
    factorial /= n;
  }
  double const value = 1.0 + (high + (product(product(r, r), series) - rest));
  int const exponent = static_cast<int>(k);
  if (exponent > 1023) return value * 2.0 * power_of_two(exponent - 1);
  if (exponent < -1021) return value * power_of_two(exponent + 100) * power_of_two(-100);
  return value * power_of_two(exponent);
}

// log(x) of a finite positive x to about 100 bits: k ln 2 + 2 atanh((m - 1) / (m + 1)).
constexpr Sum log(double x) {
  int k = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 18014398509481984.0;  // 2^54
    k = -54;
  }
  auto const bits = std::bit_cast<std::uint64_t>(x);
  k += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++k;
  }
  Sum const s = divide({m - 1.0, 0.0}, sum(m, 1.0));
  Sum const z = multiply(s, s);
  Sum series{};
  for (int n = 35; n >= 1; n -= 2) series = add(multiply(series, z), divide({2.0, 0.0}, {static_cast<double>(n), 0.0}));
  return add(multiply({static_cast<double>(k), 0.0}, {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56}), multiply(s, series));
}

}  // namespace detail

/// The square root, correctly rounded.
constexpr double sqrt(double x) {
  if (x < 0.0) return std::numeric_limits<double>::quiet_NaN();
  if (!(x > 0.0) || x == std::numeric_limits<double>::infinity()) return x;
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 18014398509481984.0;
    exponent = -54;
  }
  auto const bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  std::uint64_t rest = (bits & 0xfffffffffffffULL) | 0x10000000000000ULL;
  if (exponent & 1) {
    rest <<= 1;
    --exponent;
  }
  // Digit by digit, with one digit more than a double holds, for rounding.
  rest <<= 1;
  std::uint64_t root = 0, twice = 0;
  for (std::uint64_t digit = 1ULL << 53; digit != 0; digit >>= 1) {
    if (twice + digit <= rest) {
      twice += 2 * digit;
      rest -= twice - digit;
      root += digit;
    }
    rest <<= 1;
  }
  root = (root + (root & 1)) >> 1;
  return static_cast<double>(root) * detail::power_of_two(exponent / 2 - 52);
}

/// The exponential function.
constexpr double exp(double x) { return detail::exp(x, 0.0); }

/// The natural logarithm.
constexpr double log(double x) {
  if (x == 0.0) return -std::numeric_limits<double>::infinity();
  if (!(x > 0.0)) return std::numeric_limits<double>::quiet_NaN();
  return x == std::numeric_limits<double>::infinity() ? x : detail::log(x).high;
}

/// x to the power of y; Requires: 0 <= x, both finite (not a number else).
constexpr double pow(double x, double y) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!(x >= 0.0 && x < infinity && y > -infinity && y < infinity)) return std::numeric_limits<double>::quiet_NaN();
  if (y == 0.0 || x == 1.0) return 1.0;
  if (x == 0.0) return y > 0.0 ? 0.0 : infinity;
  if (y == 1.0) return x;
  detail::Sum const log = detail::log(x);
  double const size = y * log.high;
  if (size > 710.0) return infinity;
  if (size < -746.0) return 0.0;
  detail::Sum const power = detail::multiply({y, 0.0}, log);
  return detail::exp(power.high, power.low);
}

/// The cosine of x in radians; Requires: |x| <= 2^20 (not a number else).
constexpr double cos(double x) {
  if (!(x >= -1048576.0 && x <= 1048576.0)) return std::numeric_limits<double>::quiet_NaN();
  // pi/2 in three parts, of which the first two have exact multiples.
  double const k = detail::nearest(detail::product(x, 0.6366197723675814));
  detail::Sum const near = detail::sum(x - detail::product(k, 0x1.921fb544p+0), -detail::product(k, 0x1.0b4611a6p-34));
  detail::Sum const r = detail::sum(near.high, near.low - detail::product(k, 0x1.3198a2e037073p-69));
  double const z = detail::product(r.high, r.high);
  auto const quadrant = static_cast<std::int64_t>(k) & 3;
  bool const is_sine = quadrant & 1;
  double series = 0.0;
  double factorial = is_sine ? 121645100408832000.0 : 6402373705728000.0;  // 19!, 18!
  int n = is_sine ? 19 : 18;
  for (; n > 4; n -= 2) {
    series = 1.0 / factorial - detail::product(z, series);
    factorial /= static_cast<double>(n * (n - 1));
  }
  double value = 0.0;
  if (is_sine) {
    double const cube = 1.0 / 6.0 - detail::product(z, series);
    value = r.high + (r.low - detail::product(detail::product(r.high, z), cube));
  } else {
    double const half = 0.5 * z;
    double const rough = 1.0 - half;
    double const tail = 1.0 / 24.0 - detail::product(z, series);
    value = rough + (((1.0 - rough) - half) + (detail::product(detail::product(z, z), tail) - detail::product(r.high, r.low)));
  }
  return quadrant == 1 || quadrant == 2 ? -value : value;
}

}  // namespace tacit::inline v0::schedule::math
