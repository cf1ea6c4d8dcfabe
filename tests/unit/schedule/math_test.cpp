#include "tacit/schedule/math.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <catch2/catch_test_macros.hpp>

namespace math = tacit::schedule::math;

namespace math_tests {
namespace {

/// The same numbers on every compiler: made of bits, without arithmetic that could be fused.
class Numbers {
 public:
  std::uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  /// Of either sign (or positive) with an exponent in [lowest, lowest + count).
  double next(int lowest, unsigned count, bool is_signed) {
    std::uint64_t const mantissa = bits() >> 12;
    auto const exponent = static_cast<std::uint64_t>(lowest + 1023) + bits() % count;
    return std::bit_cast<double>((is_signed ? bits() << 63 : 0) | exponent << 52 | mantissa);
  }

 private:
  std::uint64_t state_ = 7;
};

double error(double value, long double exact) {
  double const size = std::abs(static_cast<double>(exact));
  double const ulp = std::nextafter(size, std::numeric_limits<double>::infinity()) - size;
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact) / static_cast<long double>(ulp));
}

}  // namespace

TEST_CASE("Own functions are within 2 ulp of the long double ones and give the same bits on every compiler", "[math]") {
  Numbers numbers;
  double cos = 0.0, sqrt = 0.0, exp = 0.0, log = 0.0, pow = 0.0;
  std::uint64_t hash = 1;
  auto const check = [&](double& worst, double value, long double exact) {
    worst = std::max(worst, error(value, exact));
    hash = hash * 6364136223846793005ULL + std::bit_cast<std::uint64_t>(value);
  };
  for (int i = 0; i < 20000; ++i) {
    double x = numbers.next(-30, 37, true);
    check(cos, math::cos(x), std::cos(static_cast<long double>(x)));
    x = numbers.next(-1022, 2045, false);
    check(sqrt, math::sqrt(x), std::sqrt(static_cast<long double>(x)));
    check(log, math::log(x), std::log(static_cast<long double>(x)));
    x = numbers.next(-2, 3, false);
    check(log, math::log(x), std::log(static_cast<long double>(x)));
    double const y = numbers.next(-10, 15, true);
    check(pow, math::pow(x, y), std::pow(static_cast<long double>(x), static_cast<long double>(y)));
    x = numbers.next(-30, 39, true);
    check(exp, math::exp(x), std::exp(static_cast<long double>(x)));
  }
  CHECK(cos < 2.0);
  CHECK(sqrt <= 0.5);
  CHECK(exp < 2.0);
  CHECK(log < 2.0);
  CHECK(pow < 2.0);
  CHECK(hash == 0xbb5a535cebbb7ba9ULL);
}

TEST_CASE("The ends of the functions' ranges", "[math]") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(math::exp(1000.0) == infinity);
  CHECK(math::exp(-1000.0) == 0.0);
  CHECK(error(math::exp(-740.0), std::exp(-740.0L)) <= 2.0);
  CHECK(math::exp(709.7) < infinity);
  CHECK(math::log(0.0) == -infinity);
  CHECK(std::isnan(math::log(-1.0)));
  CHECK(std::isnan(math::sqrt(-1.0)));
  CHECK(math::sqrt(5e-324) == std::sqrt(5e-324));
  CHECK(math::pow(0.0, 2.0) == 0.0);
  CHECK(math::pow(0.0, 0.0) == 1.0);
  CHECK(math::pow(10.0, 400.0) == infinity);
  CHECK(math::pow(10.0, -400.0) == 0.0);
  CHECK(std::isnan(math::pow(-1.0, 2.0)));
  CHECK(std::isnan(math::cos(infinity)));
  static_assert(math::sqrt(4.0) == 2.0 && math::cos(0.0) == 1.0 && math::exp(0.0) == 1.0 && math::pow(10.0, 3.0) == 1000.0);
}

}  // namespace math_tests
