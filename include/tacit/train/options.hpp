#pragma once

#include <chrono>
#include <cmath>
#include <string>

#include "tacit/core/error.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

/// When a run ends besides its epochs; the first limit reached ends it, at the end of that update.
struct RunLimit {
  Updates updates = unset;
  MicroBatches micro_batches = unset;    ///< of one process; the window in work is closed early
  Samples samples = unset;               ///< over all ranks
  Tokens tokens = unset;                 ///< the sum of the step results' `weight`, over all ranks
  std::chrono::nanoseconds duration{0};  ///< 0: none; looked at after each update, on several ranks at log points and ends of epochs
};

/// Gradient clipping, once per update on whole gradients.
struct Clip {
  double norm = 0.0;   ///< the largest 2-norm of all gradients together; 0: no clipping
  double value = 0.0;  ///< the largest absolute value of an element; 0: no clipping
};

/// When the eval sets are evaluated: at the end of epochs and, if asked, inside them.
struct EvaluationPlan {
  Epochs every_epochs = 1;        ///< 0: not at epoch ends
  Updates every_updates = unset;  ///< besides, after every so many updates
};

/// The options of a training run; every field has a default, and at least one limit must be given.
struct TrainOptions {
  Epochs epochs = unset;
  RunLimit limit{};
  Samples per_device_batch_size = unset;       ///< of the default loader made for a dataset; 8 where not given
  Samples eval_per_device_batch_size = unset;  ///< the same for eval sets; that of training where not given
  MicroBatches gradient_accumulation = 1;      ///< micro-batches of one update
  Clip clip{};
  EvaluationPlan evaluation{};
  Epochs first_epoch = unset;  ///< of the data's order; where not given, the epochs that this trainer has begun so far
  Seed seed = unset;         ///< of the order of samples; 0 where not given
  Updates log_every = unset; ///< a log point every so many updates; where not given 1 where host reads are free, else 50
  Sink sink{};
};

/// The options of an evaluation.
struct EvalOptions {
  Samples per_device_batch_size = unset;  ///< of the default loader made for a dataset; 8 where not given
  MicroBatches limit = unset;             ///< batches at most
  Sink sink{};
};

/// The batch size of a default loader where none is given, as in pytorch-accelerated.
inline constexpr std::int64_t default_batch_size = 8;

/// Throws: ConfigError for a run that nothing would end.
inline void require_limit(TrainOptions const& options) {
  RunLimit const& limit = options.limit;
  bool const limited = options.epochs.is_set() || limit.updates.is_set() || limit.micro_batches.is_set() || limit.samples.is_set() ||
                       limit.tokens.is_set() || limit.duration.count() != 0;
  if (!limited) {
    throw ConfigError{"TACIT-RC40", "the run has no limit", "TrainOptions::epochs", "give .epochs = 1 or a member of .limit"};
  }
}

/// Throws: ConfigError that names the option, if any has no sensible meaning.
inline void check(TrainOptions const& options) {
  auto refuse = [](char const* code, char const* what, char const* where, char const* fix) {
    return ConfigError{code, what, std::string{"TrainOptions::"} + where, fix};
  };
  RunLimit const& limit = options.limit;
  if (options.epochs.value() == 0) throw refuse("TACIT-RC41", "0 epochs leave nothing to train", "epochs", "give 1 or more");
  if (limit.updates.value() == 0) throw refuse("TACIT-RC42", "a limit of 0 updates leaves nothing to train", "limit.updates", "give 1 or more");
  if (limit.micro_batches.value() == 0) {
    throw refuse("TACIT-RC43", "a limit of 0 micro-batches leaves nothing to train", "limit.micro_batches", "give 1 or more");
  }
  if (limit.samples.value() == 0) throw refuse("TACIT-RC44", "a limit of 0 samples leaves nothing to train", "limit.samples", "give 1 or more");
  if (limit.tokens.value() == 0) throw refuse("TACIT-RC45", "a limit of 0 tokens leaves nothing to train", "limit.tokens", "give 1 or more");
  if (limit.duration.count() < 0) throw refuse("TACIT-RC46", "the time limit is negative", "limit.duration", "give a positive duration");
  if (options.per_device_batch_size.value() == 0) {
    throw refuse("TACIT-RC47", "a batch of 0 samples", "per_device_batch_size", "give 1 or more");
  }
  if (options.eval_per_device_batch_size.value() == 0) {
    throw refuse("TACIT-RC48", "a batch of 0 samples", "eval_per_device_batch_size", "give 1 or more");
  }
  if (options.gradient_accumulation.value() < 1) {
    throw refuse("TACIT-RC49", "an update of 0 micro-batches", "gradient_accumulation", "give 1 or more");
  }
  if (!(options.clip.norm >= 0.0) || std::isinf(options.clip.norm)) {
    throw refuse("TACIT-RC50", "the clipping norm is not a finite number of 0 or more", "clip.norm", "give a positive number, or 0 for no clipping");
  }
  if (!(options.clip.value >= 0.0) || std::isinf(options.clip.value)) {
    throw refuse("TACIT-RC39", "the clipping value is not a finite number of 0 or more", "clip.value", "give a positive number, or 0 for no clipping");
  }
  if (options.clip.norm > 0.0 && options.clip.value > 0.0) {
    throw refuse("TACIT-RC55", "gradients are to be clipped by norm and by value", "clip", "give one of them");
  }
  if (options.evaluation.every_updates.value() == 0) {
    throw refuse("TACIT-RC51", "evaluation every 0 updates", "evaluation.every_updates", "give 1 or more, or leave it out");
  }
  if (options.log_every.value() == 0) throw refuse("TACIT-RC52", "a log point every 0 updates", "log_every", "give 1 or more, or leave it out");
}

/// Throws: ConfigError for an option of evaluations in a run without eval sets, where it would have no effect.
inline void require_no_evaluation_options(TrainOptions const& options, char const* fix) {
  auto const require_default = [fix](bool is_default, char const* where) {
    if (is_default) return;
    throw ConfigError{"TACIT-RC147", "an option of evaluations is given, but the run has no eval set", where, fix};
  };
  require_default(options.evaluation.every_epochs.value_or(1) <= 1, "TrainOptions::evaluation.every_epochs");
  require_default(!options.evaluation.every_updates.is_set(), "TrainOptions::evaluation.every_updates");
  require_default(!options.eval_per_device_batch_size.is_set(), "TrainOptions::eval_per_device_batch_size");
}

/// Throws: ConfigError for an option that a session, which is given its batches and evaluates nothing, would ignore.
inline void check_session_options(TrainOptions const& options) {
  if (options.per_device_batch_size.is_set()) {
    throw ConfigError{"TACIT-RC60", "a batch size is given, but the data make their own batches",
                      "TrainOptions::per_device_batch_size", "leave it out: a session is given its batches"};
  }
  if (options.seed.is_set()) {
    throw ConfigError{"TACIT-RC148",
                      "a seed of the order of samples is given, but a session is given its batches in their order",
                      "TrainOptions::seed", "leave it out"};
  }
  require_no_evaluation_options(
      options, "leave it out: a session evaluates nothing; finish() it and call trainer.evaluate(data)");
}

/// Throws: ConfigError that names the option, if any has no sensible meaning.
inline void check(EvalOptions const& options) {
  if (options.per_device_batch_size.value() == 0) {
    throw ConfigError{"TACIT-RC53", "a batch of 0 samples", "EvalOptions::per_device_batch_size", "give 1 or more"};
  }
  if (options.limit.value() == 0) {
    throw ConfigError{"TACIT-RC54", "a limit of 0 batches leaves nothing to evaluate", "EvalOptions::limit", "give 1 or more"};
  }
}

}  // namespace tacit::inline v0
