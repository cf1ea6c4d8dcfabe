#pragma once

#include "tacit/core/misuse.hpp"

namespace tacit::inline v0::detail {

/// Stops the compiler with the one message of a refused composition; docs/errors.md tells each with its cure.
///
/// The culprit stands in the type that the compiler prints. Each condition is a named bool: g++ would print a comparison's values.
template <misuse N, class Culprit, class Detail>
constexpr void report(bad<N, Culprit, Detail>) {
  constexpr bool es01 = N != misuse::ES01;
  static_assert(es01, "[TACIT-ES01] an argument of Trainer fills no slot, wanted: after the task only policies, each with a member alias `slot`, see docs/errors.md");
  constexpr bool es02 = N != misuse::ES02;
  static_assert(es02, "[TACIT-ES02] two policies fill one slot, wanted: at most one of each, see docs/errors.md");
  constexpr bool es03 = N != misuse::ES03;
  static_assert(es03, "[TACIT-ES03] no task, wanted: Trainer{task, policies...} or Trainer{model, loss, optimizer, policies...}, see docs/errors.md");
  constexpr bool es04 = N != misuse::ES04;
  static_assert(es04, "[TACIT-ES04] the model is neither a std::shared_ptr nor a module holder, wanted: Trainer{std::make_shared<Model>(), loss, optimizer, ...}, see docs/errors.md");
  constexpr bool es05 = N != misuse::ES05;
  static_assert(es05, "[TACIT-ES05] an argument contradicts the policy written into Trainer<...>, wanted: the same type in both places, see docs/errors.md");
  constexpr bool es06 = N != misuse::ES06;
  static_assert(es06, "[TACIT-ES06] the optimizer is no recipe, wanted: auto bind(Parameters&) const, whose result has step(Parameters&, update_input const&), parameters_changed(Parameters&) and maskable, see docs/errors.md");
  constexpr bool et01 = N != misuse::ET01;
  static_assert(et01, "[TACIT-ET01] a step's result has no tensor `loss`, wanted: a struct with a member `Tensor loss`, see docs/errors.md");
  constexpr bool et02 = N != misuse::ET02;
  static_assert(et02, "[TACIT-ET02] the step cannot be called with this batch, wanted: step(model, batch, context) or train_step(batch, context), with `auto& context`, see docs/errors.md");
  constexpr bool et03 = N != misuse::ET03;
  static_assert(et03, "[TACIT-ET03] `forward` cannot be called with this input, wanted: Tensor forward(Input) in the model, or forward(input, context) in the task, see docs/errors.md");
  constexpr bool et04 = N != misuse::ET04;
  static_assert(et04, "[TACIT-ET04] a task derived from Supervised changes nothing, wanted: a public member train_step, eval_step, forward or loss, see docs/errors.md");
  constexpr bool et05 = N != misuse::ET05;
  static_assert(et05, "[TACIT-ET05] an override has unusable parameters, wanted: train_step(batch, context), eval_step(batch, context), forward(input, context) or loss(prediction, target, context), with `auto& context`, see docs/errors.md");
  constexpr bool et06 = N != misuse::ET06;
  static_assert(et06, "[TACIT-ET06] `overrides` lists a point that the task does not name, wanted: a public member of each listed name, see docs/errors.md");
  constexpr bool et07 = N != misuse::ET07;
  static_assert(et07, "[TACIT-ET07] the batch is no pair of input and target, wanted: members `input` and `target`, members `data` and `target`, a pair, a struct of two fields, or a task with its own train_step, see docs/errors.md");
  constexpr bool et08 = N != misuse::ET08;
  static_assert(et08, "[TACIT-ET08] the loss cannot be called with this prediction and target, wanted: Tensor operator()(prediction, target), see docs/errors.md");
  constexpr bool et09 = N != misuse::ET09;
  static_assert(et09, "[TACIT-ET09] the model is no module, wanted: named_parameters(), named_buffers(), train(bool) and is_training(), see docs/errors.md");
  constexpr bool et10 = N != misuse::ET10;
  static_assert(et10, "[TACIT-ET10] two phases of a task have one name, wanted: a name for each, phase<\"name\">(model, optimizer, step), see docs/errors.md");
  constexpr bool et11 = N != misuse::ET11;
  static_assert(et11, "[TACIT-ET11] the data give another batch than the task's `batch_type`, wanted: that type, see docs/errors.md");
  constexpr bool ec01 = N != misuse::EC01;
  static_assert(ec01, "[TACIT-EC01] a handler's parameters nearly match an event, wanted: void on(event::X const&, auto& context), see docs/errors.md");
  constexpr bool ec02 = N != misuse::EC02;
  static_assert(ec02, "[TACIT-EC02] a callback handles no event, wanted: a public void on(event::X const&, auto& context), see docs/errors.md");
  constexpr bool ec03 = N != misuse::EC03;
  static_assert(ec03, "[TACIT-EC03] one callback type stands twice in the pack, wanted: named<\"name\">(callback) around one of them, see docs/errors.md");
  constexpr bool ec04 = N != misuse::EC04;
  static_assert(ec04, "[TACIT-EC04] a callback cannot be moved into the pack, wanted: std::ref(callback), see docs/errors.md");
  constexpr bool ec05 = N != misuse::EC05;
  static_assert(ec05, "[TACIT-EC05] `events` lists an event that the callback does not handle, wanted: void on(that event const&, auto& context), see docs/errors.md");
  constexpr bool ec06 = N != misuse::EC06;
  static_assert(ec06, "[TACIT-EC06] a callback handles an event that its `events` does not list, wanted: every handled event in `using events = event::list<...>`, see docs/errors.md");
  constexpr bool ec07 = N != misuse::EC07;
  static_assert(ec07, "[TACIT-EC07] runs_after, runs_before and runs_last of the callbacks form a cycle, wanted: an order, see docs/errors.md");
  constexpr bool ec08 = N != misuse::EC08;
  static_assert(ec08, "[TACIT-EC08] a handler returns neither void nor Flow, wanted: void on(event::X const&, auto& context) or Flow on(...), see docs/errors.md");
  constexpr bool ec09 = N != misuse::EC09;
  static_assert(ec09, "[TACIT-EC09] a handler takes its event or context as a mutable or rvalue reference, wanted: void on(event::X const&, auto& context), see docs/errors.md");
  constexpr bool ec10 = N != misuse::EC10;
  static_assert(ec10, "[TACIT-EC10] a handler takes the event alone, wanted: void on(event::X const&, auto& context), see docs/errors.md");
  constexpr bool ec11 = N != misuse::EC11;
  static_assert(ec11, "[TACIT-EC11] a handler takes pointers, a third parameter, or event and context swapped, wanted: void on(event::X const&, auto& context), see docs/errors.md");
  constexpr bool em01 = N != misuse::EM01;
  static_assert(em01, "[TACIT-EM01] a metric is watched that nothing records, wanted: a callback with `using records = tacit::records<that tag>` in the pack, see docs/errors.md");
  constexpr bool em02 = N != misuse::EM02;
  static_assert(em02, "[TACIT-EM02] a metric is recorded or read that no callback declares, wanted: `using records = tacit::records<that tag>` in the callback that records it, see docs/errors.md");
  constexpr bool em03 = N != misuse::EM03;
  static_assert(em03, "[TACIT-EM03] two metric tags have one name, wanted: struct tag : tacit::Metric<\"name of its own\"> {}, see docs/errors.md");
  constexpr bool em04 = N != misuse::EM04;
  static_assert(em04, "[TACIT-EM04] an eval metric is watched in a run without eval data, wanted: trainer.train(train, valid, options), see docs/errors.md");
  constexpr bool em05 = N != misuse::EM05;
  static_assert(em05, "[TACIT-EM05] `records` or `watches` names a type that is no metric tag, wanted: struct tag : tacit::Metric<\"name\"> {}, see docs/errors.md");
  constexpr bool em06 = N != misuse::EM06;
  static_assert(em06, "[TACIT-EM06] the data of the named eval sets do not fit the composition, wanted: one eval_data<\"name\">(data) for each name of eval_sets<...>, see docs/errors.md");
  constexpr bool ep01 = N != misuse::EP01;
  static_assert(ep01, "[TACIT-EP01] a device policy is incomplete, wanted: auto bind<Tensor>() const, whose result has is_host, to(tensor), host_reads_free(), name(), synchronize(), see docs/errors.md");
  constexpr bool ep11 = N != misuse::EP11;
  static_assert(ep11, "[TACIT-EP11] a precision policy is incomplete, wanted: auto bind<Parameters>(device) const, whose result has casts, cast(tensor), autocast(), backward(loss, factor), unscale(parameters), after_update(), name(), see docs/errors.md");
  constexpr bool ep21 = N != misuse::EP21;
  static_assert(ep21, "[TACIT-EP21] a distribution policy is incomplete, wanted: auto bind<Parameters>(device) const, whose result has is_single, rank(), local_rank(), world_size(), reduce_sum(numbers), reduce_max(tensor), agree(wish), gather(text), gather(tensor), broadcast(tensor, root), barrier(), no_sync(), prepare_parameters(parameters), prepare_gradients(parameters), name(), see docs/errors.md");
  constexpr bool ep41 = N != misuse::EP41;
  static_assert(ep41, "[TACIT-EP41] two policies exclude each other, wanted: a pair that neither names in its `excludes`, see docs/errors.md");
  constexpr bool ev01 = N != misuse::EV01;
  static_assert(ev01, "[TACIT-EV01] state would not be saved: a callback of the pack saves, and this type has data members but no visitor, wanted: static void visit_state(auto& self, auto&& visit) or visit_config, see docs/errors.md");
  constexpr bool ev02 = N != misuse::EV02;
  static_assert(ev02, "[TACIT-EV02] a visitor has the wrong form, wanted: static void visit_state(auto& self, auto&& visit), one visit(\"key\", self.member) per member, see docs/errors.md");
  constexpr bool ev03 = N != misuse::EV03;
  static_assert(ev03, "[TACIT-EV03] a lambda with captures hides its state, wanted: stateful(lambda, state) or stateless(lambda), see docs/errors.md");
  constexpr bool er01 = N != misuse::ER01;
  static_assert(er01, "[TACIT-ER01] choices make more than 8 programs in one, wanted: fewer choices, or tacit::allow_many as an argument of run, see docs/errors.md");
  constexpr bool er02 = N != misuse::ER02;
  static_assert(er02, "[TACIT-ER02] no combination of the choices is allowed, wanted: at least one pair that does not exclude itself, see docs/errors.md");
  constexpr bool er03 = N != misuse::ER03;
  static_assert(er03, "[TACIT-ER03] the data are no dataset, no loader and no range, wanted: size() and get_batch(indices), tacit::data::loader(...), or something that range-for accepts, see docs/errors.md");
  constexpr bool er04 = N != misuse::ER04;
  static_assert(er04, "[TACIT-ER04] an argument after the options is none that a run takes, wanted: eval_data<\"name\">(data), see docs/errors.md");
}

}  // namespace tacit::inline v0::detail
