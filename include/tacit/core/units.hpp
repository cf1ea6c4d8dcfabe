#pragma once

#include <compare>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "tacit/core/error.hpp"

namespace tacit::inline v0 {

/// The units of training, each with its name for messages.
namespace unit {
struct epoch {
  static constexpr std::string_view name = "epochs";
};
struct update {
  static constexpr std::string_view name = "updates";
};
struct micro_batch {
  static constexpr std::string_view name = "micro-batches";
};
struct sample {
  static constexpr std::string_view name = "samples";
};
struct token {
  static constexpr std::string_view name = "tokens";
};
}  // namespace unit

/// The value of an option that was not given.
struct unset_t {};
inline constexpr unset_t unset{};

namespace detail {
/// The sum of two counts; 2^63-1 where it would be more: counts are compared with limits, and none is ever reached.
/// Requires: neither is negative.
constexpr std::int64_t bounded_sum(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}
/// How many parts of that size, the last one incomplete, a count has.
/// Requires: part > 0.
constexpr std::int64_t quotient_up(std::int64_t count, std::int64_t part) noexcept { return count / part + (count % part != 0 ? 1 : 0); }
/// A std::ostream or one like it: our types can be written to it, and no header of ours includes one.
template <class T>
concept output_stream = requires {
  typename T::char_type;
  typename T::traits_type;
};
}  // namespace detail

/// How many of a unit: implicit from any integer, never negative, and possibly not given at all.
/// Throws: ConfigError for a negative number (a compile-time error in a constant expression).
template <class Unit>
class Count {
 public:
  constexpr Count() = default;
  constexpr Count(unset_t) noexcept : value_{-1} {}
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  constexpr Count(Integer value) : value_{checked(value)} {}

  constexpr bool is_set() const noexcept { return value_ >= 0; }
  constexpr std::int64_t value() const noexcept { return value_; }
  /// The number, or `fallback` where none was given.
  constexpr std::int64_t value_or(std::int64_t fallback) const noexcept { return is_set() ? value_ : fallback; }

  /// Requires: both are set. A sum over 2^63-1 stays there.
  constexpr Count& operator+=(Count other) noexcept {
    value_ = detail::bounded_sum(value_, other.value_);
    return *this;
  }
  /// Unset where either is. A plain number is no operand: `Updates{5} + Updates{1}`.
  template <std::same_as<Count> A, std::same_as<Count> B>
  friend constexpr Count operator+(A a, B b) noexcept {
    return a.is_set() && b.is_set() ? a += b : Count{unset};
  }
  /// No loop counts to 2^63 one by one.
  constexpr Count& operator++() noexcept {
    ++value_;
    return *this;
  }

  friend constexpr bool operator==(Count, Count) = default;
  friend constexpr auto operator<=>(Count, Count) = default;
  /// Writes the number, or "unset".
  template <detail::output_stream Stream>
  friend Stream& operator<<(Stream& out, Count count) {
    if (count.is_set()) {
      out << count.value_;
    } else {
      out << "unset";
    }
    return out;
  }

 private:
  template <class Integer>
  static constexpr std::int64_t checked(Integer value) {
    bool const fits = value >= Integer{} && static_cast<std::uint64_t>(value) <=
                                                static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!fits) refuse(value);
    return static_cast<std::int64_t>(value);
  }
  // On its own, so that the check is small enough to be inlined.
  template <class Integer>
  [[noreturn]] static void refuse(Integer value) {
    throw ConfigError{"TACIT-RC01", detail::message({value, " is not a number of ", Unit::name}), "Count",
                      "give a number from 0 to 2^63-1"};
  }

  std::int64_t value_ = 0;
};

/// A point on a unit's axis, counted from 0; explicit, so that a count is never taken for a point.
/// Throws: ConfigError for a number over 2^63-1 (a compile-time error in a constant expression).
template <class Unit>
class Index {
 public:
  constexpr Index() = default;
  template <std::integral Integer>
  constexpr explicit Index(Integer value) : value_{static_cast<std::int64_t>(value)} {
    if constexpr (std::unsigned_integral<Integer> && sizeof(Integer) >= sizeof(std::int64_t)) {
      if (value_ < 0 || static_cast<Integer>(value_) != value) refuse();
    }
  }

  constexpr std::int64_t value() const noexcept { return value_; }
  constexpr Index& operator++() noexcept {
    ++value_;
    return *this;
  }

  friend constexpr bool operator==(Index, Index) = default;
  friend constexpr auto operator<=>(Index, Index) = default;
  template <detail::output_stream Stream>
  friend Stream& operator<<(Stream& out, Index index) {
    out << index.value_;
    return out;
  }

 private:
  [[noreturn]] static void refuse() {
    throw ConfigError{"TACIT-RC142", detail::message({"a place over 2^63-1 on the axis of ", Unit::name}), "Index", "give a number from 0 to 2^63-1"};
  }

  std::int64_t value_ = 0;
};

/// The number that fixes everything random in a run: any integer, or not given.
class Seed {
 public:
  constexpr Seed() = default;
  constexpr Seed(unset_t) noexcept {}
  template <std::integral Integer>
    requires(!std::same_as<Integer, bool>)
  constexpr Seed(Integer value) noexcept : value_{static_cast<std::uint64_t>(value)}, is_set_{true} {}

  constexpr bool is_set() const noexcept { return is_set_; }
  constexpr std::uint64_t value_or(std::uint64_t fallback) const noexcept { return is_set_ ? value_ : fallback; }

 private:
  std::uint64_t value_ = 0;
  bool is_set_ = false;
};

namespace detail {
/// The product of counts; not known, so unset, where it is over 2^63-1: that of a run without end, of a batch without bound.
template <class Unit>
constexpr Count<Unit> known_product(std::int64_t a, std::int64_t b, std::int64_t c = 1) {
  std::int64_t product = 0;
  bool const unknown = __builtin_mul_overflow(a, b, &product) || __builtin_mul_overflow(product, c, &product);
  return unknown ? Count<Unit>{unset} : Count<Unit>{product};
}
}  // namespace detail

using Epochs = Count<unit::epoch>;
using Updates = Count<unit::update>;
using MicroBatches = Count<unit::micro_batch>;
using Samples = Count<unit::sample>;
using Tokens = Count<unit::token>;

using EpochIndex = Index<unit::epoch>;
using UpdateIndex = Index<unit::update>;
using MicroBatchIndex = Index<unit::micro_batch>;
using SampleIndex = Index<unit::sample>;

}  // namespace tacit::inline v0
