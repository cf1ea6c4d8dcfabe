// End points, monotone pieces and joins of schedules, all at compile time.

#include "tacit/schedule/field.hpp"

#include <cstdint>

namespace {

namespace schedule = tacit::schedule;
using tacit::Epochs;
using tacit::UpdateIndex;
using tacit::Updates;

constexpr schedule::RunLength run{.updates = 100, .updates_per_epoch = 10};

// T17: sums of lengths.
static_assert((Epochs{1} + Updates{5}).updates(run) == 15 && (Updates{5} + Epochs{2}).updates(run) == 25);
static_assert((schedule::Fraction{0.1} + Updates{1}).updates(run) == 11 &&
              (Epochs{1} + schedule::Fraction{0.5}).updates(run) == 60);
static_assert((schedule::Fraction{0.1} + schedule::Fraction{0.2}).updates(run) == 30);
static_assert((Epochs{1} + Updates{5} + schedule::Fraction{0.1}).updates(run) == 25);
static_assert(Updates{5} + Updates{6} == Updates{11} && !(Updates{5} + Updates{tacit::unset}).is_set());
template <class A, class B>
concept can_be_summed = requires(A a, B b) { a + b; };
static_assert(!can_be_summed<Updates, int> && !can_be_summed<int, Epochs> && !can_be_summed<tacit::Samples, Updates> &&
              !can_be_summed<tacit::Tokens, Epochs>);

constexpr double at(auto const& bound, std::int64_t update) { return bound(UpdateIndex{update}); }
constexpr bool falls(auto const& bound, std::int64_t from, std::int64_t to) {
  for (; from + 1 <= to; ++from) {
    if (at(bound, from + 1) > at(bound, from)) return false;
  }
  return true;
}
constexpr double largest_jump(auto const& bound, std::int64_t to) {
  double largest = 0.0;
  for (std::int64_t u = 0; u < to; ++u) {
    double const jump = at(bound, u + 1) - at(bound, u);
    largest = jump > largest ? jump : -jump > largest ? -jump : largest;
  }
  return largest;
}

constexpr auto cosine = schedule::resolve(schedule::warmup(Epochs{1}).then(schedule::cosine({.lowest = 0.25})), run);
static_assert(at(cosine, 0) == 0.0);
static_assert(at(cosine, 5) == 0.5);
static_assert(at(cosine, 10) == 1.0);
static_assert(at(cosine, 55) == 0.625);
static_assert(at(cosine, 100) == 0.25 && at(cosine, 1000) == 0.25);
static_assert(falls(cosine, 10, 120));
static_assert(largest_jump(cosine, 120) <= 0.101);

// Warm-up 20, cool-down 10 of 100: the curve reaches its minimum at 90, without a jump.
constexpr auto cooled =
    schedule::resolve(schedule::warmup(Updates{20}).then(schedule::cosine()).then(schedule::constant(0.0).over(Epochs{1})), run);
static_assert(at(cooled, 70) > 0.1 && at(cooled, 89) > 0.0 && at(cooled, 90) == 0.0 && at(cooled, 99) == 0.0);
static_assert(largest_jump(cooled, 120) <= 0.051);

// A warm-up from a ratio rises to the peak, never above it.
constexpr auto warm = schedule::resolve(schedule::warmup(Updates{20}, 0.5).then(schedule::constant()), run);
static_assert(at(warm, 0) == 0.5 && at(warm, 19) < 1.0 && at(warm, 20) == 1.0);

constexpr auto wsd = schedule::resolve(schedule::wsd({.warmup = Updates{10}, .decay = 0.2, .lowest = 0.0}), run);
static_assert(at(wsd, 10) == 1.0 && at(wsd, 80) == 1.0 && at(wsd, 81) < 1.0 && at(wsd, 100) == 0.0);
static_assert(wsd.phases()[2].begin == UpdateIndex{80} && wsd.phase(UpdateIndex{50}).shape == schedule::Shape::constant);

constexpr auto half = schedule::resolve(schedule::linear(1.0, 0.0).scaled(0.5).clamped(0.1, 0.4), run);
static_assert(at(half, 0) == 0.4 && at(half, 50) == 0.25 && at(half, 99) == 0.1);

constexpr auto field = tacit::lr(schedule::constant(), "heads");
static_assert(field.name.view() == "lr" && field.group == "heads");
static_assert(tacit::detail::is_field_schedule_v<decltype(tacit::lr(schedule::constant()))> && !tacit::detail::is_field_schedule_v<int>);

// Samples are no length; a number alone is refused with ER13 (tests/fail).
template <class T>
concept a_length = requires(T value) { schedule::warmup(value); };
static_assert(a_length<Updates> && a_length<Epochs> && a_length<schedule::Fraction> && !a_length<tacit::Samples>);

}  // namespace
