#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/data/idx_file.hpp"
#include "tacit/data/tensor_dataset.hpp"

namespace tacit::inline v0::data {

/// Reads an IDX file, plain or gzip, as a tensor of its shape and element type.
/// Throws: DataError, a number for each way in which the file can be wrong, with file, offset, expected and found.
inline at::Tensor read_idx(std::filesystem::path const& path, Bytes limit = idx::default_limit) {
  at::Tensor result;
  read_idx_file(path, limit, [&](idx::Header const& header) {
    at::ScalarType type = at::kByte;
    switch (header.type) {
      case idx::element_type::uint8:
        type = at::kByte;
        break;
      case idx::element_type::int8:
        type = at::kChar;
        break;
      case idx::element_type::int16:
        type = at::kShort;
        break;
      case idx::element_type::int32:
        type = at::kInt;
        break;
      case idx::element_type::float32:
        type = at::kFloat;
        break;
      case idx::element_type::float64:
        type = at::kDouble;
        break;
    }
    result = at::empty(header.dimensions, at::TensorOptions{type});
    return result.mutable_data_ptr();
  });
  return result;
}

/// A training set and a test set.
struct TrainAndTest {
  TensorDataset train;
  TensorDataset test;
};

namespace detail {

inline std::string shape_text(at::Tensor const& tensor) { return idx::detail::sizes(tensor.sizes().vec()); }

}  // namespace detail

/// Images and labels of a data set in MNIST's four files (`train-images-idx3-ubyte` or
/// `train-images.idx3-ubyte` and so on, with or without .gz).
///
/// Inputs are float32 in [0, 1] of shape [N, 1, height, width], targets int64 of shape [N]; as torchvision's ToTensor
/// gives them. They are converted once: float32 takes four times the memory of the file and saves a conversion per
/// batch.
/// Throws: DataError for files that are missing, malformed, or do not belong together.
inline TensorDataset image_classification(std::filesystem::path const& directory, Part part) {
  std::string const prefix = part == Part::train ? "train" : "t10k";
  constexpr std::string_view files = "give the directory with the four IDX files of the data set";
  // The second name is what some archives are unpacked to.
  std::filesystem::path const image_file = detail::find_file(directory, {prefix + "-images-idx3-ubyte", prefix + "-images.idx3-ubyte"}, files);
  std::filesystem::path const label_file = detail::find_file(directory, {prefix + "-labels-idx1-ubyte", prefix + "-labels.idx1-ubyte"}, files);
  at::Tensor const labels = read_idx(label_file);
  if (labels.dim() != 1 || labels.scalar_type() != at::kByte) {
    throw DataError{"TACIT-RD51",
                    tacit::detail::message({"expected labels as bytes in 1 dimension, found ", c10::toString(labels.scalar_type()), " of shape ",
                                            detail::shape_text(labels)}),
                    label_file.string(), "check that the file is the labels'"};
  }
  at::Tensor const images = read_idx(image_file);
  if (images.dim() != 3 || images.scalar_type() != at::kByte) {
    throw DataError{"TACIT-RD52",
                    tacit::detail::message({"expected images as bytes in 3 dimensions, found ", c10::toString(images.scalar_type()), " of shape ",
                                            detail::shape_text(images)}),
                    image_file.string(), "check that the file is the images'"};
  }
  if (images.size(0) != labels.size(0)) {
    throw DataError{"TACIT-RD53", tacit::detail::message({images.size(0), " images but ", labels.size(0), " labels"}),
                    tacit::detail::message({image_file.string(), " and ", label_file.string()}), "fetch both files from one source"};
  }
  return {images.unsqueeze(1).to(at::kFloat).div_(255), labels.to(at::kLong)};
}

/// Training and test set of a directory with MNIST's four files; also for sets in the same form.
/// Throws: DataError as `image_classification`.
inline TrainAndTest mnist(std::filesystem::path const& directory) {
  return {image_classification(directory, Part::train), image_classification(directory, Part::test)};
}

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr std::string_view fashion_mnist_directory = "/usr/share/datasets/fashion-mnist";

namespace detail {
inline TensorDataset fashion_mnist_part(std::filesystem::path const& directory, Part part) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    throw DataError{"TACIT-RD54", "Fashion-MNIST is not there", tacit::detail::message({"directory ", directory.string()}),
                    "install the Debian package dataset-fashion-mnist (apt install dataset-fashion-mnist) or pass the "
                    "directory of the files: fashion_mnist(directory)"};
  }
  return image_classification(directory, part);
}
}  // namespace detail

/// The 60 000 training images of Fashion-MNIST, 28 x 28, ten classes (Xiao, Rasul, Vollgraf, 2017).
/// Throws: DataError where the files are missing or malformed.
inline TensorDataset fashion_mnist(std::filesystem::path const& directory = fashion_mnist_directory) {
  return detail::fashion_mnist_part(directory, Part::train);
}

/// The 10 000 test images of Fashion-MNIST.
/// Throws: DataError where the files are missing or malformed.
inline TensorDataset fashion_mnist_test(std::filesystem::path const& directory = fashion_mnist_directory) {
  return detail::fashion_mnist_part(directory, Part::test);
}

}  // namespace tacit::inline v0::data
