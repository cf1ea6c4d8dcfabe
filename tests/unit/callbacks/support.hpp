#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

/// What the tests of callbacks share: batches in a known order, and losses that go wrong where one likes.
namespace support {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Batches of two samples each, in this order every epoch; batch `bad` has a target of `value`.
inline std::vector<fake::Batch> batches(int count, int bad = -1, double value = not_a_number) {
  std::vector<fake::Batch> result;
  for (int i = 0; i < count; ++i) {
    double const x = 0.1 * i;
    result.push_back({fake::Tensor{std::vector<double>{x, x + 0.5}}, fake::Tensor{std::vector<double>{i == bad ? value : 2.0 * x + 1.0, 2.0 * x + 2.0}}});
  }
  return result;
}

struct Parameters {
  double weight;
  double bias;
  bool operator==(Parameters const&) const = default;
};
inline Parameters parameters_of(fake::Linear const& model) { return {model.weight->values[0], model.bias->values[0]}; }

/// The number of times that `part` occurs in `text`.
inline int count_of(std::string const& text, std::string const& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

inline std::vector<std::string> lines_of(std::string const& text) {
  std::vector<std::string> lines;
  std::istringstream stream{text};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

template <class... Arguments>
auto trainer(std::shared_ptr<fake::Linear> model, Arguments... arguments) {
  return tacit::Trainer{std::move(model), fake::MeanSquaredError{}, fake::Sgd{.lr = 0.05, .momentum = 0.5}, std::move(arguments)...};
}

}  // namespace support
