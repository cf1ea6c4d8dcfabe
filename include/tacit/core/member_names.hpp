#pragma once

#include <type_traits>

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"

/// Does a type name a member at all: a function, a template, whatever its parameters and its access?
///
/// A name that two bases have is ambiguous, and `&probe::name` does not compile. One class has every name that the
/// library asks for: for all of them together a type is derived from once.
namespace tacit::inline v0::detail {

struct every_name {
  // callbacks
  int on, batch_limits, micro_batch_rows, halved, evaluates_as;
  // visitors
  int visit_state, visit_config, state_loaded;
  // tasks and losses
  int train_step, eval_step, forward, loss, visit_tensors;
  // groups of policies
  int begin_forward, during_backward, begin_sum, end_sum, needs_every_rank, absent, prepare_model,
      prepare_parameters, write_back, skipped, discard, scaler, run_scope, forward_scope, release_memory, meet, begin_run,
      share_buffers, await_main;
  // optimizers
  int takes_closure, field, set_field, run_begins, run_ends;
  // those of pytorch-accelerated, and spellings of `on`
  int on_init_end, on_training_run_start, on_training_run_end, on_training_run_epoch_end, on_train_epoch_start,
      on_train_epoch_end, on_train_step_start, on_train_step_end, on_eval_epoch_start, on_eval_epoch_end,
      on_eval_step_start, on_eval_step_end, on_evaluation_run_start, on_evaluation_run_end, on_stop_training_error,
      on_update_start, on_update_end, create_train_dataloader, create_eval_dataloader, get_default_train_dl_kwargs,
      get_default_eval_dl_kwargs, create_scheduler, _create_accelerator, _create_callback_handler,
      _prepare_model_optimizer_and_dataloaders, _create_run_config, training_run_start, train_epoch_start,
      calculate_train_batch_loss, backward_step, optimizer_step, scheduler_step, optimizer_zero_grad,
      _clip_gradients, train_epoch_end, eval_epoch_start, calculate_eval_batch_loss, eval_epoch_end,
      training_run_epoch_end, training_run_end, evaluation_run_start, evaluation_run_end, _run_training,
      _run_train_epoch, _run_eval_epoch, On, ON;
};

template <class T>
struct named_twice : T, every_name {};

/// Types that can be asked; a final class has no derived one.
template <class T>
concept can_be_probed = std::is_class_v<T> && !std::is_final_v<T>;

/// What a member of pytorch-accelerated's name becomes here.
template <fixed_string Name, fixed_string Instead>
struct renamed {};

template <auto Member>
inline constexpr bool is_data_v = std::is_member_object_pointer_v<decltype(Member)>;

/// The first name of pytorch-accelerated that a type has for a function, with its counterpart; void where there is
/// none. A data member may have such a name: a counter `train_epoch_end`, say.
template <class T>
constexpr auto find_original() {
  using probe = named_twice<T>;
  if constexpr (!requires { &probe::on_init_end; } && !requires { requires is_data_v<&T::on_init_end>; }) {
    return type<renamed<"on_init_end", "event::InitEnd">>{};
  } else if constexpr (!requires { &probe::on_training_run_start; } &&
                       !requires { requires is_data_v<&T::on_training_run_start>; }) {
    return type<renamed<"on_training_run_start", "event::TrainingRunStart">>{};
  } else if constexpr (!requires { &probe::on_training_run_end; } &&
                       !requires { requires is_data_v<&T::on_training_run_end>; }) {
    return type<renamed<"on_training_run_end", "event::TrainingRunEnd">>{};
  } else if constexpr (!requires { &probe::on_training_run_epoch_end; } &&
                       !requires { requires is_data_v<&T::on_training_run_epoch_end>; }) {
    return type<renamed<"on_training_run_epoch_end", "event::TrainingRunEpochEnd">>{};
  } else if constexpr (!requires { &probe::on_train_epoch_start; } &&
                       !requires { requires is_data_v<&T::on_train_epoch_start>; }) {
    return type<renamed<"on_train_epoch_start", "event::TrainEpochStart">>{};
  } else if constexpr (!requires { &probe::on_train_epoch_end; } &&
                       !requires { requires is_data_v<&T::on_train_epoch_end>; }) {
    return type<renamed<"on_train_epoch_end", "event::TrainEpochEnd">>{};
  } else if constexpr (!requires { &probe::on_train_step_start; } &&
                       !requires { requires is_data_v<&T::on_train_step_start>; }) {
    return type<renamed<"on_train_step_start", "event::TrainStepStart">>{};
  } else if constexpr (!requires { &probe::on_train_step_end; } &&
                       !requires { requires is_data_v<&T::on_train_step_end>; }) {
    return type<renamed<"on_train_step_end", "event::TrainLossComputed">>{};
  } else if constexpr (!requires { &probe::on_eval_epoch_start; } &&
                       !requires { requires is_data_v<&T::on_eval_epoch_start>; }) {
    return type<renamed<"on_eval_epoch_start", "event::EvalEpochStart">>{};
  } else if constexpr (!requires { &probe::on_eval_epoch_end; } &&
                       !requires { requires is_data_v<&T::on_eval_epoch_end>; }) {
    return type<renamed<"on_eval_epoch_end", "event::EvalEpochEnd">>{};
  } else if constexpr (!requires { &probe::on_eval_step_start; } &&
                       !requires { requires is_data_v<&T::on_eval_step_start>; }) {
    return type<renamed<"on_eval_step_start", "event::EvalStepStart">>{};
  } else if constexpr (!requires { &probe::on_eval_step_end; } &&
                       !requires { requires is_data_v<&T::on_eval_step_end>; }) {
    return type<renamed<"on_eval_step_end", "event::EvalStepEnd">>{};
  } else if constexpr (!requires { &probe::on_evaluation_run_start; } &&
                       !requires { requires is_data_v<&T::on_evaluation_run_start>; }) {
    return type<renamed<"on_evaluation_run_start", "event::EvaluationRunStart">>{};
  } else if constexpr (!requires { &probe::on_evaluation_run_end; } &&
                       !requires { requires is_data_v<&T::on_evaluation_run_end>; }) {
    return type<renamed<"on_evaluation_run_end", "event::EvaluationRunEnd">>{};
  } else if constexpr (!requires { &probe::on_stop_training_error; } &&
                       !requires { requires is_data_v<&T::on_stop_training_error>; }) {
    return type<renamed<"on_stop_training_error", "event::StopRequested">>{};
  } else if constexpr (!requires { &probe::on_update_start; } &&
                       !requires { requires is_data_v<&T::on_update_start>; }) {
    return type<renamed<"on_update_start", "event::UpdateStart">>{};
  } else if constexpr (!requires { &probe::on_update_end; } && !requires { requires is_data_v<&T::on_update_end>; }) {
    return type<renamed<"on_update_end", "event::UpdateEnd">>{};
  } else if constexpr (!requires { &probe::create_train_dataloader; } &&
                       !requires { requires is_data_v<&T::create_train_dataloader>; }) {
    return type<renamed<"create_train_dataloader", "data::loader, given to train">>{};
  } else if constexpr (!requires { &probe::create_eval_dataloader; } &&
                       !requires { requires is_data_v<&T::create_eval_dataloader>; }) {
    return type<renamed<"create_eval_dataloader", "data::loader, given to train">>{};
  } else if constexpr (!requires { &probe::get_default_train_dl_kwargs; } &&
                       !requires { requires is_data_v<&T::get_default_train_dl_kwargs>; }) {
    return type<renamed<"get_default_train_dl_kwargs", "data::LoaderOptions">>{};
  } else if constexpr (!requires { &probe::get_default_eval_dl_kwargs; } &&
                       !requires { requires is_data_v<&T::get_default_eval_dl_kwargs>; }) {
    return type<renamed<"get_default_eval_dl_kwargs", "data::LoaderOptions">>{};
  } else if constexpr (!requires { &probe::create_scheduler; } &&
                       !requires { requires is_data_v<&T::create_scheduler>; }) {
    return type<renamed<"create_scheduler", "lr(schedule), given to train">>{};
  } else if constexpr (!requires { &probe::_create_accelerator; } &&
                       !requires { requires is_data_v<&T::_create_accelerator>; }) {
    return type<renamed<"_create_accelerator", "policies: Cuda, Bf16, Ddp">>{};
  } else if constexpr (!requires { &probe::_create_callback_handler; } &&
                       !requires { requires is_data_v<&T::_create_callback_handler>; }) {
    return type<renamed<"_create_callback_handler", "CallbackPack">>{};
  } else if constexpr (!requires { &probe::_prepare_model_optimizer_and_dataloaders; } &&
                       !requires { requires is_data_v<&T::_prepare_model_optimizer_and_dataloaders>; }) {
    return type<renamed<"_prepare_model_optimizer_and_dataloaders", "policies: Cuda, Bf16, Ddp">>{};
  } else if constexpr (!requires { &probe::_create_run_config; } &&
                       !requires { requires is_data_v<&T::_create_run_config>; }) {
    return type<renamed<"_create_run_config", "context.plan()">>{};
  } else if constexpr (!requires { &probe::training_run_start; } &&
                       !requires { requires is_data_v<&T::training_run_start>; }) {
    return type<renamed<"training_run_start", "event::TrainingRunStart">>{};
  } else if constexpr (!requires { &probe::train_epoch_start; } &&
                       !requires { requires is_data_v<&T::train_epoch_start>; }) {
    return type<renamed<"train_epoch_start", "event::TrainEpochStart">>{};
  } else if constexpr (!requires { &probe::calculate_train_batch_loss; } &&
                       !requires { requires is_data_v<&T::calculate_train_batch_loss>; }) {
    return type<renamed<"calculate_train_batch_loss", "train_step(batch, context)">>{};
  } else if constexpr (!requires { &probe::backward_step; } && !requires { requires is_data_v<&T::backward_step>; }) {
    return type<renamed<"backward_step", "a precision policy">>{};
  } else if constexpr (!requires { &probe::optimizer_step; } && !requires { requires is_data_v<&T::optimizer_step>; }) {
    return type<renamed<"optimizer_step", "an optimizer, event::UpdateEnd">>{};
  } else if constexpr (!requires { &probe::scheduler_step; } && !requires { requires is_data_v<&T::scheduler_step>; }) {
    return type<renamed<"scheduler_step", "lr(schedule), given to train">>{};
  } else if constexpr (!requires { &probe::optimizer_zero_grad; } &&
                       !requires { requires is_data_v<&T::optimizer_zero_grad>; }) {
    return type<renamed<"optimizer_zero_grad", "event::UpdateEnd">>{};
  } else if constexpr (!requires { &probe::_clip_gradients; } &&
                       !requires { requires is_data_v<&T::_clip_gradients>; }) {
    return type<renamed<"_clip_gradients", "TrainOptions::clip">>{};
  } else if constexpr (!requires { &probe::train_epoch_end; } &&
                       !requires { requires is_data_v<&T::train_epoch_end>; }) {
    return type<renamed<"train_epoch_end", "event::TrainEpochEnd">>{};
  } else if constexpr (!requires { &probe::eval_epoch_start; } &&
                       !requires { requires is_data_v<&T::eval_epoch_start>; }) {
    return type<renamed<"eval_epoch_start", "event::EvalEpochStart">>{};
  } else if constexpr (!requires { &probe::calculate_eval_batch_loss; } &&
                       !requires { requires is_data_v<&T::calculate_eval_batch_loss>; }) {
    return type<renamed<"calculate_eval_batch_loss", "eval_step(batch, context)">>{};
  } else if constexpr (!requires { &probe::eval_epoch_end; } && !requires { requires is_data_v<&T::eval_epoch_end>; }) {
    return type<renamed<"eval_epoch_end", "event::EvalEpochEnd">>{};
  } else if constexpr (!requires { &probe::training_run_epoch_end; } &&
                       !requires { requires is_data_v<&T::training_run_epoch_end>; }) {
    return type<renamed<"training_run_epoch_end", "event::TrainingRunEpochEnd">>{};
  } else if constexpr (!requires { &probe::training_run_end; } &&
                       !requires { requires is_data_v<&T::training_run_end>; }) {
    return type<renamed<"training_run_end", "event::TrainingRunEnd">>{};
  } else if constexpr (!requires { &probe::evaluation_run_start; } &&
                       !requires { requires is_data_v<&T::evaluation_run_start>; }) {
    return type<renamed<"evaluation_run_start", "event::EvaluationRunStart">>{};
  } else if constexpr (!requires { &probe::evaluation_run_end; } &&
                       !requires { requires is_data_v<&T::evaluation_run_end>; }) {
    return type<renamed<"evaluation_run_end", "event::EvaluationRunEnd">>{};
  } else if constexpr (!requires { &probe::_run_training; } && !requires { requires is_data_v<&T::_run_training>; }) {
    return type<renamed<"_run_training", "trainer.train">>{};
  } else if constexpr (!requires { &probe::_run_train_epoch; } &&
                       !requires { requires is_data_v<&T::_run_train_epoch>; }) {
    return type<renamed<"_run_train_epoch", "trainer.session">>{};
  } else if constexpr (!requires { &probe::_run_eval_epoch; } &&
                       !requires { requires is_data_v<&T::_run_eval_epoch>; }) {
    return type<renamed<"_run_eval_epoch", "trainer.evaluate">>{};
  } else if constexpr (!requires { &probe::On; } && !requires { requires is_data_v<&T::On>; }) {
    return type<renamed<"On", "on">>{};
  } else if constexpr (!requires { &probe::ON; } && !requires { requires is_data_v<&T::ON>; }) {
    return type<renamed<"ON", "on">>{};
  } else {
    return type<void>{};
  }
}
template <class T>
constexpr auto original_name() {
  if constexpr (!can_be_probed<T>) {
    return type<void>{};
  } else {
    return find_original<T>();
  }
}
template <class T>
using original_name_t = typename decltype(original_name<T>())::value;

}  // namespace tacit::inline v0::detail
