#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "tacit/core/sink.hpp"
#include "tacit/report/text.hpp"

namespace tacit::inline v0::report {

/// How often a progress bar draws, and what it counts.
struct BarOptions {
  std::chrono::milliseconds redraw_every{100};    ///< on a terminal
  std::chrono::milliseconds line_every{10'000};   ///< in a log file
  std::string_view unit = "step";                 ///< a literal
};

/// Progress through a known or unknown number of steps: a bar on a terminal, now and then a line in a log file.
///
/// Cost: an increment and a comparison a step; the clock is read every few steps, text is made only to be drawn.
/// Example: `report::ProgressBar bar; bar.start("epoch 1/8", 1563); while (...) { ...; bar.step(loss); } bar.finish();`
template <class Clock = std::chrono::steady_clock>
class basic_progress_bar {
 public:
  explicit basic_progress_bar(Sink const& sink = {}, BarOptions const& options = {}) : sink_{sink}, options_{options} {}
  basic_progress_bar(basic_progress_bar const&) = delete;
  basic_progress_bar& operator=(basic_progress_bar const&) = delete;
  ~basic_progress_bar() {
    try {
      abandon();
    } catch (...) {  // whatever unwinds the stack is more important than the bar
    }
  }

  /// Begins to count; `total` is -1 where it is not known.
  void start(std::string_view label, std::int64_t total = -1) {
    abandon();
    label_ = label;
    total_ = total;
    done_ = last_done_ = 0;
    stride_ = 1;
    look_at_ = 1;
    seen_ = 0;
    loss_width_ = 0;
    active_ = true;
    now_ = started_ = last_draw_ = Clock::now();
    older_ = newer_ = {started_, 0};
  }
  /// The same on another sink.
  void start(Sink const& sink, std::string_view label, std::int64_t total) {
    abandon();
    sink_ = sink;
    start(label, total);
  }

  /// One step more.
  void step() {
    if (reach(done_ + 1)) draw();
  }
  /// One step more and its loss: a number, or a callable that is asked for it only when the bar is drawn.
  template <class Loss>
  void step(Loss&& loss) {
    if constexpr (std::is_convertible_v<Loss, double>) {
      observe(static_cast<double>(loss));
      step();
    } else if (reach(done_ + 1)) {
      observe(static_cast<double>(loss()));
      draw();
    }
  }

  /// So many steps are done; true if it is time to draw.
  bool reach(std::int64_t done) {
    done_ = done;
    return done_ >= look_at_ && look();
  }
  /// Takes a loss into the smoothed one: the mean of the first 50, then each counts 1/50.
  void observe(double loss) noexcept {
    if (seen_ < 50) ++seen_;
    double const weight = seen_ < 50 ? 1.0 / seen_ : 0.02;
    smoothed_ = seen_ == 1 || !std::isfinite(smoothed_) ? loss : smoothed_ + (loss - smoothed_) * weight;
  }
  void draw() {
    last_draw_ = now_;
    make_line();
    sink_.write(line_);
    drawn_ = sink_.is_terminal();
  }

  /// The time until `resume` does not count.
  void pause() {
    if (!active_) return;
    erase();
    tell_time();
    paused_ = now_;
  }
  void resume() {
    if (!active_) return;
    tell_time();
    auto const gap = now_ - paused_;
    started_ += gap;
    older_.at += gap;
    newer_.at += gap;
    last_draw_ += gap;
  }

  /// The end: takes the bar off the terminal and, if asked, leaves a line of what was done.
  void finish(bool leave_line = true) {
    if (!active_) return;
    tell_time();
    active_ = false;
    erase();
    if (!leave_line) return;
    line_.assign(label_).append(label_.empty() ? "" : "  ").append(count_text(done_, options_.unit)).append(" in ");
    line_.append(duration_text(elapsed()));
    if (elapsed() > 0.0 && done_ > 0) add_rate(static_cast<double>(done_) / elapsed(), 0);
    add_loss();
    sink_.write(line_.append("\n"));
  }
  /// The end by an error: the bar stays, and what is written next begins on a line of its own.
  void abandon() {
    if (!active_) return;
    active_ = false;
    if (drawn_) sink_.write("\n");
    drawn_ = false;
  }

  bool is_active() const noexcept { return active_; }
  std::int64_t done() const noexcept { return done_; }
  /// Seconds without pauses, as of the last look at the clock.
  double elapsed() const { return seconds(now_ - started_); }
  /// Steps per second over the last 5 to 10 seconds; 0 where the clock tells none.
  double rate() const {
    double const span = seconds(now_ - older_.at);
    std::int64_t const steps = done_ - older_.done;
    return span > 0.0 && steps > 0 ? static_cast<double>(steps) / span : 0.0;
  }
  /// Seconds to go; -1 where nothing is known about it.
  double remaining() const {
    double const speed = rate();
    return total_ < 0 || speed <= 0.0 ? -1.0 : static_cast<double>(std::max<std::int64_t>(0, total_ - done_)) / speed;
  }
  double smoothed_loss() const noexcept { return smoothed_; }

 private:
  using time = typename Clock::time_point;
  using duration = typename Clock::duration;
  struct mark {
    time at{};
    std::int64_t done = 0;
  };

  static double seconds(duration span) { return std::chrono::duration<double>(span).count(); }

  duration interval() const { return std::chrono::duration_cast<duration>(sink_.is_terminal() ? options_.redraw_every : options_.line_every); }

  // A clock that steps back is taken to stand still.
  void tell_time() { now_ = std::max(now_, Clock::now()); }

  /// Looks at the clock, and chooses when to look again: a few times between two drawings, never after more than 256 steps.
  [[gnu::noinline]] bool look() {
    time const before = now_;
    tell_time();
    double const span = seconds(now_ - before);
    double const wanted = std::min(0.25, seconds(interval()) / 4.0);
    double const fitting = span > 0.0 ? static_cast<double>(done_ - last_done_) * wanted / span : 256.0;
    stride_ = static_cast<std::int64_t>(std::clamp(fitting, 1.0, std::min(256.0, 2.0 * static_cast<double>(stride_))));
    look_at_ = done_ + stride_;
    last_done_ = done_;
    if (now_ - newer_.at >= std::chrono::seconds{5}) {
      older_ = newer_;
      newer_ = {now_, done_};
    }
    return active_ && now_ - last_draw_ >= interval();
  }

  void erase() {
    if (drawn_) sink_.write("\r\x1b[K");
    drawn_ = false;
  }

  void add_rate(double speed, std::size_t width) {
    bool const slow = speed < 1.0;
    line_.append("  ").append(right_text(rate_text(slow ? 1.0 / speed : speed), width)).append(slow ? " s/" : " ").append(options_.unit).append(slow ? "" : "s/s");
  }
  void add_loss() {
    if (seen_ == 0) return;
    std::string const text = metric_text(smoothed_);
    loss_width_ = std::max(loss_width_, text.size());
    line_.append("  loss ").append(right_text(text, loss_width_));
  }

  /// Everything but the bar; narrow terminals get less.
  void add_numbers(int detail) {
    if (total_ > 0) {
      std::int64_t const percent = std::min<std::int64_t>(100, static_cast<std::int64_t>(100.0 * static_cast<double>(done_) / static_cast<double>(total_)));
      line_.append(" ").append(right_text(std::to_string(percent), 3)).append("%");
    }
    if (detail >= 1) {
      std::string const of = total_ >= 0 ? std::to_string(total_) : std::string{};
      line_.append("  ").append(right_text(std::to_string(done_), of.size()));
      line_.append(of.empty() ? " " : "/").append(of.empty() ? std::string{options_.unit} + "s" : of);
    }
    if (double const speed = rate(); detail >= 2 && speed > 0.0) add_rate(speed, 5);
    if (double const left = remaining(); detail >= 3 && left >= 0.0) line_.append("  ").append(right_text(duration_text(left), 6)).append(" left");
    if (detail >= 1) add_loss();
  }

  void make_line() {
    if (!sink_.is_terminal()) {
      line_ = label_;
      add_numbers(3);
      line_ += "\n";
      return;
    }
    // The last column stays free: some terminals wrap as soon as it is written.
    auto const width = static_cast<std::size_t>(std::max(1, sink_.columns() - 1));
    for (int detail = 3; detail >= 0; --detail) {
      line_ = label_;
      add_numbers(detail);
      if (line_.size() <= width) break;
    }
    constexpr std::size_t longest = 30;
    constexpr std::size_t frame = 4;  // two blanks and two brackets
    if (total_ > 0 && line_.size() + frame + 5 <= width) {
      std::size_t const cells = std::min(longest, width - line_.size() - frame);
      double const part = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
      auto const full = static_cast<std::size_t>(part * static_cast<double>(cells));
      bar_.assign("  [").append(full, '=').append(full < cells ? 1 : 0, '>').append(cells - full - (full < cells ? 1 : 0), ' ').append("]");
      line_.insert(label_.size(), bar_);
    }
    if (line_.size() > width) line_.resize(width);
    line_.insert(0, "\r\x1b[K");
  }

  Sink sink_;
  BarOptions options_;
  std::string label_{};
  std::string line_{};
  std::string bar_{};
  std::int64_t total_ = -1;
  std::int64_t done_ = 0;
  std::int64_t look_at_ = 1;
  std::int64_t stride_ = 1;
  std::int64_t last_done_ = 0;
  int seen_ = 0;
  double smoothed_ = 0.0;
  std::size_t loss_width_ = 0;  // numbers that follow each other stand still
  bool active_ = false;
  bool drawn_ = false;
  time now_{};  // of the last look; never goes back
  time started_{};
  time last_draw_{};
  time paused_{};
  mark older_{};
  mark newer_{};
};

using ProgressBar = basic_progress_bar<>;

}  // namespace tacit::inline v0::report
