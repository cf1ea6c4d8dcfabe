#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "tacit/data/cifar_file.hpp"
#include "tacit/data/tensor_dataset.hpp"

namespace tacit::inline v0::data {

/// Which of CIFAR-100's two labels is the target: one of 100 classes, or one of the 20 groups that they fall into.
enum class CifarLabels { fine, coarse };

namespace detail {

inline TensorDataset cifar_dataset(CifarImages& images, std::vector<std::uint8_t>& labels) {
  auto const count = static_cast<std::int64_t>(images.labels.size());
  // Both are converted, so that nothing of the vectors is kept.
  at::Tensor const pixels = at::from_blob(images.pixels.data(), {count, cifar::channels, cifar::side, cifar::side}, at::TensorOptions{at::kByte});
  at::Tensor const targets = at::from_blob(labels.data(), {count}, at::TensorOptions{at::kByte});
  return {pixels.to(at::kFloat).div_(255), targets.to(at::kLong)};
}

}  // namespace detail

/// CIFAR-10 of a directory with the files of its binary version: 50 000 training or 10 000 test images, ten classes.
///
/// Inputs are float32 in [0, 1] of shape [N, 3, 32, 32], targets int64 of shape [N]; as torchvision's ToTensor gives them.
/// Throws: DataError for files that are missing or malformed.
/// Cost: the training images take 614 MB; 150 MB more while they are read.
inline TensorDataset cifar10(std::filesystem::path const& directory, Part part) {
  CifarImages images = read_cifar(directory, cifar::Variant::cifar10, part);
  return detail::cifar_dataset(images, images.labels);
}

/// CIFAR-100 of a directory with the files of its binary version, in the form of `cifar10`.
/// Throws, Cost: as `cifar10`.
inline TensorDataset cifar100(std::filesystem::path const& directory, Part part, CifarLabels labels = CifarLabels::fine) {
  CifarImages images = read_cifar(directory, cifar::Variant::cifar100, part);
  return detail::cifar_dataset(images, labels == CifarLabels::fine ? images.labels : images.coarse_labels);
}

}  // namespace tacit::inline v0::data
