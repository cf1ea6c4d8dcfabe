// CIFAR files: the input as it is, and blown up to several records, three bytes a record. What is accepted has classes only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/data/cifar_format.hpp"

namespace cifar = tacit::data::cifar;
using cifar::Variant;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(std::span<std::uint8_t const> bytes, Variant variant) {
  try {
    cifar::View const view = cifar::parse(bytes, "file", variant, 20000);
    require(view.size() > 0 && view.size() * cifar::record_bytes(variant) == bytes.size() && bytes.size() <= 20000);
    std::size_t place = 0;
    for (std::size_t index = 0; index < view.size(); ++index) {
      require(view.label(index) < cifar::classes(variant));
      if (variant == Variant::cifar100) require(view.coarse_label(index) < cifar::coarse_classes);
      place += cifar::label_bytes(variant);
      require(view.image(index).data() == bytes.data() + place && view.image(index).size() == cifar::image_bytes);
      place += cifar::image_bytes;
    }
  } catch (tacit::DataError const&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  for (Variant const variant : {Variant::cifar10, Variant::cifar100}) {
    check({data, size}, variant);
    std::vector<std::uint8_t> file;
    for (std::size_t at = 0; at + 3 <= size && file.size() < 30000; at += 3) {
      file.push_back(data[at]);
      if (variant == Variant::cifar100) file.push_back(data[at + 1]);
      file.insert(file.end(), cifar::image_bytes, data[at + 2]);
    }
    file.insert(file.end(), size % 3, 0);  // a rest
    check(file, variant);
  }
  return 0;
}

/// Changes the input, and mostly brings it to whole records, small or real ones, whose labels are near the classes.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  std::string file = mutated_bytes({reinterpret_cast<char const*>(data), size}, max_size);
  if (seed % 4 == 0 || max_size < 32) return give_back(file, data, max_size);
  if (seed % 64 == 1 && max_size >= cifar::record_bytes(Variant::cifar100)) {
    file.resize(cifar::record_bytes(seed / 64 % 2 == 0 ? Variant::cifar10 : Variant::cifar100));
  } else {
    file.resize(std::clamp<std::size_t>(file.size() / 3 * 3, 3, 30));
  }
  for (std::size_t at = 0; at < std::min<std::size_t>(file.size(), 30); at += 3) {
    file[at] = static_cast<char>(static_cast<unsigned char>(file[at]) % (seed / 4 % 2 == 0 ? 10 : 22));
    if (at + 1 < file.size()) file[at + 1] = static_cast<char>(static_cast<unsigned char>(file[at + 1]) % (seed / 8 % 8 == 0 ? 102 : 100));
  }
  return give_back(file, data, max_size);
}
