#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tacit/core/error.hpp"
#include "tacit/data/idx_format.hpp"

/// The binary version of CIFAR-10 and CIFAR-100 (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009):
/// records of one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), a byte each, and 32 x 32 pixels, all of red, then of
/// green, then of blue, row by row. There is no header.
namespace tacit::inline v0::data::cifar {

enum class Variant : std::uint8_t { cifar10, cifar100 };

inline constexpr std::int64_t channels = 3;
inline constexpr std::int64_t side = 32;
inline constexpr std::size_t image_bytes = 3 * 32 * 32;
inline constexpr Bytes default_limit = idx::default_limit;

constexpr std::size_t label_bytes(Variant variant) noexcept { return variant == Variant::cifar10 ? 1 : 2; }
constexpr std::size_t record_bytes(Variant variant) noexcept { return label_bytes(variant) + image_bytes; }
constexpr std::string_view name_of(Variant variant) noexcept { return variant == Variant::cifar10 ? "CIFAR-10" : "CIFAR-100"; }

/// Classes of a label: the last one of a record, or the coarse one that CIFAR-100 has before it.
constexpr std::uint8_t classes(Variant variant) noexcept { return variant == Variant::cifar10 ? 10 : 100; }
inline constexpr std::uint8_t coarse_classes = 20;

/// A whole file in memory, checked.
struct View {
  Variant variant{};
  std::span<std::uint8_t const> bytes;

  std::size_t size() const noexcept { return bytes.size() / record_bytes(variant); }
  /// Requires: index < size(), for all three.
  std::uint8_t label(std::size_t index) const noexcept { return record(index)[label_bytes(variant) - 1]; }
  /// Requires: the variant is CIFAR-100.
  std::uint8_t coarse_label(std::size_t index) const noexcept { return record(index)[0]; }
  std::span<std::uint8_t const> image(std::size_t index) const noexcept { return record(index).subspan(label_bytes(variant)); }

 private:
  std::span<std::uint8_t const> record(std::size_t index) const noexcept {
    return bytes.subspan(index * record_bytes(variant), record_bytes(variant));
  }
};

/// Checks a whole (uncompressed) file in memory; `file` goes into messages only. Nothing is allocated or copied.
/// Throws: DataError for a file that is empty, over the limit or ends within a record, and for a label that is no class;
/// ConfigError for a limit that is not given.
inline View parse(std::span<std::uint8_t const> bytes, std::string_view file, Variant variant, Bytes limit = default_limit) {
  if (!limit.is_set()) throw ConfigError{"TACIT-RC15", "no limit on the size was given", std::string{file}, "give a number of bytes"};
  if (bytes.empty()) throw DataError{"TACIT-RD83", "the file is empty", std::string{file}, "check where the file comes from"};
  if (bytes.size() > static_cast<std::uint64_t>(limit.value())) {
    throw DataError{"TACIT-RD85", tacit::detail::message({"the file has more bytes than the limit, which is ", limit.value()}), std::string{file},
                    "give a higher limit if you trust the file"};
  }
  std::size_t const record = record_bytes(variant);
  if (std::size_t const rest = bytes.size() % record; rest != 0) {
    Variant const other = variant == Variant::cifar10 ? Variant::cifar100 : Variant::cifar10;
    bool const is_other = bytes.size() % record_bytes(other) == 0;
    throw DataError{"TACIT-RD89",
                    tacit::detail::message({"the file has ", bytes.size(), " bytes, no whole number of ", name_of(variant), "'s records of ", record}),
                    idx::detail::at_offset(file, bytes.size() - rest),
                    is_other ? tacit::detail::message({"it looks like a file of ", name_of(other)}) : "fetch the file again, in its binary version"};
  }
  View const view{variant, bytes};
  auto const check = [&](std::size_t index, std::size_t at, std::uint8_t most, std::string_view what) {
    std::uint8_t const label = bytes[index * record + at];
    if (label < most) return;
    throw DataError{"TACIT-RD90", tacit::detail::message({what, " ", label, " of record ", index, " is none of the ", most, " classes"}),
                    idx::detail::at_offset(file, index * record + at), "the file is damaged, or none of this data set"};
  };
  for (std::size_t index = 0; index < view.size(); ++index) {
    if (variant == Variant::cifar100) check(index, 0, coarse_classes, "coarse label");
    check(index, label_bytes(variant) - 1, classes(variant), "label");
  }
  return view;
}

}  // namespace tacit::inline v0::data::cifar
