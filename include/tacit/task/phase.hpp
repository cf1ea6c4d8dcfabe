#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/slots.hpp"

namespace tacit::inline v0 {

namespace detail {

/// What a model is passed as: `shared_ptr<M>`, or a module holder (`TORCH_MODULE`) that gives its `ptr()`.
template <class T>
struct model_of {
  using type = void;
};
template <class M>
struct model_of<std::shared_ptr<M>> {
  using type = M;
};
template <class Holder>
  requires requires(Holder const& holder) {
    typename Holder::ContainedType;
    { holder.ptr() } -> std::convertible_to<std::shared_ptr<typename Holder::ContainedType>>;
  }
struct model_of<Holder> {
  using type = typename Holder::ContainedType;
};
/// The module's type; void for what is no way to pass a model.
template <class T>
using model_of_t = typename model_of<std::remove_cvref_t<T>>::type;

template <class M>
std::shared_ptr<M> const& shared_model(std::shared_ptr<M> const& model) {
  return model;
}
template <class Holder>
  requires(!std::is_void_v<model_of_t<Holder>>) && requires(Holder const& holder) { holder.ptr(); }
std::shared_ptr<model_of_t<Holder>> shared_model(Holder const& holder) {
  if constexpr (requires { holder.is_empty(); }) {
    if (holder.is_empty()) return nullptr;  // the trainer refuses it
  }
  return holder.ptr();
}

/// What the library asks of a model besides its `forward`: LibTorch's modules have it, and so has the tests' module.
template <class M>
concept module_like = requires(M& module) {
  (*module.named_parameters().begin()).key();
  (*module.named_parameters().begin()).value();
  (*module.named_buffers().begin()).value();
  module.train(true);
  { module.is_training() } -> std::convertible_to<bool>;
};

template <module_like M>
using module_tensor_t = std::remove_cvref_t<decltype((*std::declval<M&>().named_parameters().begin()).value())>;

/// The tensor type of a task of that model; void for what is no module, so that the trainer can say so.
template <class M>
struct task_tensor {
  using type = void;
};
template <module_like M>
struct task_tensor<M> {
  using type = module_tensor_t<M>;
};

}  // namespace detail

/// One phase of a task, as `change_parameters` tells its callable: the name is empty in a task of one.
struct PhaseId {
  std::size_t index = 0;
  std::string_view name{};
};

/// Stands for the evaluation step of a phase that has none: its step serves.
struct same_step {};

/// One phase of a task: a model, the recipe of its optimizer, and the step that gives its loss.
///
/// The step is called as `step(model, batch, context)`; its gradients reach this phase's parameters only.
template <fixed_string Name, class Model, class Optimizer, class Step, class EvalStep = same_step>
struct Phase {
  static constexpr auto name = Name;
  using model_type = Model;
  using optimizer_type = Optimizer;

  std::shared_ptr<Model> model;
  Optimizer optimizer;
  Step step;
  EvalStep eval_step{};
};

namespace detail {
template <class T>
inline constexpr bool is_phase_v = false;
template <fixed_string Name, class M, class O, class S, class E>
inline constexpr bool is_phase_v<Phase<Name, M, O, S, E>> = true;
}  // namespace detail

/// A phase of a task of several: `phase<"generator">(net, optim::AdamW{}, step)`.
template <fixed_string Name, class Model, class Optimizer, class Step, class EvalStep = same_step>
  requires(!std::is_void_v<detail::model_of_t<Model>>)
Phase<Name, detail::model_of_t<Model>, Optimizer, Step, EvalStep> phase(Model const& model, Optimizer optimizer, Step step,
                                                                       EvalStep eval_step = {}) {
  return {detail::shared_model(model), std::move(optimizer), std::move(step), std::move(eval_step)};
}
/// A model that is not shared: the task of that phase is refused.
template <fixed_string Name, class Model, class... Rest>
  requires(std::is_void_v<detail::model_of_t<Model>>)
bad<misuse::ES04, Model> phase(Model const&, Rest const&...) {
  return {};
}

}  // namespace tacit::inline v0
