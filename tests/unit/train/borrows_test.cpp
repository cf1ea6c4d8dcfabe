#include <catch2/catch_test_macros.hpp>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/data/split.hpp"
#include "tacit/schedule/field.hpp"
#include "tacit/state/file_system.hpp"
#include "tacit/train/trainer.hpp"

// fault T7: what is borrowed outlives who borrows it, or does not compile. Run under AddressSanitizer in its preset.

namespace data = tacit::data;
using tacit::CallbackPack;
using tacit::EpochIndex;
using tacit::eval_data;

namespace borrows_tests {
namespace {

/// Data of their own memory, which is gone with them.
struct Vec {
  std::vector<double> x;
  std::shared_ptr<int> alive = std::make_shared<int>(0);
  std::int64_t size() const { return static_cast<std::int64_t>(x.size()); }
  fake::Batch get_batch(std::span<std::int64_t const> indices) const {
    std::vector<double> values;
    for (auto const i : indices) values.push_back(x[static_cast<std::size_t>(i)]);
    return {fake::Tensor{values}, fake::Tensor{values}};
  }
};
Vec make() { return {std::vector<double>(8, 1.0)}; }
/// The same, and only movable.
struct MoveOnly : Vec {
  MoveOnly() : Vec{make()} {}
  MoveOnly(MoveOnly&&) = default;
};

auto trainer() {
  return tacit::Trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{},
                        tacit::eval_sets<"a">{}, CallbackPack{}};
}
using Made = decltype(trainer());
tacit::TrainOptions const options{.epochs = 2, .per_device_batch_size = 2, .sink = tacit::Sink::none()};

}  // namespace

TEST_CASE(
    "T7: the data of a named eval set are taken over where they were an rvalue, and borrowed where they were none") {
  auto one = trainer();
  auto const held = eval_data<"a">(make());
  auto first = one.train(make(), options, held);
  auto second = one.train(make(), options, held);  // they are still there
  CHECK(first.metrics.values(tacit::dynamic{"a/eval_loss"}).size() == 2);
  CHECK(second.metrics.values(tacit::dynamic{"a/eval_loss"}).size() == 2);

  one.train(make(), options, eval_data<"a">(MoveOnly{}));
  auto const loader = eval_data<"a">(data::loader(make(), {.batch_size = 4}));
  one.train(make(), options, loader);
  one.train(make(), options,
            eval_data<"a">(std::vector<fake::Batch>(2, make().get_batch(std::vector<std::int64_t>{0, 1}))));

  Vec lvalue = make();
  auto const borrowed = eval_data<"a">(lvalue);
  CHECK(lvalue.alive.use_count() == 1);
  one.train(make(), options, borrowed);
  Vec const fixed = make();
  one.train(make(), options, eval_data<"a">(fixed));
  CHECK(fixed.alive.use_count() == 1);
}

TEST_CASE("T7: a loop over the epoch of a loader that nobody holds") {
  std::size_t values = 0;
  for (auto& batch : data::loader(make(), {.batch_size = 4}).epoch(1, EpochIndex{0}))
    values += batch.input.values().size();
  CHECK(values == 8);
  for (auto& batch : data::epoch(data::loader(make(), {.batch_size = 3, .workers = 1}), 1, EpochIndex{0}))
    values += batch.input.values().size();
  CHECK(values == 16);
  auto held = data::loader(make(), {.batch_size = 4});
  for (auto& batch : held.epoch(1, EpochIndex{1})) values += batch.input.values().size();
  for (auto& batch : data::epoch(held, 1, EpochIndex{1})) values += batch.input.values().size();
  CHECK(values == 32);
}

TEST_CASE("T7: what a loop reads of a result that nobody holds is there") {
  auto one = trainer();
  int entries = 0;
  for (auto& entry : one.train(make(), options, eval_data<"a">(make())).metrics.values(tacit::tag::train_loss{}))
    entries += entry.value >= 0.0 ? 1 : 0;
  for (auto const& column : one.train(make(), options, eval_data<"a">(make())).metrics.columns())
    entries += static_cast<int>(column.entries.size());
  for (auto const& entry : one.evaluate(make()).metrics().values(tacit::tag::eval_loss{}))
    entries += entry.value >= 0.0 ? 1 : 0;
  CHECK(entries == 2 + 4 + 1);
  auto const history = trainer().history();
  auto const plan = trainer().plan();
  CHECK(history.columns().empty());
  CHECK_FALSE(plan.epochs.is_set());
}

namespace {

// Members that lend what is inside, asked of an object that ends with the expression: an own value, or nothing.
template <class T>
concept lends_history = requires(T made) {
  { static_cast<T&&>(made).history() } -> std::same_as<tacit::History const&>;
};
template <class T>
concept lends_session = requires(T made) {
  static_cast<T&&>(made).template session<fake::Batch>();
};
template <class T>
concept lends_model = requires(T made) {
  static_cast<T&&>(made).model();
};
template <class T>
concept lends_task = requires(T made) {
  static_cast<T&&>(made).task();
};
template <class T>
concept lends_view = requires(T made) {
  static_cast<T&&>(made).view();
};
static_assert(!lends_history<Made&&> && !lends_history<Made const&&> && lends_history<Made&>);
static_assert(!lends_session<Made&&> && lends_session<Made&>);
static_assert(!lends_model<Made&&> && !lends_model<Made const&&> && lends_model<Made&> && lends_model<Made const&>);
static_assert(!lends_task<Made&&> && !lends_task<Made const&&> && lends_task<Made&>);
static_assert(!lends_view<Made&&> && lends_view<Made&>);

template <class T>
concept lends_base = requires(T made) {
  static_cast<T&&>(made).base();
};
using Loader = data::Loader<Vec>;
static_assert(!lends_base<Loader&&> && lends_base<Loader&> && lends_base<Loader const&>);
static_assert(!lends_base<data::Subset<Vec>&&> && lends_base<data::Subset<Vec>&>);
static_assert(std::same_as<decltype(std::declval<Loader>().options()), data::LoaderOptions>);
static_assert(std::same_as<decltype(std::declval<data::Subset<Vec>>().indices()), std::vector<std::int64_t>>);

static_assert(std::same_as<decltype(std::declval<tacit::History>().values(tacit::tag::train_loss{})),
                           std::vector<tacit::HistoryEntry>>);
static_assert(std::same_as<decltype(std::declval<tacit::History const>().runs()), std::vector<tacit::HistoryRun>>);
static_assert(std::same_as<decltype(std::declval<tacit::EvalResult>().metrics()), tacit::History>);
static_assert(std::same_as<decltype(std::declval<tacit::AnyCallback>().name()), std::string>);

template <class T>
concept lends_bytes = requires(T made) {
  static_cast<T&&>(made).bytes();
};
static_assert(!lends_bytes<tacit::Buffer&&> && !lends_bytes<tacit::Buffer const&&> && lends_bytes<tacit::Buffer&>);

template <class Group>
concept names_group = requires(Group group) {
  tacit::lr(tacit::schedule::constant(1.0), static_cast<Group&&>(group));
};
static_assert(!names_group<std::string&&> && !names_group<std::string const&&>);
static_assert(names_group<std::string&> && names_group<char const*> && names_group<std::string_view>);

}  // namespace

}  // namespace borrows_tests
