#pragma once

#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/version.hpp"

/// Names without definitions, for headers that only mention a trainer.
namespace tacit::inline v0 {

struct Cpu;
struct Fp32;
struct SingleProcess;

template <class Task, class Device = Cpu, class Precision = Fp32, class Distribution = SingleProcess,
          class Callbacks = CallbackPack<TerminateOnNaN, PrintProgress, ProgressBar, LogMetrics>>
class Trainer;

template <class Model, class Loss, class Optimizer>
struct Supervised;
template <class... Phases>
class Task;

struct TrainOptions;
struct EvalOptions;
class RunResult;
class EvalResult;
class History;

}  // namespace tacit::inline v0
