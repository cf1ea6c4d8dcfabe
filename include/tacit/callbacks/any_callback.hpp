#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tacit/callbacks/event_text.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/events.hpp"
#include "tacit/events/flow.hpp"
#include "tacit/events/progress.hpp"
#include "tacit/metric/history.hpp"

namespace tacit::inline v0 {

/// An event as a value: which one it is, and where in the run.
struct AnyEvent {
  std::string_view name;   ///< as in events.hpp, "TrainStepEnd"; of a user's event the name of its type
  std::string_view phase;  ///< of a task of several phases; empty for events of the whole step
  EpochIndex epoch;
  MicroBatchIndex step;
  UpdateIndex update;
};

/// A context whose type does not depend on the composition: what every event offers, and whether it offers more.
/// Not copied, not stored: it ends with the call.
class AnyContext {
 public:
  AnyContext() = default;
  AnyContext(AnyContext const&) = delete;
  AnyContext& operator=(AnyContext const&) = delete;

  virtual Progress const& progress() const = 0;
  virtual RunPlan const& plan() const = 0;
  virtual Sink const& sink() const = 0;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  virtual bool is_main_process() const = 0;
  /// What this run records to.
  virtual History const& metrics() const = 0;
  /// The latest value of a metric; in an evaluation that of this evaluation. Throws: UsageError if none was recorded.
  virtual double latest(std::string const& name) const = 0;
  /// Records a metric by its name at run time. Throws: UsageError at an event that records nothing.
  virtual void record(std::string const& name, double value) const = 0;
  /// The loss of the step; nothing where the event has none, or where reading it would wait for the device.
  virtual std::optional<double> loss() const = 0;
  virtual void request_stop(StopReason reason = StopReason::callback) const = 0;

 protected:
  ~AnyContext() = default;
};

namespace detail {

template <class Context>
class ErasedContext final : public AnyContext {
 public:
  ErasedContext(Context& context, std::string_view event) : context_{context}, event_{event} {}

  Progress const& progress() const override { return context_.progress(); }
  RunPlan const& plan() const override { return context_.plan(); }
  Sink const& sink() const override { return context_.sink(); }
  int rank() const override { return context_.rank(); }
  int world_size() const override { return context_.world_size(); }
  bool is_main_process() const override { return context_.is_main_process(); }
  History const& metrics() const override { return context_.metrics(); }
  double latest(std::string const& name) const override {
    if constexpr (requires { context_.latest(dynamic{name}); }) {
      return context_.latest(dynamic{name});
    } else {
      return metrics().latest(dynamic{name});
    }
  }
  void record([[maybe_unused]] std::string const& name, [[maybe_unused]] double value) const override {
    if constexpr (requires { context_.record(dynamic{name}, value); }) {
      context_.record(dynamic{name}, value);
    } else {
      throw UsageError{"TACIT-RU20", detail::message({"'", name, "' cannot be recorded at ", event_}), "AnyContext::record",
                       "record it at another event"};
    }
  }
  std::optional<double> loss() const override {
    if constexpr (requires { context_.loss(); }) {
      if (auto const* log_point = context_.log_point()) return context_.loss().read(*log_point);
    }
    return std::nullopt;
  }
  void request_stop(StopReason reason) const override { context_.request_stop(reason); }

 private:
  Context& context_;
  std::string_view event_;
};

}  // namespace detail

/// A callback whose type does not tell what it does: a name and a callable `(AnyEvent const&, AnyContext&)`, both known at run time only.
///
/// It sees every event, and may stand in a pack as often as one likes. What the callable captures is not saved.
/// Cost: an indirect call at each event; other callbacks have none.
class AnyCallback {
 public:
  /// Marks a type whose objects are told apart at run time.
  using run_time_name = std::string;
  using events = event::all;

  template <class F>
    requires std::invocable<F&, AnyEvent const&, AnyContext&>
  AnyCallback(std::string name, F f) : name_{std::move(name)}, body_{std::make_unique<Callable<F>>(std::move(f))} {
    constexpr bool returns_nothing = std::is_void_v<std::invoke_result_t<F&, AnyEvent const&, AnyContext&>>;
    static_assert(returns_nothing, "[TACIT-EC08] the callable of an AnyCallback returns something, wanted: void, and context.request_stop(), see docs/errors.md");
  }

  std::string const& name() const& noexcept { return name_; }
  std::string name() const&& { return name_; }

  template <class Event, class Context>
  void on(Event const& event, Context& context) {
    using text = detail::event_text<Event>;
    Progress const& progress = context.progress();
    AnyEvent any{text::name, text::phase, progress.epoch, progress.step, UpdateIndex{progress.updates.value()}};
    // The event's own indices are those of its beginning.
    if constexpr (requires { any.epoch = event.epoch; }) any.epoch = event.epoch;
    if constexpr (requires { any.step = event.step; }) any.step = event.step;
    if constexpr (requires { any.update = event.update; }) any.update = event.update;
    detail::ErasedContext<Context> erased{context, text::name};
    body_->call(any, erased);
  }

  static void visit_config(auto& self, auto&& visit) { visit("name", self.name_); }

 private:
  struct Body {
    Body() = default;
    Body(Body const&) = delete;
    Body& operator=(Body const&) = delete;
    virtual ~Body() = default;
    virtual void call(AnyEvent const& event, AnyContext& context) = 0;
  };
  template <class F>
  struct Callable final : Body {
    explicit Callable(F given) : f{std::move(given)} {}
    void call(AnyEvent const& event, AnyContext& context) override { f(event, context); }
    F f;
  };

  std::string name_;
  std::unique_ptr<Body> body_;
};

}  // namespace tacit::inline v0
