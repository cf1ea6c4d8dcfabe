// Manifests, with their sum made right again after each change. What is accepted is written back and read as the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "reliability/fuzz/mutate.hpp"
#include "tacit/state/manifest.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    tacit::Manifest const manifest = tacit::parse_manifest({reinterpret_cast<char const*>(data), size}, "manifest.json");
    for (tacit::ManifestFile const& file : manifest.files) {
      if (!tacit::safetensors::is_plain_file_name(file.name) || file.rank >= manifest.world_size) std::abort();
    }
    if (!(tacit::parse_manifest(tacit::manifest_text(manifest), "again") == manifest)) std::abort();
  } catch (tacit::StateError const&) {
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  namespace detail = tacit::detail;
  if (size < detail::sum_size || max_size < 2 * detail::sum_size || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string text = mutated_json({reinterpret_cast<char const*>(data), size - detail::sum_size}, max_size - detail::sum_size, seed / 16);
  std::uint32_t const sum = tacit::crc32c(std::as_bytes(std::span{text}));
  text.append(detail::sum_before).append(detail::hex8(sum)).append(detail::sum_after);
  return give_back(text, data, max_size);
}
