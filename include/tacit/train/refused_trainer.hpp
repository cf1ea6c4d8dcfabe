#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/fwd.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/result.hpp"

namespace tacit::inline v0 {

namespace detail {

/// Stand-in after a compile error; accepts every call of a session so that no second error appears.
struct RefusedSession {
  bool step(auto&&) { return false; }
  void end_epoch() {}
  bool is_running() const noexcept { return false; }
  Progress const& progress() const noexcept;
  RunResult finish() { return {}; }
};

/// What a refused trainer shows of the task that was meant: enough for later lines to compile.
template <class Meant>
struct refused_parts {
  Meant const& task() const noexcept;
  auto& model() const noexcept { return task_model<0>(std::declval<Meant&>()); }
};
template <>
struct refused_parts<void> {
  bad<misuse::none> task() const noexcept;
  bad<misuse::none> model() const noexcept;
};
}  // namespace detail

/// Stand-in after a compile error, which it reports; accepts every call of a trainer so that no second error appears.
/// Its members are declared only.
template <misuse Number, class Culprit, class Detail, class Meant, class Precision, class Distribution, class Callbacks>
class Trainer<bad<Number, Culprit, Detail>, Meant, Precision, Distribution, Callbacks> : public detail::refused_parts<Meant> {
  static_assert(detail::report(bad<Number, Culprit, Detail>{}));

 public:
  explicit Trainer(auto&&...);
  RunResult train(auto&&, TrainOptions const&, auto&&...);
  RunResult train(auto&&, auto&&, TrainOptions const&, auto&&...);
  RunResult train(auto&&);
  RunResult train(auto&&, auto&&);
  EvalResult evaluate(auto&&, EvalOptions const& = {});
  template <class Batch>
  detail::RefusedSession session(TrainOptions const& = {});
  void request_stop() noexcept;
  History const& history() const noexcept;
  bool is_main_process() const;
  int rank() const;
  int world_size() const;
  template <class Work>
  void main_process_first(Work&& work, std::chrono::milliseconds = {});
  RunPlan const& plan() const noexcept;
  detail::refused_parts<Meant> view() noexcept;
  std::string describe() const;
};

}  // namespace tacit::inline v0
