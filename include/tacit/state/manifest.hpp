#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/state/crc32c.hpp"
#include "tacit/state/json.hpp"
#include "tacit/state/safetensors.hpp"

namespace tacit::inline v0 {

/// A file of a checkpoint: its sum is compared whenever it is read.
struct ManifestFile {
  std::string name{};
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
  int rank = 0;  ///< which wrote it

  friend bool operator==(ManifestFile const&, ManifestFile const&) = default;
};

/// Where a run went back: of the checkpoints committed before `sequence` it left those of `number` and above behind.
struct Fork {
  std::uint64_t sequence = 0;
  std::uint64_t number = 0;

  friend bool operator==(Fork const&, Fork const&) = default;
};

/// What a checkpoint consists of; written last, so that what it lists is there.
struct Manifest {
  std::uint64_t number = 0;      ///< updates done
  std::uint64_t sequence = 0;    ///< counts the commits of its directory; 0 in version 1, which had none
  std::vector<Fork> forks{};     ///< of all that was committed before, in order, none deeper than the one before it
  int world_size = 1;            ///< ranks that wrote
  std::optional<double> metric{};  ///< by which the best are kept
  std::vector<ManifestFile> files{};

  ManifestFile const* find(std::string_view name) const noexcept {
    auto const found = std::ranges::find(files, name, &ManifestFile::name);
    return found == files.end() ? nullptr : &*found;
  }
  friend bool operator==(Manifest const&, Manifest const&) = default;
};

inline constexpr std::string_view manifest_name = "manifest.json";
/// The version that is written; older ones are read.
inline constexpr std::uint64_t manifest_version = 2;

namespace detail {

inline std::string hex8(std::uint32_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(8, '0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = digits[(value >> (28 - 4 * i)) & 15U];
  return text;
}
inline std::optional<std::uint32_t> from_hex8(std::string_view text) {
  if (text.size() != 8) return std::nullopt;
  std::uint32_t value = 0;
  for (char c : text) {
    unsigned const digit = c >= '0' && c <= '9' ? static_cast<unsigned>(c - '0') : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10 : 16;
    if (digit == 16) return std::nullopt;
    value = value << 4U | digit;
  }
  return value;
}

/// An entry as it stands in the manifest, and as ranks tell it to each other.
inline void append_entry(std::string& out, ManifestFile const& file) {
  out += "{\"name\":";
  json::append_quoted(out, file.name);
  out.append(",\"size\":").append(std::to_string(file.size)).append(",\"crc32c\":\"").append(hex8(file.crc)).append("\",\"rank\":").append(std::to_string(file.rank)).append("}");
}

inline ManifestFile parse_entry(json::Reader const& entry) {
  entry.allow_only({"name", "size", "crc32c", "rank"});
  ManifestFile file;
  file.name = entry["name"].text();
  if (!safetensors::is_plain_file_name(file.name) || file.name == manifest_name) {
    entry["name"].fail("TACIT-RS54", json::detail::shown(file.name) + " is no name of a file inside the checkpoint");
  }
  file.size = entry["size"].whole();
  auto const crc = from_hex8(entry["crc32c"].text());
  if (!crc) entry["crc32c"].fail("TACIT-RS56", "expected eight hexadecimal digits");
  file.crc = *crc;
  std::uint64_t const rank = entry["rank"].whole();
  if (rank >= 1'000'000'000) entry["rank"].fail("TACIT-RS57", std::to_string(rank) + " is no rank");
  file.rank = static_cast<int>(rank);
  return file;
}

inline std::string forks_text(std::vector<Fork> const& forks) {
  std::string text{"["};
  for (Fork const& fork : forks) text += (text.size() > 1 ? ",[" : "[") + std::to_string(fork.sequence) + "," + std::to_string(fork.number) + "]";
  return text + "]";
}

// The manifest's own sum is its last member, over all bytes before: JSON for any reader, and no byte is outside the sum.
inline constexpr std::string_view sum_before = ",\"crc32c\":\"";
inline constexpr std::string_view sum_after = "\"}\n";
inline constexpr std::size_t sum_size = sum_before.size() + 8 + sum_after.size();

}  // namespace detail

/// The text of a manifest.
inline std::string manifest_text(Manifest const& manifest) {
  std::string text = "{\"format\":\"tacit-checkpoint\",\"version\":" + std::to_string(manifest_version) + ",\"number\":" + std::to_string(manifest.number) +
                     ",\"sequence\":" + std::to_string(manifest.sequence) +
                     ",\"forks\":" + detail::forks_text(manifest.forks) + ",\"world_size\":" + std::to_string(manifest.world_size) + ",\"metric\":";
  if (manifest.metric && std::isfinite(*manifest.metric)) {
    json::append_number(text, *manifest.metric);
  } else {
    text += "null";
  }
  text += ",\"files\":[";
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    detail::append_entry(text, manifest.files[i]);
  }
  text += "]";
  std::uint32_t const sum = crc32c(std::as_bytes(std::span{text}));
  return text.append(detail::sum_before).append(detail::hex8(sum)).append(detail::sum_after);
}

/// Reads a manifest: its sum first, then everything else.
/// Throws: StateError, a number for each defect.
inline Manifest parse_manifest(std::string_view text, std::string_view file) {
  constexpr std::string_view fix = "use another checkpoint";
  auto const before = text.size() < detail::sum_size ? std::string_view{} : text.substr(0, text.size() - detail::sum_size);
  auto const sum = text.substr(before.size());
  if (before.empty() || !sum.starts_with(detail::sum_before) || !sum.ends_with(detail::sum_after)) {
    throw StateError{"TACIT-RS50", "does not end with its sum: it is cut off, or no manifest", json::detail::at_offset(file, before.size()), fix};
  }
  auto const wanted = detail::from_hex8(sum.substr(detail::sum_before.size(), 8));
  std::uint32_t const found = crc32c(std::as_bytes(std::span{before}));
  if (wanted != found)
    throw StateError{"TACIT-RS51", tacit::detail::message({"is damaged: its bytes have the sum ", detail::hex8(found)}),
                     json::detail::at_offset(file, before.size()), fix};

  json::Value const root = json::parse(text, file);
  json::Reader const reader{root, file};
  if (reader["format"].text() != "tacit-checkpoint") reader["format"].fail("TACIT-RS52", "is not a checkpoint of Tacit");
  std::uint64_t const version = reader["version"].whole();
  if (version == 0 || version > manifest_version) {
    throw StateError{"TACIT-RS53", tacit::detail::message({"is of format version ", version, ", this program reads up to ", manifest_version}),
                     std::string{file}, "read it with the version of Tacit that wrote it, or a newer one"};
  }
  reader.allow_only({"format", "version", "number", "sequence", "forks", "world_size", "metric", "files", "crc32c"});
  Manifest manifest;
  manifest.number = reader["number"].whole();
  if (version > 1) {
    manifest.sequence = reader["sequence"].whole();
    for (json::Reader const& fork : reader["forks"].items()) {
      auto const pair = fork.items();
      if (pair.size() != 2) fork.fail("TACIT-RS57", "a fork is two numbers");
      manifest.forks.push_back({pair[0].whole(), pair[1].whole()});
    }
  }
  if (manifest.sequence >= 1'000'000'000'000'000'000) reader["sequence"].fail("TACIT-RS57", std::to_string(manifest.sequence) + " is no number of commits");
  std::uint64_t const world_size = reader["world_size"].whole();
  if (world_size == 0 || world_size >= 1'000'000'000) reader["world_size"].fail("TACIT-RS57", std::to_string(world_size) + " is no number of ranks");
  manifest.world_size = static_cast<int>(world_size);
  if (!reader["metric"].value().is_null()) manifest.metric = reader["metric"].number();
  for (json::Reader const& entry : reader["files"].items()) {
    manifest.files.push_back(detail::parse_entry(entry));
    if (manifest.files.back().rank >= manifest.world_size) entry.fail("TACIT-RS57", "rank " + std::to_string(manifest.files.back().rank) + " of " + std::to_string(world_size));
  }
  std::vector<std::string_view> names;
  for (ManifestFile const& one : manifest.files) names.push_back(one.name);
  std::ranges::sort(names);
  if (auto const twice = std::ranges::adjacent_find(names); twice != names.end()) {
    reader["files"].fail("TACIT-RS55", "the file " + json::detail::shown(*twice) + " is listed twice");
  }
  return manifest;
}

namespace detail {

/// What a writer asks before it writes a manifest: its reader must take it.
inline void check_can_be_read(std::string_view text, std::string_view name) {
  if (text.size() > safetensors::max_header) {
    throw StateError{"TACIT-RS47", tacit::detail::message({"the manifest would have ", text.size(), " bytes, at most ", safetensors::max_header, " can be read"}),
                     std::string{name}, "save fewer files, or give them shorter names"};
  }
  (void)parse_manifest(text, name);
}

}  // namespace detail

}  // namespace tacit::inline v0
