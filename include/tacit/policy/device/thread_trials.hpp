#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tacit/core/text.hpp"

namespace tacit::inline v0::detail {

/// Which number of threads makes updates fast: tries 1, 2, 4, ... in blocks, then keeps the smallest that is nearly as
/// fast as the best.
///
/// Each block begins with an update that does not count, for the threads are made in it. Two rounds of blocks: a
/// disturbance hits one of them. After the choice an update that takes many times as long, several times in a row,
/// means that other programs want the processor; then threads that wait for each other are worse than none.
class ThreadTrials {
 public:
  explicit ThreadTrials(std::int64_t most) {
    for (std::int64_t count = 1; count < most; count *= 2) candidates_.push_back(count);
    candidates_.push_back(std::max<std::int64_t>(most, 1));
    times_.resize(candidates_.size());
    if (candidates_.size() == 1) chosen_ = candidates_[0];
  }

  /// How many the next update uses.
  std::int64_t threads() const { return is_decided() ? chosen_ : candidates_[block() % candidates_.size()]; }
  bool is_decided() const noexcept { return chosen_ > 0; }
  bool fell_back() const noexcept { return fell_back_; }
  std::int64_t most() const { return candidates_.back(); }

  /// An update with that many took so long. Returns: true if something was decided by it.
  bool add(double seconds) {
    if (is_decided()) return watch(seconds);
    if (updates_ % block_length != 0) times_[block() % candidates_.size()].push_back(seconds);
    ++updates_;
    if (block() < rounds * candidates_.size()) return false;
    decide();
    return true;
  }

  /// What was decided, as a sentence.
  std::string text() const {
    std::string const count = report::count_text(threads(), "thread");
    if (fell_back_) return "updates became much slower; " + count + " from here on";
    std::string tried;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (times_[i].empty()) continue;
      tried += (tried.empty() ? "" : ", ") + std::to_string(candidates_[i]) + ": " +
               report::fixed_text(1000.0 * median(times_[i]), 3) + " ms";
    }
    return count + " (an update with " + tried + ")";
  }

  static void visit_state(auto& self, auto&& visit) {
    visit("candidates", self.candidates_);
    visit("times", self.times_);
    visit("updates", self.updates_);
    visit("chosen", self.chosen_);
    visit("usual", self.usual_);
    visit("slow", self.slow_);
    visit("fell_back", self.fell_back_);
  }

  static constexpr std::int64_t block_length = 6;
  static constexpr std::size_t rounds = 2;
  static constexpr double nearly = 1.1;       // times the best
  static constexpr double much_slower = 5.0;  // times the usual
  static constexpr std::int64_t patience = 5;

 private:
  std::size_t block() const { return static_cast<std::size_t>(updates_ / block_length); }

  static double median(std::vector<double> values) {
    auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
  void decide() {
    double best = median(times_[0]);
    for (auto const& times : times_) best = std::min(best, median(times));
    for (std::size_t i = candidates_.size(); i-- > 0;) {
      if (median(times_[i]) > nearly * best) continue;
      chosen_ = candidates_[i];
      usual_ = median(times_[i]);
    }
  }
  bool watch(double seconds) {
    if (chosen_ == 1) return false;
    slow_ = seconds > much_slower * usual_ ? slow_ + 1 : 0;
    if (slow_ < patience) return false;
    chosen_ = 1;
    return fell_back_ = true;
  }

  std::vector<std::int64_t> candidates_{};
  std::vector<std::vector<double>> times_{};  // seconds an update, by candidate
  std::int64_t updates_ = 0;                  // tried
  std::int64_t chosen_ = 0;
  double usual_ = 0.0;     // seconds an update with the chosen number
  std::int64_t slow_ = 0;  // updates in a row
  bool fell_back_ = false;
};

}  // namespace tacit::inline v0::detail
