#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/text.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/device/thread_trials.hpp"

/// How many threads the tensor library computes with on the host, for devices that are chosen at run time.
namespace tacit::inline v0::detail {

/// Whom a count of operators tells the work of each; `add` returns false once nothing more is to be counted.
struct WorkListener {
  void* self;
  bool (*add)(void* self, double work);
};

/// The rule: all threads if one operator of the first batch's forward pass has at least `enough` work, else one thread.
///
/// Work is the number of multiply-adds of a product or a convolution, else `element_work` for each element of the
/// result. Nothing is measured, so that two runs decide alike. The value of `enough` was measured once: see
/// docs/design/threads.md.
class ThreadRule {
 public:
  static constexpr double enough = 4e6;
  static constexpr double element_work = 8.0;  // an element-wise operation takes as long as so many multiply-adds

  /// Counts an operator. Returns: whether more have to be counted.
  bool add(double work) {
    largest_ = std::max(largest_, work);
    return largest_ < enough;
  }
  double largest() const noexcept { return largest_; }
  std::int64_t threads(std::int64_t all) const noexcept { return largest_ >= enough ? all : 1; }

 private:
  double largest_ = 0.0;
};

/// The number of threads of a trainer's runs on the host: chosen before or in the first forward pass, given back after
/// each run.
///
/// `Traits` is `tensor_traits` of the tensor; `Watch` counts operators while it lives, and tells a `WorkListener`.
/// Without effect until `wanted` says something. Cost: one predictable branch a forward pass and one an update.
template <class Traits, class Watch>
class HostThreads {
 public:
  HostThreads(ThreadsWanted wanted, bool is_host)
      : wanted_{is_host || wanted.kind == threads_kind::number ? wanted : ThreadsWanted{}} {}

  /// Sets the number for as long as it lives.
  class Scope {
   public:
    explicit Scope(HostThreads& threads)
        : threads_{threads}, is_outer_{!threads.is_running_ && threads.wanted_.kind != threads_kind::as_they_are} {
      if (!is_outer_) return;
      before_ = Traits::threads();
      threads_.begin(before_);
      threads_.is_running_ = true;
    }
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    ~Scope() {
      if (!is_outer_) return;
      threads_.is_running_ = threads_.is_counting_ = threads_.is_timing_ = false;
      use(before_);
    }

   private:
    HostThreads& threads_;
    bool is_outer_;
    std::int64_t before_ = 1;
  };
  Scope run_scope() { return Scope{*this}; }

  /// Counts the operators of a forward pass, if it is the first one and the rule decides.
  class ForwardScope {
   public:
    explicit ForwardScope(HostThreads& threads) : threads_{threads} {
      if (!threads.is_counting_) [[likely]]
        return;
      threads.is_counting_ = false;
      exceptions_ = std::uncaught_exceptions();
      watch_.emplace(
          WorkListener{&threads, [](void* self, double work) { return static_cast<HostThreads*>(self)->add(work); }});
    }
    ForwardScope(ForwardScope const&) = delete;
    ForwardScope& operator=(ForwardScope const&) = delete;
    ~ForwardScope() {
      if (!watch_) [[likely]]
        return;
      watch_.reset();
      if (std::uncaught_exceptions() > exceptions_) {
        threads_.is_counting_ = true;  // a pass that did not come to its end decides nothing
      } else {
        threads_.decide();
      }
    }

   private:
    HostThreads& threads_;
    int exceptions_ = 0;
    std::optional<Watch> watch_{};
  };
  ForwardScope forward_scope() { return ForwardScope{*this}; }

  /// An update is over.
  void after_update() {
    if (is_timing_) [[unlikely]]
      time_update();
  }

  /// The number of threads of the run in work or of the last one; 0 where nothing is decided.
  std::int64_t count() const noexcept { return threads_; }

  /// What is wanted, for the line that tells the choices; empty where nothing is.
  std::string text() const {
    switch (wanted_.kind) {
      case threads_kind::as_they_are:
        return {};
      case threads_kind::number:
        return report::count_text(wanted_.number, "thread") + " (asked for)";
      case threads_kind::all:
        return report::count_text(Traits::threads(), "thread") + " (all, asked for)";
      case threads_kind::measured:
        return "threads by measurement (asked for)";
      case threads_kind::automatic:
        break;
    }
    if (Traits::threads() == 1) return "1 thread (the only one)";
    return detail::message({"1 or ", Traits::threads(), " threads (by the first batch)"});
  }
  /// Where later decisions are told.
  void report_to(Sink const& sink) { sink_ = sink; }

  // The number is state: a resumed run computes with it, unless the program says another.
  static constexpr std::string_view state_name = "threads";
  static void visit_state(auto& self, auto&& visit) {
    visit("threads", self.threads_);
    visit("is_measured", self.is_measured_);
    ThreadTrials::visit_state(self.trials_, visit);
  }
  static void state_loaded(auto& self) noexcept { self.is_loaded_ = true; }

 private:
  using clock = std::chrono::steady_clock;

  static void use(std::int64_t count) {
    if (Traits::threads() != count) Traits::set_threads(count);
  }

  void begin(std::int64_t all) {
    std::int64_t const loaded = std::exchange(is_loaded_, false) ? threads_ : 0;
    bool const was_measured = is_measured_;
    is_measured_ = wanted_.kind == threads_kind::measured;
    is_timing_ = is_measured_;
    switch (wanted_.kind) {
      case threads_kind::number:
        threads_ = wanted_.number;
        break;
      case threads_kind::measured:
        if (!was_measured || trials_.most() > all) trials_ = ThreadTrials{all};
        threads_ = trials_.threads();
        break;
      case threads_kind::automatic:
        if (std::exchange(is_only_one_, all == 1)) threads_ = 0;  // nobody decided
        threads_ = all == 1 ? 1 : std::min(threads_, all);
        break;
      default:
        threads_ = all;
    }
    if (loaded > 0 && (loaded != threads_ || was_measured != is_measured_)) tell_inexact(loaded, was_measured);
    use(std::max<std::int64_t>(threads_, 1));
    started_ = clock::now();
    all_ = all;
    rule_ = ThreadRule{};
    is_counting_ = threads_ == 0;
  }
  bool add(double work) {
    if (rule_.add(work)) return true;
    decide();
    return false;
  }
  void decide() noexcept {
    if (threads_ > 0) return;
    threads_ = rule_.threads(all_);
    try {
      use(threads_);
      tell_rule();
    } catch (...) {
      // A number that is not told, or not set, is no reason to end a run.
    }
  }
  void tell_rule() const {
    tell(
        detail::message({"[tacit] auto: ", report::count_text(threads_, "thread"), " of ", all_,
                         " (the largest operator of the first batch has ", report::fixed_text(rule_.largest() / 1e6, 1),
                         " million multiply-adds, ", threads_ > 1 ? "" : "less than ",
                         report::fixed_text(ThreadRule::enough / 1e6, 1), threads_ > 1 ? " are enough)" : ")"}));
  }
  void time_update() {
    auto const now = clock::now();
    if (trials_.add(std::chrono::duration<double>(now - started_).count())) tell("[tacit] auto: " + trials_.text());
    threads_ = trials_.threads();
    use(threads_);
    started_ = clock::now();
  }
  void tell(std::string const& text) const {
    if (sink_) report::write_line(*sink_, text);
  }
  void tell_inexact(std::int64_t loaded, bool was_measured) const {
    tell(detail::message(
        {"[tacit] auto: the resumed run is inexact: its state was computed with ", report::count_text(loaded, "thread"),
         was_measured ? " (measured), it goes on with " : ", it goes on with ",
         is_measured_ ? std::string{"a number that is measured"} : report::count_text(threads_, "thread"),
         "; the last bits may differ"}));
  }

  ThreadsWanted wanted_;
  std::int64_t threads_ = 0;
  bool is_measured_ = false;
  bool is_loaded_ = false;
  bool is_only_one_ = false;  // the last run had no choice
  bool is_running_ = false;
  bool is_counting_ = false;  // the coming forward pass decides
  bool is_timing_ = false;
  ThreadTrials trials_{1};
  ThreadRule rule_{};
  std::int64_t all_ = 1;
  clock::time_point started_{};
  std::optional<Sink> sink_{};
};

}  // namespace tacit::inline v0::detail
