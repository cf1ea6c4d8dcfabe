#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/dispatch.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run.hpp"
#include "tacit/train/scopes.hpp"

namespace tacit::inline v0 {

namespace detail {

/// A source that is given its batches one by one.
template <class Batch>
class GivenBatches {
 public:
  using batch_type = Batch;
  static constexpr bool is_given = true;  // by the caller, on every rank
  static constexpr bool gives_batches_away = true;

  void give(Batch batch) { given_.emplace(std::move(batch)); }
  void start_epoch(std::uint64_t, EpochIndex, int, int) { position_ = 0; }
  bool next(std::optional<Batch>& into) {
    into.reset();
    if (!given_) return false;
    into.emplace(std::move(*given_));
    given_.reset();
    ++position_;
    return true;
  }
  std::int64_t position() const noexcept { return position_; }

 private:
  std::optional<Batch> given_{};
  std::int64_t position_ = 0;
};

}  // namespace detail

/// A training run whose outer loop is the caller's: a simulator's, a game's, that of reinforcement learning.
///
/// Each call takes the run one step on, with the events, the accumulation, the clipping and the limits of `Trainer::train`.
/// Until it is over the trainer is running. A session that ends without `finish` counts as a run that was broken off:
/// `Aborted` fires for each stage that is open.
/// Example: `auto session = trainer.session<Batch>({.limit = {.updates = 1000}}); while (session.step(act())) {} session.finish();`
template <class Core, class Batch>
class Session {
 public:
  /// `plan` is called once nothing else runs, and gives the run's plan.
  template <class Plan>
  Session(Core& core, TrainOptions const& options, Plan const& plan)
      : core_{core}, options_{options}, guard_{std::in_place, core}, pass_{(plan(options_), core), source_, options_, detail::no_evaluation{}, schedules_} {}
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;
  ~Session() {
    if (state_ == state::between_epochs || state_ == state::in_epoch) tell_unfinished();
    break_off();
  }

  /// Forward, loss and backward on one micro-batch; the last of a window is followed by the update.
  /// Effects: begins the run and an epoch where none is under way. Returns: whether the run goes on; once it does not, a batch is left
  /// unused. Throws: what the task and the callbacks throw, and then the session is over; UsageError after that.
  bool step(Batch batch) {
    require_unbroken();
    guarded([&] {
      if (!begin_epoch()) return;
      source_.give(std::move(batch));
      detail::fetch(pass_);
      detail::train_step(pass_);
      if (pass_.epoch_is_over()) end_open_epoch();
    });
    return is_running();
  }

  /// Ends the epoch: an open window is closed, the mean loss is recorded. The next step begins another one.
  void end_epoch() {
    require_unbroken();
    guarded([&] { end_open_epoch(); });
  }

  /// False once a limit was reached or somebody asked the run to stop.
  bool is_running() const noexcept {
    if (state_ == state::in_epoch) return !pass_.is_stopping();
    return state_ != state::over && pass_.has_another_epoch();
  }
  Progress const& progress() const noexcept { return core_.progress(); }

  /// Ends the run and says how it went.
  RunResult finish() {
    require_unbroken();
    guarded([&] {
      begin_run();
      end_open_epoch();
      detail::close_run(pass_);
      detail::share_buffers(core_);
    });
    state_ = state::over;
    RunResult result = detail::end_run(core_, pass_);
    guard_.reset();
    return result;
  }

 private:
  enum class state { fresh, between_epochs, in_epoch, over };

  void begin_run() {
    if (state_ != state::fresh) return;
    core_.begin_training();
    detail::open_run(pass_);
    state_ = state::between_epochs;
  }
  bool begin_epoch() {
    begin_run();
    if (state_ == state::in_epoch) return true;
    if (!pass_.begins_another_epoch()) return false;
    detail::open_epoch(pass_);
    state_ = state::in_epoch;
    return true;
  }
  void end_open_epoch() {
    if (state_ != state::in_epoch) return;
    detail::close_epoch(pass_);
    state_ = state::between_epochs;
  }

  template <class Work>
  void guarded(Work const& work) {
    if (is_at_work_) {
      throw UsageError{"TACIT-RU10", "this session is in a step already", "Session", "do not call it from a callback"};
    }
    is_at_work_ = true;
    try {
      work();
      is_at_work_ = false;
    } catch (...) {
      is_at_work_ = false;
      detail::abort_stages(pass_);
      core_.note_failure();
      break_off();
      throw;
    }
  }
  /// Fires `Aborted`: callbacks saw the run start, and no end event will come. What they throw goes to the sink.
  void tell_unfinished() noexcept {
    is_at_work_ = true;
    try {
      throw UsageError{"TACIT-RU37", "the session was left without finish()", "Session",
                       "call finish(), also where a loop is left early"};
    } catch (...) {
      try {
        detail::abort_stages(pass_);
        core_.note_failure();
      } catch (...) {  // no memory for the text
      }
    }
  }
  void break_off() noexcept {
    if (state_ == state::over) return;
    state_ = state::over;
    pass_.leave_training_mode();
    pass_.end_updates();
    core_.clear_gradients();
    guard_.reset();
  }
  void require_unbroken() const {
    if (state_ == state::over) {
      throw UsageError{"TACIT-RU13", "the session is over", "Session", "ask the trainer for a new one"};
    }
  }

  Core& core_;
  TrainOptions options_;
  bool is_at_work_ = false;
  std::optional<detail::RunGuard<Core>> guard_;  // until the run is over
  detail::GivenBatches<Batch> source_{};
  detail::Scheduled<Core> schedules_{core_, {}};
  detail::TrainPass<Core, detail::GivenBatches<Batch>, detail::no_evaluation> pass_;
  state state_ = state::fresh;
};

}  // namespace tacit::inline v0
