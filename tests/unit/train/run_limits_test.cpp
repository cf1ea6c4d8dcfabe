#include "tacit/train/limits.hpp"

#include <atomic>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "tacit/train/stop_request.hpp"

using namespace tacit;
using detail::Limits;
using detail::PendingStop;
using detail::RunEnd;
using detail::StopRequest;

namespace run_limits_tests {
TEST_CASE("each limit is reached at its count, and no other") {
  Progress progress;
  progress.updates = 3;
  progress.micro_batches = 6;
  progress.samples = 24;
  progress.tokens = 100;
  auto const reached = [&](RunLimit const& limit) { return Limits{{.limit = limit}, true}.are_reached(progress); };
  CHECK_FALSE(reached({}));
  CHECK(reached({.updates = 3}));
  CHECK_FALSE(reached({.updates = 4}));
  CHECK(reached({.micro_batches = 6}));
  CHECK_FALSE(reached({.micro_batches = 7}));
  CHECK(reached({.samples = 24}));
  CHECK_FALSE(reached({.samples = 25}));
  CHECK(reached({.tokens = 100}));
  CHECK_FALSE(reached({.tokens = 101}));
  CHECK(reached({.updates = 9, .tokens = 100}));
  CHECK(reached({.duration = std::chrono::nanoseconds{1}}));
  CHECK_FALSE(reached({.duration = std::chrono::hours{1}}));
}

TEST_CASE("on several ranks the time is no limit of one of them") {
  Limits const limits{{.limit = {.duration = std::chrono::nanoseconds{1}}}, false};
  CHECK_FALSE(limits.are_reached(Progress{}));
  CHECK(limits.is_out_of_time());
}

TEST_CASE("a window is cut at a limit in micro-batches, and has one at least") {
  Limits const limits{{.limit = {.micro_batches = 5}}, true};
  Progress progress;
  progress.micro_batches = 3;
  CHECK(limits.micro_batches_left(progress) == 2);
  progress.micro_batches = 5;
  CHECK(limits.micro_batches_left(progress) == 1);
}

TEST_CASE("the first reason ends a run, but a loss that is not finite is told") {
  RunEnd end;
  CHECK(end.stop(StopReason::limit));
  CHECK(end.is_stopping());
  CHECK(end.is_epoch_over());
  CHECK_FALSE(end.stop(StopReason::callback));
  CHECK(end.reason() == StopReason::limit);
  CHECK_FALSE(end.stop(StopReason::non_finite));
  CHECK(end.reason() == StopReason::non_finite);
}

TEST_CASE("a stronger stop request replaces a weaker one, and the first end of the run stays") {
  PendingStop pending;
  CHECK(pending.get().is_none());
  pending.ask(StopRequest::end_epoch());
  CHECK(pending.get().ends_epoch());
  pending.ask(StopRequest::end_run(StopReason::callback));
  CHECK(pending.get().reason() == StopReason::callback);
  pending.ask(StopRequest::end_run(StopReason::non_finite));
  pending.ask(StopRequest::end_epoch());
  CHECK(pending.get().reason() == StopReason::callback);
}

TEST_CASE("a stop that comes while the end of an epoch is heeded is not lost") {
  PendingStop pending;
  pending.ask(StopRequest::end_epoch());
  pending.ask(StopRequest::end_run(StopReason::requested));  // after the loop has read the first
  pending.done(StopRequest::end_epoch());
  CHECK(pending.get().ends_run());
  for (int round = 0; round < 200; ++round) {
    PendingStop shared;
    shared.ask(StopRequest::end_epoch());
    std::thread other{[&] { shared.ask(StopRequest::end_run(StopReason::requested)); }};
    shared.done(StopRequest::end_epoch());
    other.join();
    CHECK(shared.get().ends_run());
  }
}

TEST_CASE("F29: the times of evaluations") {
  detail::EvaluationTimes const plain{EvaluationPlan{}};
  CHECK(plain.are_after_epoch(EpochIndex{0}));
  CHECK_FALSE(plain.are_after_update(Updates{1}));
  detail::EvaluationTimes const both{EvaluationPlan{.every_epochs = 2, .every_updates = 3}};
  CHECK_FALSE(both.are_after_epoch(EpochIndex{0}));
  CHECK(both.are_after_epoch(EpochIndex{1}));
  CHECK(both.are_after_update(Updates{6}));
  CHECK_FALSE(both.are_after_update(Updates{7}));
  CHECK(detail::EvaluationTimes{EvaluationPlan{.every_epochs = 0}}.are_never());
}

}  // namespace run_limits_tests
