// The small types that everything is written in: units, names, tags, lists.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/units.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/train/options.hpp"

namespace {

using namespace tacit;

// --- counts come from integers by themselves, points do not, and nothing mixes ---

static_assert(std::convertible_to<int, Epochs> && std::convertible_to<std::size_t, Updates> && std::convertible_to<std::int64_t, Samples>);
static_assert(!std::convertible_to<bool, Epochs> && !std::convertible_to<double, Epochs> && !std::constructible_from<Epochs, double>);
static_assert(!std::convertible_to<int, EpochIndex> && std::constructible_from<EpochIndex, int>);
static_assert(!std::constructible_from<Epochs, Updates> && !std::constructible_from<Updates, MicroBatches> && !std::constructible_from<Samples, Tokens>);
static_assert(!std::constructible_from<UpdateIndex, EpochIndex> && !std::constructible_from<EpochIndex, Epochs> && !std::constructible_from<Epochs, EpochIndex>);

template <class A, class B>
concept comparable = requires(A a, B b) { a == b; };
template <class A, class B>
concept ordered = requires(A a, B b) { a < b; };
template <class A, class B>
concept addable = requires(A a, B b) { a + b; };
static_assert(comparable<Epochs, Epochs> && ordered<Updates, Updates> && ordered<EpochIndex, EpochIndex>);
static_assert(!comparable<Epochs, Updates> && !ordered<Samples, MicroBatches> && !comparable<Epochs, EpochIndex> && !ordered<UpdateIndex, EpochIndex>);
static_assert(!addable<Epochs, Updates> && !addable<EpochIndex, EpochIndex> && !addable<EpochIndex, Updates>);
static_assert(comparable<Epochs, int>);  // a plain number takes the unit of the other side

static_assert(Epochs{3}.value() == 3 && Epochs{}.value() == 0 && Epochs{}.is_set() && !Epochs{unset}.is_set());
static_assert(Epochs{unset}.value_or(7) == 7 && Epochs{0}.value_or(7) == 0 && Epochs{2} < Epochs{3});
static_assert(sizeof(Epochs) == sizeof(std::int64_t) && std::is_trivially_copyable_v<Epochs>);
constexpr EpochIndex second = [] {
  EpochIndex at{0};
  return ++at;
}();
static_assert(second == EpochIndex{1});
static_assert(Seed{7}.value_or(0) == 7 && Seed{unset}.value_or(3) == 3 && Seed{-1}.is_set() && !std::convertible_to<bool, Seed>);

// A negative count is no constant expression; at run time it is a ConfigError.
template <int N>
concept is_a_count = requires { typename std::integral_constant<std::int64_t, Epochs{N}.value()>; };
static_assert(is_a_count<0> && is_a_count<5> && !is_a_count<-1>);

// --- required members ---

struct Needs {
  required<int> size;
  bool shuffle = false;
};
template <class T>
concept from_nothing = requires { T{}; };
static_assert(!from_nothing<Needs> && !std::default_initializable<Needs>);
static_assert(*Needs{.size = 4}.size == 4 && Needs{4}.size == 4);
static_assert(std::is_aggregate_v<Needs>);

// --- options are plain aggregates, and their designators compile in this order ---

static_assert(std::is_aggregate_v<TrainOptions> && std::is_aggregate_v<EvalOptions> && std::is_aggregate_v<RunLimit> && std::is_aggregate_v<Clip>);
static_assert(requires { TrainOptions{.epochs = 1, .limit = {.updates = 5}, .per_device_batch_size = 32, .gradient_accumulation = 4, .clip = {.norm = 1.0}}; });

// --- fixed strings ---

template <fixed_string Text>
struct Tagged {
  static constexpr std::string_view text = Text.view();
};
static_assert(Tagged<"abc">::text == "abc" && Tagged<"">::text.empty() && Tagged<"a b/c">::text.size() == 5);
static_assert(std::same_as<Tagged<"abc">, Tagged<"abc">> && !std::same_as<Tagged<"abc">, Tagged<"abd">> && !std::same_as<Tagged<"abc">, Tagged<"abcd">>);
static_assert(fixed_string{"abc"} == fixed_string{"abc"} && !(fixed_string{"abc"} == fixed_string{"abcd"}));
static_assert(name<"generator">::value == "generator");

// --- tags ---

struct hit_rate : Metric<"hit_rate", higher_is_better> {};
static_assert(metric_tag<hit_rate> && metric_tag<tag::eval_loss> && !metric_tag<int> && !metric_tag<Needs>);
static_assert(hit_rate::name == "hit_rate" && hit_rate::direction::better(0.5, 0.4) && tag::train_loss::direction::better(0.4, 0.5));
static_assert(tag::samples_per_second::is_volatile && !hit_rate::is_volatile);

using Clean = on<"clean", tag::eval_loss>;
static_assert(Clean::name == "clean/eval_loss" && metric_tag<Clean> && std::is_empty_v<Clean>);
static_assert(Clean::direction::better(0.4, 0.5) && std::same_as<Clean, on<"clean", tag::eval_loss>> && !std::same_as<Clean, on<"noisy", tag::eval_loss>>);
static_assert(on<"a", on<"b", hit_rate>>::name == "a/b/hit_rate" && on<"a", hit_rate>::direction::better(1.0, 0.0));
static_assert(tag::eval_loss::needs_evaluation && Clean::needs_evaluation && !tag::train_loss::needs_evaluation && !hit_rate::needs_evaluation);
static_assert(std::same_as<records<hit_rate, Clean>::tags, list<hit_rate, Clean>>);

// --- lists ---

static_assert(detail::contains_v<list<int, char>, char> && !detail::contains_v<list<int, char>, long> && !detail::contains_v<list<>, int>);
static_assert(std::same_as<detail::concat_t<list<int>, list<>, list<char, long>>, list<int, char, long>> && std::same_as<detail::concat_t<>, list<>>);
static_assert(detail::index_of<char, int, char>() == 1 && detail::index_of<long, int, char>() == 2 && list<int, char>::size == 2);

}  // namespace
