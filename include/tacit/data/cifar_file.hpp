#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/data/cifar_format.hpp"
#include "tacit/data/idx_file.hpp"

namespace tacit::inline v0::data {

/// Images and labels of one or more files of CIFAR-10 or CIFAR-100.
struct CifarImages {
  std::vector<std::uint8_t> pixels;         ///< [N, 3, 32, 32]
  std::vector<std::uint8_t> labels;         ///< [N], 0 to 9, or 0 to 99: the fine ones
  std::vector<std::uint8_t> coarse_labels;  ///< [N], 0 to 19, of CIFAR-100 only

  /// Puts the records of a file behind those that are there.
  void append(cifar::View const& view) {
    pixels.reserve(pixels.size() + view.size() * cifar::image_bytes);
    for (std::size_t index = 0; index < view.size(); ++index) {
      auto const image = view.image(index);
      pixels.insert(pixels.end(), image.begin(), image.end());
      labels.push_back(view.label(index));
      if (view.variant == cifar::Variant::cifar100) coarse_labels.push_back(view.coarse_label(index));
    }
  }
};

/// Reads a file of CIFAR-10 or CIFAR-100 in its binary version, plain or gzip.
/// Throws: DataError, a number for each way in which the file can be wrong, with file and offset.
inline CifarImages read_cifar_file(std::filesystem::path const& path, cifar::Variant variant, Bytes limit = cifar::default_limit) {
  detail::UnpackingFile file{path};
  std::vector<std::uint8_t> bytes;
  constexpr std::size_t piece = std::size_t{1} << 20;
  // One piece over the limit is enough for `parse` to refuse it.
  auto const most = static_cast<std::uint64_t>(limit.value_or(0));
  for (std::size_t found = piece; found == piece && bytes.size() <= most;) {
    std::size_t const before = bytes.size();
    bytes.resize(before + piece);
    found = file.read(std::span{bytes}.subspan(before));
    bytes.resize(before + found);
  }
  CifarImages images;
  images.append(cifar::parse(bytes, file.name(), variant, limit));
  return images;
}

/// Reads the training or the test images of a data set as its archive holds them: `data_batch_1.bin` to `data_batch_5.bin` and
/// `test_batch.bin`, or `train.bin` and `test.bin`, each with or without .gz.
/// Throws: DataError for files that are missing or malformed.
inline CifarImages read_cifar(std::filesystem::path const& directory, cifar::Variant variant, Part part) {
  std::vector<std::string> names;
  if (variant == cifar::Variant::cifar100) {
    names.push_back(part == Part::train ? "train.bin" : "test.bin");
  } else if (part == Part::test) {
    names.push_back("test_batch.bin");
  } else {
    for (char const number : {'1', '2', '3', '4', '5'}) names.push_back(std::string{"data_batch_"} + number + ".bin");
  }
  std::vector<std::filesystem::path> files;  // all are found before one is read
  for (std::string const& name : names) {
    files.push_back(detail::find_file(directory, name,
                                      variant == cifar::Variant::cifar10 ? "give the directory cifar-10-batches-bin of the binary version"
                                                                         : "give the directory cifar-100-binary of the binary version"));
  }
  CifarImages all;
  for (std::filesystem::path const& path : files) {
    CifarImages one = read_cifar_file(path, variant);
    if (all.labels.empty()) {
      all = std::move(one);
      continue;
    }
    all.pixels.insert(all.pixels.end(), one.pixels.begin(), one.pixels.end());
    all.labels.insert(all.labels.end(), one.labels.begin(), one.labels.end());
    all.coarse_labels.insert(all.coarse_labels.end(), one.coarse_labels.begin(), one.coarse_labels.end());
  }
  return all;
}

}  // namespace tacit::inline v0::data
