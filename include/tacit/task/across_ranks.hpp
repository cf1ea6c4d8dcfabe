#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tacit/task/task.hpp"

namespace tacit::inline v0 {

/// A step that needs what the other ranks have, the negatives of a contrastive loss say: its context has `gather`, `first_row`,
/// `reduce_sum` and `all_true`.
///
/// A rank that has no batch for a step runs a shadow batch, an earlier one with weight 0, of which the other ranks get no row: nobody waits.
/// A task with members of its own states `static constexpr bool steps_across_ranks = true` instead.
/// Example: `tacit::Task{model, optimizer, tacit::across_ranks([](auto& net, Batch const& batch, auto& context) {
///             auto const own = net.forward(batch.a); auto const all = context.gather(net.forward(batch.b)); ... })}`
template <class Step>
struct AcrossRanks : Step {
  static constexpr bool steps_across_ranks = true;
  using Step::operator();
};
template <class Step>
AcrossRanks<Step> across_ranks(Step step) {
  return {std::move(step)};
}

namespace detail {

template <class T>
concept states_across_ranks = requires { requires T::steps_across_ranks; };
template <class T>
inline constexpr bool task_steps_across_ranks = states_across_ranks<T>;
template <class... Phases>
inline constexpr bool task_steps_across_ranks<Task<Phases...>> =
    ((states_across_ranks<decltype(Phases::step)> || states_across_ranks<decltype(Phases::eval_step)>) || ...);

}  // namespace detail

}  // namespace tacit::inline v0
