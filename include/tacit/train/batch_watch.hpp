#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/task/batch.hpp"

namespace tacit::inline v0::detail {

/// A source whose batches share no memory with its data: a step may work in place on them.
template <class Source>
concept gives_batches_away = requires { requires Source::gives_batches_away; };

/// Notices a step that works in place on a batch whose memory is the data set's: the next pass would read what the step left.
///
/// Cost: for tensors of their own memory two reads of a reference count a batch. Nothing where tensors do not tell.
template <class Tensor, class Source>
class BatchWatch {
  using traits = tensor_traits<Tensor>;
  static constexpr bool watches = !gives_batches_away<Source> && requires(Tensor const& tensor) {
    { traits::memory_is_shared(tensor) } -> std::same_as<bool>;
    { traits::version(tensor) } -> std::same_as<std::int64_t>;
  };

 public:
  /// To be called when a batch has come, before anybody else holds its tensors.
  template <class Batch>
  void begin([[maybe_unused]] Batch const& batch) {
    if constexpr (watches) {
      for_each_tensor<Tensor>(batch, [this](Tensor const& tensor) {
        if (traits::defined(tensor) && traits::memory_is_shared(tensor)) watched_.emplace_back(tensor, traits::version(tensor));
      });
    }
  }

  /// To be called when the step is over.
  /// Throws: DataError if it changed the data set.
  void end([[maybe_unused]] bool training, [[maybe_unused]] EpochIndex epoch, [[maybe_unused]] MicroBatchIndex step) {
    if constexpr (watches) {
      if (watched_.empty()) return;
      bool changed = false;
      for (auto const& [tensor, version] : watched_) changed |= traits::version(tensor) != version;
      watched_.clear();
      if (changed) refuse(training, epoch, step);
    }
  }

 private:
  [[noreturn]] static void refuse(bool training, EpochIndex epoch, MicroBatchIndex step) {
    throw DataError{"TACIT-RD137", "the step changed a batch in place whose memory is the data set's: later passes would read the changed values",
                    message({training ? "train, epoch " : "evaluate, epoch ", epoch.value(), ", batch ", step.value()}),
                    "let the model work on a copy (x.clone()), leave out inplace of the first layer, or shuffle: batches of a shuffled TensorDataset are copies"};
  }

  struct nothing {};
  [[no_unique_address]] std::conditional_t<watches, std::vector<std::pair<Tensor, std::int64_t>>, nothing> watched_{};
};

}  // namespace tacit::inline v0::detail
