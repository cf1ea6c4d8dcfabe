#include "tacit/train/window.hpp"

#include <cstdint>
#include <optional>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/train/update_skip.hpp"

using tacit::detail::UpdateSkip;
template <std::size_t Phases, bool Planned, bool OnDevice = false>
using Window = tacit::detail::Window<fake::Tensor, Phases, Planned, OnDevice>;

namespace window_tests {
namespace {

/// A source of batches of 3, 3, 3 and 1 samples over all ranks.
struct Batches {
  using batch_type = int;
  std::int64_t at = 0;
  void start_epoch(std::uint64_t, tacit::EpochIndex, int, int) { at = 0; }
  bool next(std::optional<int>&) { return at++ < 4; }
  std::int64_t position() const { return at; }
  std::int64_t size(int) const { return 4; }
  std::int64_t batch_samples(std::int64_t batch) const { return global_batch_samples(batch); }
  std::int64_t global_batch_samples(std::int64_t batch) const { return batch < 3 ? 3 : 1; }
};
/// One that does not know its size.
struct Stream {
  using batch_type = int;
  void start_epoch(std::uint64_t, tacit::EpochIndex, int, int) {}
  bool next(std::optional<int>&) { return false; }
  std::int64_t position() const { return 0; }
};

fake::Tensor on_device(double value) {
  fake::Tensor tensor{{value}};
  tensor->on_device = true;
  return tensor;
}

}  // namespace

TEST_CASE("a window is as long as what is left of sized data, and its samples are known") {
  Batches batches;
  CHECK(tacit::detail::window_size(batches, 3, 1) == 3);
  CHECK(tacit::detail::planned_samples(batches, 3, 1) == 9.0);
  batches.at = 3;
  CHECK(tacit::detail::window_size(batches, 3, 1) == 1);
  CHECK(tacit::detail::planned_samples(batches, 1, 1) == 1.0);
  CHECK(tacit::detail::window_size(Stream{}, 3, 1) == 3);
}

TEST_CASE("micro-batches fill a window, and the last one closes it") {
  Window<1, false> window;
  window.begin(false);
  window.plan(2);
  CHECK_FALSE(window.is_closing());
  CHECK_FALSE(window.is_open());
  window.end_micro_batch();
  CHECK(window.is_closing());
  CHECK(window.is_open());
  window.end_micro_batch();
  CHECK(window.is_full());
  window.begin(false);
  window.plan(1);
  CHECK(window.is_closing());
  CHECK_FALSE(window.is_full());
  Window<1, false> plain;
  plain.begin(true);
  CHECK(plain.is_closing());
}

TEST_CASE("C1: loss factors times the gradient's scale give each phase the mean over its own weights") {
  // Micro-batches of weights 3 and 1 in the first phase, 10 and 0 in the second, on one of two ranks; the other rank has 4 and 10.
  Window<2, false> window{2};
  window.begin(false);
  window.plan(2);
  window.add(0, 3.0);
  window.add(1, 10.0);
  window.add(0, 1.0);
  window.add(1, 0.0);
  CHECK(window.weight(0) == 4.0);
  CHECK(window.weight(1) == 10.0);
  window.set_weight(0, 8.0);
  window.set_weight(1, 20.0);
  CHECK(window.loss_factor(3.0) * window.gradient_scale(0) == 3.0 * 2.0 / 8.0);
  CHECK(window.loss_factor(10.0) * window.gradient_scale(1) == 10.0 * 2.0 / 20.0);
}

TEST_CASE("a planned sum goes into the loss, and nothing is scaled at the end") {
  Window<1, true> window{2};
  window.begin(false);
  window.plan_weight(10.0);
  CHECK(window.loss_factor(3.0) == 0.6);
  CHECK(window.gradient_scale(0) == 1.0);
  CHECK(window.has_weight(0));
}

TEST_CASE("C7: a window in which nothing counts has no weight, a plain one neither") {
  Window<1, false> window;
  window.begin(true);
  CHECK_FALSE(window.has_weight(0));
  window.add(0, 0.0);
  CHECK_FALSE(window.has_weight(0));
  window.add(0, 0.5);
  CHECK(window.has_weight(0));
  CHECK(window.loss_factor(0.5) == 1.0);
  CHECK(window.gradient_scale(0) == 1.0);
  window.begin(true);
  CHECK_FALSE(window.has_weight(0));
}

TEST_CASE("a plain window that is computed in parts weighs its samples") {
  Window<1, true> planned;
  planned.begin(true);
  planned.leave_plain(8.0);
  CHECK(planned.loss_factor(2.0) == 0.25);
  Window<1, false> summed;
  summed.begin(true);
  summed.leave_plain(8.0);
  summed.add(0, 2.0);
  summed.add(0, 6.0);
  CHECK(summed.loss_factor(2.0) * summed.gradient_scale(0) == 0.25);
}

TEST_CASE("weights on the device are summed there, with those that the host knows") {
  fake::device_reads = 0;
  Window<1, false, true> window{1, true};
  window.begin(false);
  window.add(0, on_device(2.0));
  window.add(0, on_device(3.0));
  window.add(0, 1.0);
  CHECK(window.has_weight(0));
  fake::Tensor const sum = window.device_weight(0, on_device(0.0));
  CHECK(sum->on_device);
  CHECK(sum->values[0] == 6.0);
  window.set_device_weight(0, on_device(12.0));
  CHECK(window.device_weight(0, on_device(0.0))->values[0] == 12.0);
  CHECK(fake::device_reads == 0);
}

TEST_CASE("what is found in one phase's gradients does not skip another phase") {
  UpdateSkip<fake::Tensor> skip;
  fake::Tensor const none{{0.0}};
  fake::Tensor const found{{1.0}};
  CHECK(skip.flag(nullptr) == nullptr);
  CHECK(skip.flag(&found) == &found);
  skip.skip_if(none);
  CHECK(skip.flag(&found)->values()[0] == 1.0);
  CHECK(skip.flag(nullptr)->values()[0] == 0.0);
  CHECK(skip.flag(&none)->values()[0] == 0.0);
  skip.skip();
  CHECK(skip.by_host());
  CHECK(skip.device_flag(&none, none)->values()[0] == 1.0);
  CHECK(skip.as_flag(none)->values[0] == 1.0);
  CHECK_FALSE(skip.by_host());
  skip.reset();
  CHECK_FALSE(skip.has_flag());
}

}  // namespace window_tests
