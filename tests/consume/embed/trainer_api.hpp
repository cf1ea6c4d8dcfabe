#pragma once

#include <vector>

/// A trainer behind a header that any C++17 file may include: no Tacit, no LibTorch, no C++20.
class LineFit {
 public:
  LineFit();
  ~LineFit();
  LineFit(LineFit const&) = delete;
  LineFit& operator=(LineFit const&) = delete;

  /// Returns the loss after training.
  double fit(std::vector<float> const& x, std::vector<float> const& y, int epochs);

 private:
  struct State;
  State* state_;
};
