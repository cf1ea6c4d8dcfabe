#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Bytes by libFuzzer's own mutations.
inline std::string mutated_bytes(std::string bytes, std::size_t max_size) {
  std::size_t const size = std::min(bytes.size(), max_size);
  bytes.resize(std::max<std::size_t>(max_size, 1));
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes.data()), size, max_size));
  return bytes;
}

/// Mutations that know a language: a token is put in, or a piece copied to another place; or libFuzzer's own.
inline std::string mutated_text(std::string text, std::size_t max_size, unsigned seed, std::span<std::string_view const> tokens) {
  std::minstd_rand random{seed};
  auto const place = [&](std::size_t size) { return size == 0 ? 0 : random() % size; };
  switch (random() % 4) {
    case 0: {
      text.insert(place(text.size() + 1), tokens[random() % tokens.size()]);
      break;
    }
    case 1: {
      std::size_t const from = place(text.size());
      std::string const piece = text.substr(from, random() % 64);
      text.insert(place(text.size() + 1), piece);
      break;
    }
    case 2: {
      std::size_t const from = place(text.size());
      text.replace(from, random() % 16, tokens[random() % tokens.size()]);
      break;
    }
    default: {
      text = mutated_bytes(std::move(text), max_size);
    }
  }
  if (text.size() > max_size) text.resize(max_size);
  return text;
}

inline std::string mutated_json(std::string text, std::size_t max_size, unsigned seed) {
  static constexpr std::string_view tokens[] = {"{", "}", "[", "]", ":", ",", "\"", "\\u0000", "\\ud800", "null", "true", "-0", "0", "1", "-1", "1e308", "1e999", "0.5", "\"\":", "\"a\":0,",
                                                "18446744073709551615", "18446744073709551616", "-9223372036854775808", "\"..\"", "\"../x\"", "\xff", "\xef\xbb\xbf", "[[[[[[[["};
  return mutated_text(std::move(text), max_size, seed, tokens);
}

inline std::size_t give_back(std::string const& text, std::uint8_t* data, std::size_t max_size) {
  std::size_t const size = std::min(text.size(), max_size);
  if (size != 0) std::memcpy(data, text.data(), size);
  return size;
}
