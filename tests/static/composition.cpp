// One trainer type, however it is spelled; what is not used takes no space; nothing can be copied that must not be.

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

namespace {

struct Greet {
  void on(tacit::event::InitEnd const&, auto&) {}
};
struct Count {
  int updates = 0;
  void on(tacit::event::UpdateEnd const&, auto&) { ++updates; }
};
struct Half : tacit::Fp32 {};
struct Alone : tacit::SingleProcess {};

using Model = std::shared_ptr<fake::Linear>;
using Loss = fake::MeanSquaredError;
using Sgd = fake::Sgd;
using Supervised = tacit::Supervised<fake::Linear, Loss, Sgd>;

// --- three spellings of one type ---

template <class... Arguments>
using Deduced = decltype(tacit::Trainer{std::declval<Arguments>()...});

using Full = tacit::Trainer<Supervised, fake::Gpu, Half, Alone, tacit::CallbackPack<Greet, Count>>;
using Pack = tacit::CallbackPack<Greet, Count>;
static_assert(std::same_as<Deduced<Model, Loss, Sgd, fake::Gpu, Half, Alone, Pack>, Full>);
static_assert(std::same_as<tacit::trainer_of<fake::Linear, Loss, Sgd, fake::Gpu, Half, Alone, Pack>, Full>);
static_assert(std::same_as<tacit::trainer_of<Model, Loss, Sgd, fake::Gpu, Half, Alone, Pack>, Full>);

// Lvalues, references and const change nothing.
static_assert(std::same_as<Deduced<Model&, Loss const&, Sgd&&, fake::Gpu const&, Half&, Alone&, Pack&>, Full>);

// Policies stand in any order.
static_assert(std::same_as<Deduced<Model, Loss, Sgd, Pack, Alone, Half, fake::Gpu>, Full>);
static_assert(std::same_as<Deduced<Model, Loss, Sgd, Half, Pack, fake::Gpu, Alone>, Full>);
static_assert(std::same_as<tacit::trainer_of<fake::Linear, Loss, Sgd, Alone, fake::Gpu, Pack, Half>, Full>);

// A task is what its parts make.
static_assert(std::same_as<Deduced<Supervised, fake::Gpu, Half, Alone, Pack>, Full>);
static_assert(std::same_as<tacit::trainer_of<Supervised, Pack, fake::Gpu, Half, Alone>, Full>);

// Every policy has a default, and so has the canonical type.
using Plain = tacit::Trainer<Supervised, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<>>;
static_assert(std::same_as<Deduced<Model, Loss, Sgd, tacit::CallbackPack<>>, Plain>);
static_assert(std::same_as<Deduced<Model, Loss, Sgd, tacit::Cpu, tacit::SingleProcess, tacit::Fp32, tacit::CallbackPack<>>, Plain>);

// Packs are flat, whatever stands in them.
static_assert(std::same_as<Deduced<Model, Loss, Sgd, tacit::CallbackPack<Greet, tacit::CallbackPack<tacit::CallbackPack<>, Count>>>,
                           Deduced<Model, Loss, Sgd, Pack>>);
// The names of eval sets belong to the composition, wherever they stand.
static_assert(std::same_as<Deduced<Model, Loss, Sgd, tacit::eval_sets<"a">, Pack>, Deduced<Model, Loss, Sgd, Pack, tacit::eval_sets<"a">>>);
static_assert(!std::same_as<Deduced<Model, Loss, Sgd, tacit::eval_sets<"a">, Pack>, Deduced<Model, Loss, Sgd, tacit::eval_sets<"b">, Pack>>);

// What is written into the full form need not be given again; what is given is the same.
static_assert(std::constructible_from<Full, Model, Loss, Sgd>);
static_assert(std::constructible_from<Full, Supervised, Pack, Alone>);

// --- copies ---

static_assert(!std::copy_constructible<Plain> && !std::move_constructible<Plain>);
static_assert(!std::constructible_from<Plain, Plain&> && !std::constructible_from<Plain, Plain const&> && !std::constructible_from<Plain, Plain>);
static_assert(!std::is_assignable_v<Plain&, Plain&> && !std::is_assignable_v<Plain&, Plain>);
static_assert(!std::convertible_to<Supervised, Plain>);  // no trainer is made by accident

// `Trainer b{a}` means a copy, which there is not; it makes no second trainer of a first one.
template <class T>
concept makes_another = requires(T& trainer) { tacit::Trainer{trainer}; };
static_assert(!makes_another<Plain> && !makes_another<Full>);

// Contexts are neither copied nor stored.
template <class Event>
using ContextOf = tacit::detail::probe_context<fake::Tensor, Event>;
static_assert(!std::copy_constructible<ContextOf<tacit::event::UpdateEnd>> && !std::move_constructible<ContextOf<tacit::event::UpdateEnd>>);
static_assert(!std::is_copy_assignable_v<ContextOf<tacit::event::UpdateEnd>>);
static_assert(!std::copy_constructible<tacit::LogPoint> && !std::move_constructible<tacit::LogPoint>);

// What is not valid at an event is not there.
template <class Event>
concept has_batch = requires(ContextOf<Event>& context) { context.batch(); };
template <class Event>
concept has_output = requires(ContextOf<Event>& context) { context.output(); };
template <class Event>
concept can_evaluate = requires(ContextOf<Event>& context) { context.evaluate(); };
template <class Event>
concept can_emit = requires(ContextOf<Event>& context) { context.emit(0); };
template <class Event>
concept can_record = requires(ContextOf<Event>& context) { context.record(tacit::tag::train_loss{}, 0.0); };
namespace event = tacit::event;
static_assert(has_batch<event::TrainStepStart> && has_batch<event::EvalStepEnd> && !has_batch<event::TrainEpochEnd> && !has_batch<event::UpdateEnd>);
static_assert(has_output<event::TrainLossComputed> && has_output<event::TrainStepEnd> && !has_output<event::TrainStepStart>);
static_assert(can_evaluate<event::TrainEpochEnd> && !can_evaluate<event::EvalEpochEnd> && !can_evaluate<event::TrainStepEnd>);
static_assert(can_record<event::EvalEpochEnd> && !can_record<event::Aborted<tacit::stage::TrainStep>> && !can_emit<event::Aborted<tacit::stage::TrainStep>>);
static_assert(can_emit<event::TrainStepEnd>);
struct Spike {};
static_assert(!can_emit<Spike> && can_record<Spike>);
// The view has neither train nor evaluate.
using View = tacit::TrainerView<typename Plain::core_type>;
template <class V>
concept can_train = requires(V& view) { view.train(0, tacit::TrainOptions{}); };
template <class V>
concept can_evaluate_again = requires(V& view) { view.evaluate(0); };
static_assert(!can_train<View> && !can_evaluate_again<View>);

// --- sizes ---

template <class... Callbacks>
using CoreOf = typename tacit::Trainer<Supervised, tacit::Cpu, tacit::Fp32, tacit::SingleProcess, tacit::CallbackPack<Callbacks...>>::core_type;
template <int>
struct Idle {
  void on(tacit::event::TrainingRunEnd const&, auto&) {}
};
static_assert(sizeof(Plain) == sizeof(void*));  // the trainer is a pointer to its core
// Empty callbacks take no space, and one that counts takes what it counts with.
static_assert(sizeof(CoreOf<>) == sizeof(CoreOf<Idle<0>>));
static_assert(sizeof(CoreOf<>) == sizeof(CoreOf<Idle<0>, Idle<1>, Idle<2>, Idle<3>>));
static_assert(sizeof(CoreOf<Count>) <= sizeof(CoreOf<>) + alignof(std::max_align_t));
static_assert(sizeof(CoreOf<Count>) == sizeof(CoreOf<Idle<0>, Count, Idle<1>>));
// Policies without state take none either.
static_assert(sizeof(typename Full::core_type) == sizeof(CoreOf<Greet, Count>));

}  // namespace
