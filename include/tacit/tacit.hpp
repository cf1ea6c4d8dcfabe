#pragma once

/// All of Tacit that needs only LibTorch for the CPU and no c10d. It costs about 10 s of compile time, nearly all of it ATen's.
///
/// Opt-in headers, each with its cost:
///   tacit/auto.hpp                    Auto: device, precision and distribution chosen at run time; light
///   tacit/policy/device/cuda.hpp      Cuda; compiles without the CUDA toolkit; light
///   tacit/policy/precision/tf32.hpp   Tf32; includes ATen/Context.h, light where a module is included
///   tacit/policy/distribution/ddp.hpp  Ddp, several processes over process_group.hpp; gloo.hpp is its backend; c10d's headers cost 12 to 18 s
///   tacit/policy/distribution/nccl.hpp  the backend of Ddp on NVIDIA GPUs; needs the headers of CUDA and NCCL
///   tacit/policy/distribution/auto_ddp.hpp  the same for Auto, in one translation unit of a program; the target tacit::auto_ddp brings it
///   tacit/policy/distribution/auto_nccl.hpp  with GPUs, too; the target tacit::auto_nccl brings it
///   tacit/task/sync_batch_norm.hpp    SyncBatchNorm, batch norm over the batches of all processes; as heavy as checkpointed.hpp
///   tacit/task/checkpointed.hpp       Checkpointed: activations computed again; includes LibTorch's custom functions, about 5 s where no module did
///   tacit/task/optim/torch_optim.hpp  any optimizer of torch::optim; includes torch/optim/optimizer.h, about 10 s where nothing else did
///   tacit/data/torch_data.hpp         datasets of torch::data; includes torch/data, about 10 s where nothing else did
///   tacit/state/crc32c.hpp            CRC32C of checkpoints and event files; light
///   tacit/state/json.hpp              strict JSON; includes nlohmann/json.hpp, about 2 s
///   tacit/state/safetensors.hpp       safetensors files, strict reader and writer; includes json.hpp
///   tacit/state/file_system.hpp       what checkpoints ask of a file system, and that of the machine; light
///   tacit/state/checkpoint.hpp        checkpoint directories: writer, reader, retention; includes json.hpp
///   tacit/state/state.hpp             parts of a program to and from checkpoints; includes checkpoint.hpp
///   tacit/state/async_writer.hpp      the same on a thread of its own
///   tacit/state/module_state.hpp      parameters and buffers of a module as a part; light
///   tacit/state/optimizer_state.hpp   a bound optimizer with its slots as a part; light
///   tacit/state/torch/tensor.hpp      LibTorch's tensors and generators in checkpoints; includes state.hpp
///   tacit/state/torch/optim.hpp       the optimizers of torch::optim as parts
///   tacit/state/weights.hpp           safetensors files of other programs into a module by name, and back; includes <regex>
///   tacit/data/char_tokenizer.hpp     characters as tokens; light
///   tacit/data/cifar.hpp              CIFAR-10 and CIFAR-100; cifar_file.hpp reads them without LibTorch; light
///   tacit/data/csv_file.hpp           CSV text, its columns as numbers; csv_format.hpp is the parser alone; light
///   tacit/data/npy_file.hpp           arrays of numpy, checked; npy_format.hpp is the header alone; light
///   tacit/data/token_dataset.hpp      windows of tokens as batches; token_windows.hpp is the same without LibTorch; light
///   tacit/data/token_file.hpp         files of tokens, mapped into memory (POSIX); light
///   tacit/data/transforms.hpp         random transforms of batches of images; transformed.hpp applies them to a dataset; some more of ATen
///   tacit/data/views.hpp              lazy views over datasets; includes range-v3
///   tacit/fwd.hpp                     forward declarations only

#include "tacit/callbacks/adapters.hpp"
#include "tacit/callbacks/any_callback.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/callbacks/auto_threads.hpp"
#include "tacit/callbacks/averaging.hpp"
#include "tacit/callbacks/default_callbacks.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/epoch_line.hpp"
#include "tacit/callbacks/event_text.hpp"
#include "tacit/callbacks/keep_frozen_norms.hpp"
#include "tacit/callbacks/lambda.hpp"
#include "tacit/callbacks/limit_batches.hpp"
#include "tacit/callbacks/log_metrics.hpp"
#include "tacit/callbacks/print_progress.hpp"
#include "tacit/callbacks/progress_bar.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
#include "tacit/callbacks/trace.hpp"
#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/dataset.hpp"
#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/precision_policy.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/random.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/collate.hpp"
#include "tacit/data/epoch.hpp"
#include "tacit/data/fetch.hpp"
#include "tacit/data/idx.hpp"
#include "tacit/data/idx_file.hpp"
#include "tacit/data/idx_format.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/data/sample_range.hpp"
#include "tacit/data/sampler.hpp"
#include "tacit/data/shuffle.hpp"
#include "tacit/data/split.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/data/torch_collate.hpp"
#include "tacit/data/units.hpp"
#include "tacit/data/worker_pool.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/events/context.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/handles.hpp"
#include "tacit/events/log_point.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/launch/arguments.hpp"
#include "tacit/launch/environment.hpp"
#include "tacit/launch/failure.hpp"
#include "tacit/launch/run.hpp"
#include "tacit/metric/accuracy.hpp"
#include "tacit/metric/device_scalar.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/mean.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/policy/device/auto_device.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/device/cuda_library.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/policy/precision/auto_precision.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/bf16_pure.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/policy/precision/fp32.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/policy/precision/grad_scaler.hpp"
#include "tacit/report/progress_bar.hpp"
#include "tacit/report/text.hpp"
#include "tacit/schedule/describe.hpp"
#include "tacit/schedule/field.hpp"
#include "tacit/schedule/math.hpp"
#include "tacit/schedule/schedule.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/batch.hpp"
#include "tacit/task/loss/cross_entropy.hpp"
#include "tacit/task/loss/mse.hpp"
#include "tacit/task/loss_weight.hpp"
#include "tacit/task/model_freezer.hpp"
#include "tacit/task/optim/adagrad.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/fused_lists.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/task/optim/rmsprop.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/parameter_set.hpp"
#include "tacit/task/phase.hpp"
#include "tacit/task/step_result.hpp"
#include "tacit/task/supervised.hpp"
#include "tacit/task/task.hpp"
#include "tacit/task/unit.hpp"
#include "tacit/task/weight_average.hpp"
#include "tacit/train/closure_guard.hpp"
#include "tacit/train/compose.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/core.hpp"
#include "tacit/train/describe.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/meeting.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run.hpp"
#include "tacit/train/scopes.hpp"
#include "tacit/train/trainer.hpp"
#include "tacit/version.hpp"
