// U4: every name of pytorch-accelerated's hooks and methods is found, whatever form its function has, and led to its counterpart.
#include <concepts>

#include "tacit/core/member_names.hpp"
#include "tacit/train/compose.hpp"

#include "fake/tensor.hpp"

using tacit::detail::original_name_t;
using tacit::detail::renamed;

#define LEADS_TO(member, instead)                                                           \
  struct plain_##member {                                                                   \
    void member();                                                                          \
  };                                                                                        \
  struct generic_##member {                                                                 \
    void on(tacit::event::UpdateEnd const&, auto&);                                         \
    auto member(auto const&, auto&...) const;                                               \
  };                                                                                        \
  class private_##member {                                                                  \
    static int member(int, int);                                                            \
  };                                                                                        \
  struct inherited_##member : plain_##member {};                                            \
  struct data_##member {                                                                    \
    int member = 0;                                                                         \
  };                                                                                        \
  static_assert(std::same_as<original_name_t<plain_##member>, renamed<#member, instead>>);     \
  static_assert(std::same_as<original_name_t<generic_##member>, renamed<#member, instead>>);   \
  static_assert(std::same_as<original_name_t<private_##member>, renamed<#member, instead>>);   \
  static_assert(std::same_as<original_name_t<inherited_##member>, renamed<#member, instead>>); \
  static_assert(std::same_as<original_name_t<data_##member>, void>)

LEADS_TO(on_init_end, "event::InitEnd");
LEADS_TO(on_training_run_start, "event::TrainingRunStart");
LEADS_TO(on_training_run_end, "event::TrainingRunEnd");
LEADS_TO(on_training_run_epoch_end, "event::TrainingRunEpochEnd");
LEADS_TO(on_train_epoch_start, "event::TrainEpochStart");
LEADS_TO(on_train_epoch_end, "event::TrainEpochEnd");
LEADS_TO(on_train_step_start, "event::TrainStepStart");
LEADS_TO(on_train_step_end, "event::TrainLossComputed");
LEADS_TO(on_eval_epoch_start, "event::EvalEpochStart");
LEADS_TO(on_eval_epoch_end, "event::EvalEpochEnd");
LEADS_TO(on_eval_step_start, "event::EvalStepStart");
LEADS_TO(on_eval_step_end, "event::EvalStepEnd");
LEADS_TO(on_evaluation_run_start, "event::EvaluationRunStart");
LEADS_TO(on_evaluation_run_end, "event::EvaluationRunEnd");
LEADS_TO(on_stop_training_error, "event::StopRequested");
LEADS_TO(on_update_start, "event::UpdateStart");
LEADS_TO(on_update_end, "event::UpdateEnd");
LEADS_TO(create_train_dataloader, "data::loader, given to train");
LEADS_TO(create_eval_dataloader, "data::loader, given to train");
LEADS_TO(get_default_train_dl_kwargs, "data::LoaderOptions");
LEADS_TO(get_default_eval_dl_kwargs, "data::LoaderOptions");
LEADS_TO(create_scheduler, "lr(schedule), given to train");
LEADS_TO(_create_accelerator, "policies: Cuda, Bf16, Ddp");
LEADS_TO(_create_callback_handler, "CallbackPack");
LEADS_TO(_prepare_model_optimizer_and_dataloaders, "policies: Cuda, Bf16, Ddp");
LEADS_TO(_create_run_config, "context.plan()");
LEADS_TO(training_run_start, "event::TrainingRunStart");
LEADS_TO(train_epoch_start, "event::TrainEpochStart");
LEADS_TO(calculate_train_batch_loss, "train_step(batch, context)");
LEADS_TO(backward_step, "a precision policy");
LEADS_TO(optimizer_step, "an optimizer, event::UpdateEnd");
LEADS_TO(scheduler_step, "lr(schedule), given to train");
LEADS_TO(optimizer_zero_grad, "event::UpdateEnd");
LEADS_TO(_clip_gradients, "TrainOptions::clip");
LEADS_TO(train_epoch_end, "event::TrainEpochEnd");
LEADS_TO(eval_epoch_start, "event::EvalEpochStart");
LEADS_TO(calculate_eval_batch_loss, "eval_step(batch, context)");
LEADS_TO(eval_epoch_end, "event::EvalEpochEnd");
LEADS_TO(training_run_epoch_end, "event::TrainingRunEpochEnd");
LEADS_TO(training_run_end, "event::TrainingRunEnd");
LEADS_TO(evaluation_run_start, "event::EvaluationRunStart");
LEADS_TO(evaluation_run_end, "event::EvaluationRunEnd");
LEADS_TO(_run_training, "trainer.train");
LEADS_TO(_run_train_epoch, "trainer.session");
LEADS_TO(_run_eval_epoch, "trainer.evaluate");
LEADS_TO(On, "on");
LEADS_TO(ON, "on");

struct nothing_of_that {
  void on(tacit::event::TrainEpochEnd const&, auto&);
  void train_step(int, int);
};
static_assert(std::same_as<original_name_t<nothing_of_that>, void>);
struct sealed final {
  void on_train_epoch_end();
};
static_assert(std::same_as<original_name_t<sealed>, void>);  // a final class cannot be asked: docs/errors.md says so
