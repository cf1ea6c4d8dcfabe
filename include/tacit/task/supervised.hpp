#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "tacit/core/list.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/loss_weight.hpp"
#include "tacit/task/phase.hpp"
#include "tacit/task/step_result.hpp"

namespace tacit::inline v0 {

/// A model trained on pairs of input and target: the task of `Trainer{model, loss, optimizer}`.
///
/// Derive from it to change a part: a member `forward(input, context)`, `loss(prediction, target, context)`,
/// `train_step(batch, context)` or `eval_step(batch, context)` of the derived type replaces the default of that name.
/// It has no member of those names itself; the defaults are the free functions `default_forward` and so on.
template <class Model, class Loss, class Optimizer>
struct Supervised {
  using slot = slot::task;
  using model_type = Model;
  using optimizer_type = Optimizer;
  using tensor_type = typename detail::task_tensor<Model>::type;

  std::shared_ptr<Model> model;
  Loss criterion;
  Optimizer optimizer;
};

/// The override points of a supervised task, for `using overrides = list<override::forward>`.
namespace override {
struct train_step {};
struct eval_step {};
struct forward {};
struct loss {};
}  // namespace override

/// What the model predicts for an input.
template <class Task>
decltype(auto) default_forward(Task& task, auto const& input, auto&) {
  return task.model->forward(input);
}

/// The task's criterion of prediction and target; labels are checked on the first batch of a run.
template <class Task>
decltype(auto) default_loss(Task& task, auto const& prediction, auto const& target, auto& context) {
  if constexpr (requires { task.criterion.check(prediction, target); }) {
    if (context.progress().step.value() == 0) task.criterion.check(prediction, target);
  }
  return task.criterion(prediction, target);
}

namespace detail {

template <class Task, class Input, class Context>
decltype(auto) call_forward(Task& task, Input const& input, Context& context) {
  if constexpr (requires { task.forward(input, context); }) {
    return task.forward(input, context);
  } else {
    return default_forward(task, input, context);
  }
}

template <class Task, class Prediction, class Target, class Context>
decltype(auto) call_loss(Task& task, Prediction const& prediction, Target const& target, Context& context) {
  if constexpr (requires { task.loss(prediction, target, context); }) {
    return task.loss(prediction, target, context);
  } else {
    return default_loss(task, prediction, target, context);
  }
}

/// A task whose loss is its criterion, and that says what the loss is a mean over.
template <class Task, class Prediction, class Target, class Context>
concept loss_is_weighed = weighs<decltype(Task::criterion), Prediction, Target> &&
                          !requires(Task& task, Prediction const& prediction, Target const& target, Context& context) { task.loss(prediction, target, context); };

}  // namespace detail

/// Forward and loss of a batch, with the weight that the loss states.
template <class Task>
auto default_train_step(Task& task, auto const& batch, auto& context) {
  auto prediction = detail::call_forward(task, detail::input_of(batch), context);
  auto const& target = detail::target_of(batch);
  auto loss = detail::call_loss(task, prediction, target, context);
  if constexpr (detail::loss_is_weighed<Task, decltype(prediction), std::remove_cvref_t<decltype(target)>, std::remove_reference_t<decltype(context)>>) {
    auto weight = detail::weight_of_loss(task.criterion, prediction, target);
    return WeightedStepResult<decltype(loss), decltype(prediction), decltype(weight)>{std::move(loss), std::move(prediction), std::move(weight)};
  } else {
    return StepResult<decltype(loss), decltype(prediction)>{std::move(loss), std::move(prediction)};
  }
}

namespace detail {

template <class Task, class Batch, class Context>
auto call_train_step(Task& task, Batch const& batch, Context& context) {
  if constexpr (requires { task.train_step(batch, context); }) {
    return task.train_step(batch, context);
  } else {
    return default_train_step(task, batch, context);
  }
}

}  // namespace detail

/// What the training step computes, without a graph.
template <class Task>
auto default_eval_step(Task& task, auto const& batch, auto& context) {
  return detail::call_train_step(task, batch, context);
}

namespace detail {

template <class Task>
concept supervised_task = requires(Task& task) {
  []<class M, class L, class O>(Supervised<M, L, O>&) {}(task);
};

template <class T>
inline constexpr bool is_plain_supervised_v = false;
template <class M, class L, class O>
inline constexpr bool is_plain_supervised_v<Supervised<M, L, O>> = true;

template <class Task, class Batch, class Context>
auto call_eval_step(Task& task, Batch const& batch, Context& context) {
  if constexpr (requires { task.eval_step(batch, context); }) {
    return task.eval_step(batch, context);
  } else {
    return default_eval_step(task, batch, context);
  }
}

// Does a type name an override point at all? A name that two bases have is ambiguous, so the second base tells.
struct has_train_step {
  int train_step;
};
struct has_eval_step {
  int eval_step;
};
struct has_forward {
  int forward;
};
struct has_loss {
  int loss;
};
template <class T, class Named>
struct name_probe : T, Named {};
template <class T>
concept names_train_step = !requires { &name_probe<T, has_train_step>::train_step; };
template <class T>
concept names_eval_step = !requires { &name_probe<T, has_eval_step>::eval_step; };
template <class T>
concept names_forward = !requires { &name_probe<T, has_forward>::forward; };
template <class T>
concept names_loss = !requires { &name_probe<T, has_loss>::loss; };

template <class T>
concept names_an_override = names_train_step<T> || names_eval_step<T> || names_forward<T> || names_loss<T>;

template <class T, class Point>
consteval bool names() {
  if constexpr (std::same_as<Point, override::train_step>) {
    return names_train_step<T>;
  } else if constexpr (std::same_as<Point, override::eval_step>) {
    return names_eval_step<T>;
  } else if constexpr (std::same_as<Point, override::forward>) {
    return names_forward<T>;
  } else if constexpr (std::same_as<Point, override::loss>) {
    return names_loss<T>;
  } else {
    return false;
  }
}

/// True if every point that the type lists in `overrides` is named by it; false too for what is no list.
template <class T, class Other>
consteval bool names_all(type<Other>) {
  return false;
}
template <class T, class... Points>
consteval bool names_all(type<list<Points...>>) {
  return (names<T, Points>() && ...);
}

}  // namespace detail
}  // namespace tacit::inline v0
