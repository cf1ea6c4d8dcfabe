#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/phase.hpp"
#include "tacit/task/supervised.hpp"

namespace tacit::inline v0 {

/// A task from callables: `Task{model, optimizer, step}`, with an evaluation step of its own `Task{model, optimizer, step, eval_step}`,
/// or of several phases `Task{phase<"discriminator">(d, optim_d, step_d), phase<"generator">(g, optim_g, step_g)}`.
///
/// A step is called as `step(model, batch, context)` and returns any struct with a tensor `loss`.
template <class... Phases>
class Task {
 public:
  using slot = slot::task;
  using tensor_type = typename detail::task_tensor<typename std::tuple_element_t<0, std::tuple<Phases...>>::model_type>::type;

  explicit Task(Phases... phases) : phases_{std::move(phases)...} {}
  template <class Model, class Optimizer, class Step>
    requires(sizeof...(Phases) == 1 && !std::is_void_v<detail::model_of_t<Model>>)
  Task(Model const& model, Optimizer optimizer, Step step)
      : phases_{Phases{detail::shared_model(model), std::move(optimizer), std::move(step), {}}...} {}
  template <class Model, class Optimizer, class Step, class EvalStep>
    requires(sizeof...(Phases) == 1 && !std::is_void_v<detail::model_of_t<Model>>)
  Task(Model const& model, Optimizer optimizer, Step step, EvalStep eval_step)
      : phases_{Phases{detail::shared_model(model), std::move(optimizer), std::move(step), std::move(eval_step)}...} {}

  std::tuple<Phases...>& phases() { return phases_; }
  std::tuple<Phases...> const& phases() const { return phases_; }

 private:
  std::tuple<Phases...> phases_;
};
/// What `Task{...}` becomes where it is none: it holds the one error, and the trainer knows it.
template <misuse Number, class Culprit, class Detail>
class Task<bad<Number, Culprit, Detail>> {
  static_assert(detail::report(bad<Number, Culprit, Detail>{}));

 public:
  using slot = slot::task;
  using refused = bad<Number, Culprit, Detail>;
  explicit Task(auto&&...) {}
};

namespace detail {
template <class... Phases>
struct first_bad {
  using value = void;
};
template <class First, class... Rest>
struct first_bad<First, Rest...> : std::conditional_t<is_bad_v<First>, type<First>, first_bad<Rest...>> {};
/// The misuse in Task{model, optimizer, step}: the model is not shared, or the step is missing.
template <class Model>
using refused_task = std::conditional_t<std::is_void_v<model_of_t<Model>>, bad<misuse::ES04, Model>, bad<misuse::ET02, model_of_t<Model>>>;
}  // namespace detail

template <fixed_string... Name, class... M, class... O, class... S, class... E>
Task(Phase<Name, M, O, S, E>...) -> Task<Phase<Name, M, O, S, E>...>;
template <class Model, class Optimizer, class Step>
  requires(!std::is_void_v<detail::model_of_t<Model>>)
Task(Model, Optimizer, Step) -> Task<Phase<"", detail::model_of_t<Model>, Optimizer, Step>>;
template <class Model, class Optimizer, class Step, class EvalStep>
  requires(!std::is_void_v<detail::model_of_t<Model>>)
Task(Model, Optimizer, Step, EvalStep) -> Task<Phase<"", detail::model_of_t<Model>, Optimizer, Step, EvalStep>>;
template <class Model, class Optimizer, class... Steps>
  requires(!detail::is_phase_v<Model> && !detail::is_bad_v<Model> && !detail::is_bad_v<Optimizer> &&
           (std::is_void_v<detail::model_of_t<Model>> || sizeof...(Steps) == 0))
Task(Model, Optimizer, Steps...) -> Task<detail::refused_task<Model>>;
template <class... Phases>
  requires(detail::is_bad_v<Phases> || ...)
Task(Phases...) -> Task<typename detail::first_bad<Phases...>::value>;

namespace detail {

// How the loop sees any task: a number of phases, each with a name, a model, an optimizer recipe and a step.

template <class T>
inline constexpr std::size_t task_phase_count = 1;
template <class... Phases>
inline constexpr std::size_t task_phase_count<Task<Phases...>> = sizeof...(Phases);

template <class T>
struct task_phases {
  using types = void;
};
template <class... Phases>
struct task_phases<Task<Phases...>> {
  template <std::size_t I>
  using at = std::tuple_element_t<I, std::tuple<Phases...>>;
  template <fixed_string Name>
  static constexpr std::size_t index = [] {
    std::size_t at = 0;
    bool const found = ((Phases::name == Name ? true : (++at, false)) || ...);
    return found ? at : sizeof...(Phases);
  }();
};

template <class T>
inline constexpr bool is_phase_task_v = false;
template <class... Phases>
inline constexpr bool is_phase_task_v<Task<Phases...>> = true;

/// The phase's name; empty for a task of one.
template <class T, std::size_t I>
constexpr auto phase_name() {
  if constexpr (task_phase_count<T> > 1) {
    return task_phases<T>::template at<I>::name;
  } else {
    return fixed_string{""};
  }
}

/// What points to the model of phase I.
template <std::size_t I, class T>
auto& task_model_pointer(T& task) {
  if constexpr (is_phase_task_v<std::remove_const_t<T>>) {
    return std::get<I>(task.phases()).model;
  } else {
    return task.model;
  }
}
template <std::size_t I, class T>
auto& task_model(T& task) {
  return *task_model_pointer<I>(task);
}

[[noreturn, gnu::noinline, gnu::cold]] inline void refuse_no_model(std::string_view phase) {
  throw ConfigError{"TACIT-RC61",
                    message({"the model", phase.empty() ? "" : " of phase ", phase, " is a null pointer"}), "Trainer",
                    "pass std::make_shared<Model>(...), or a module holder that has its module"};
}
/// Throws: ConfigError where phase I has no model.
template <std::size_t I, class T>
void require_model(T const& task) {
  if (!task_model_pointer<I>(task)) refuse_no_model(phase_name<T, I>().view());
}

template <std::size_t I, class T>
auto const& task_optimizer(T const& task) {
  if constexpr (is_phase_task_v<T>) {
    return std::get<I>(task.phases()).optimizer;
  } else {
    return task.optimizer;
  }
}

/// Calls `visit` for the model of every phase.
template <class T, class Visit>
void for_each_model(T& task, Visit&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(task_model<I>(task)), ...); }(std::make_index_sequence<task_phase_count<T>>{});
}

/// The step of phase I, in training or in evaluation.
template <std::size_t I, bool Training, class T, class Batch, class Context>
auto task_step(T& task, Batch const& batch, Context& context) {
  if constexpr (is_phase_task_v<T>) {
    auto& phase = std::get<I>(task.phases());
    if constexpr (Training || std::is_same_v<std::remove_cvref_t<decltype(phase.eval_step)>, same_step>) {
      return phase.step(*phase.model, batch, context);
    } else {
      return phase.eval_step(*phase.model, batch, context);
    }
  } else if constexpr (!Training && requires { task.eval_step(batch, context); }) {
    return task.eval_step(batch, context);
  } else if constexpr (!Training) {
    return default_eval_step(task, batch, context);
  } else if constexpr (requires { task.train_step(batch, context); }) {
    return task.train_step(batch, context);
  } else {
    return default_train_step(task, batch, context);
  }
}

}  // namespace detail
}  // namespace tacit::inline v0
