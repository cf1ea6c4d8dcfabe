#pragma once

#include <algorithm>
#include <bitset>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"

namespace tacit::inline v0::data {

/// What a character is: a byte, whatever it means, or a code point of Unicode in UTF-8.
enum class CharUnit : std::uint8_t { byte, code_point };

namespace detail {

inline constexpr std::uint32_t last_code_point = 0x10ffff;

constexpr bool is_code_point(std::uint32_t value) noexcept { return value <= last_code_point && (value < 0xd800 || value > 0xdfff); }

/// A code point and how many bytes it takes; 0 bytes where no well-formed one begins.
struct DecodedChar {
  std::uint32_t value = 0;
  std::size_t bytes = 0;
};

/// Reads the code point at the start of a text that is not empty (RFC 3629: no surrogates, nothing longer than needed).
constexpr DecodedChar decode_utf8(std::string_view text) noexcept {
  auto const byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
  std::uint32_t const first = byte(0);
  if (first < 0x80) return {first, 1};
  std::size_t const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return {};
  std::uint32_t value = first & (0x7fU >> length);
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(at) & 0x3f);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  return value >= least[length] && is_code_point(value) ? DecodedChar{value, length} : DecodedChar{};
}

/// Requires: `is_code_point(value)`.
inline void append_utf8(std::string& text, std::uint32_t value) {
  auto const put = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  auto const tail = [&](unsigned shift) { put(0x80 | (value >> shift & 0x3f)); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xc0 | value >> 6);
    tail(0);
  } else if (value < 0x10000) {
    put(0xe0 | value >> 12);
    tail(6);
    tail(0);
  } else {
    put(0xf0 | value >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace detail

/// Characters as tokens: the vocabulary is the set of a text's characters in ascending order, a token the place in it.
///
/// The same text gives the same tokens on every machine, and those of nanoGPT's character-level data. The vocabulary is the
/// tokenizer's state: saved with a checkpoint, it comes back whole, also into one that was made without a text.
/// Cost: a character takes log2(size) comparisons; each call looks once through the vocabulary, which may have been loaded.
/// Example: `data::CharTokenizer const tokenizer{text}; auto tokens = tokenizer.encode("to be");`
class CharTokenizer {
 public:
  static constexpr std::string_view state_name = "char_tokenizer";
  static constexpr std::uint64_t state_version = 1;

  /// Without a vocabulary: one to load a saved vocabulary into.
  CharTokenizer() = default;
  /// Throws: DataError for a text that is empty or, read as code points, not UTF-8.
  explicit CharTokenizer(std::string_view text, CharUnit unit = CharUnit::code_point) : unit_{unit} {
    if (text.empty()) {
      throw DataError{"TACIT-RD82", "the text for the vocabulary is empty", "CharTokenizer", "give the text that is to be trained on"};
    }
    // Nearly every character of nearly every text is one of a few.
    std::bitset<256> low;
    std::set<std::uint32_t> high;
    each_char(text, [&](std::uint32_t value, std::size_t, std::size_t) {
      if (value < low.size()) {
        low.set(value);
      } else {
        high.insert(value);
      }
    });
    vocabulary_.reserve(low.count() + high.size());
    for (std::uint32_t value = 0; value < low.size(); ++value) {
      if (low.test(value)) vocabulary_.push_back(value);
    }
    vocabulary_.insert(vocabulary_.end(), high.begin(), high.end());
  }

  CharUnit unit() const noexcept { return unit_; }
  /// Characters of the vocabulary: tokens are 0 to size - 1.
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(vocabulary_.size()); }
  /// The bytes or code points, ascending.
  std::span<std::uint32_t const> vocabulary() const& noexcept { return vocabulary_; }
  std::vector<std::uint32_t> vocabulary() const&& { return vocabulary_; }

  /// The tokens of a text, one for each character.
  /// Throws: DataError for a character that is not in the vocabulary, and for text that is not UTF-8, with the position.
  std::vector<std::int64_t> encode(std::string_view text) const {
    check();
    std::vector<std::int64_t> tokens;
    tokens.reserve(text.size());
    each_char(text, [&](std::uint32_t value, std::size_t at, std::size_t number) {
      auto const found = std::ranges::lower_bound(vocabulary_, value);
      if (found == vocabulary_.end() || *found != value) {
        throw DataError{"TACIT-RD79",
                        tacit::detail::message({"character ", shown(value), " is not among the ", vocabulary_.size(), " of the vocabulary"}),
                        tacit::detail::message({"text, character ", number, " (byte ", at, ")"}),
                        "make the tokenizer from a text that has it, or take it out"};
      }
      tokens.push_back(found - vocabulary_.begin());
    });
    return tokens;
  }

  /// The text of tokens.
  /// Throws: DataError for a token outside of the vocabulary, with its place.
  template <std::ranges::input_range Range>
    requires std::integral<std::ranges::range_value_t<Range>>
  std::string decode(Range&& tokens) const {
    check();
    std::string text;
    std::size_t place = 0;
    for (auto const token : tokens) {
      if (!std::in_range<std::size_t>(token) || static_cast<std::size_t>(token) >= vocabulary_.size()) {
        throw DataError{"TACIT-RD80", tacit::detail::message({"token ", token, " is outside of a vocabulary of ", vocabulary_.size()}),
                        tacit::detail::message({"tokens, place ", place}), "give the tokens of this tokenizer"};
      }
      append(text, vocabulary_[static_cast<std::size_t>(token)]);
      ++place;
    }
    return text;
  }

  friend bool operator==(CharTokenizer const&, CharTokenizer const&) = default;

  static void visit_state(auto& self, auto&& visit) {
    visit("unit", self.unit_);
    visit("vocabulary", self.vocabulary_);
  }

 private:
  /// Calls `body(value, byte, number)` for each character.
  void each_char(std::string_view text, auto&& body) const {
    for (std::size_t at = 0, number = 0; at < text.size(); ++number) {
      if (unit_ == CharUnit::byte) {
        body(static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])), at, number);
        ++at;
        continue;
      }
      detail::DecodedChar const one = detail::decode_utf8(text.substr(at));
      if (one.bytes == 0) {
        throw DataError{"TACIT-RD81", tacit::detail::message({"the text is not UTF-8: byte ", hex(static_cast<unsigned char>(text[at]), 2)}),
                        tacit::detail::message({"text, character ", number, " (byte ", at, ")"}),
                        "convert it, or take bytes for characters: CharUnit::byte"};
      }
      body(one.value, at, number);
      at += one.bytes;
    }
  }

  /// A vocabulary that was loaded may be anything.
  void check() const {
    bool const ascending = std::ranges::adjacent_find(vocabulary_, std::ranges::greater_equal{}) == vocabulary_.end();
    bool const valid = unit_ == CharUnit::byte         ? vocabulary_.empty() || vocabulary_.back() <= 0xff
                       : unit_ == CharUnit::code_point ? std::ranges::all_of(vocabulary_, detail::is_code_point)
                                                       : false;
    if (!vocabulary_.empty() && ascending && valid) return;
    throw DataError{"TACIT-RD82", vocabulary_.empty() ? "there is no vocabulary" : "the vocabulary is damaged: no ascending list of characters",
                    "CharTokenizer", "make it from a text, or load the state of one that was"};
  }

  void append(std::string& text, std::uint32_t value) const {
    if (unit_ == CharUnit::byte) {
      text += static_cast<char>(static_cast<unsigned char>(value));
    } else {
      detail::append_utf8(text, value);
    }
  }

  /// As a message prints it: `'x' (U+0078)`, `U+000A`, `0xff`.
  std::string shown(std::uint32_t value) const {
    if (unit_ == CharUnit::byte) {
      return value >= 0x20 && value < 0x7f ? tacit::detail::message({"'", std::string(1, static_cast<char>(value)), "' (", hex(value, 2), ")"})
                                           : hex(value, 2);
    }
    std::string const name = "U+" + hex(value, 4).substr(2);
    if (value < 0x20 || (value >= 0x7f && value < 0xa0)) return name;  // control characters
    std::string text{"'"};
    detail::append_utf8(text, value);
    return text + "' (" + name + ")";
  }
  static std::string hex(std::uint32_t value, int least) {
    std::string text;
    for (int digit = 0; digit < least || value != 0; ++digit, value >>= 4) text.insert(text.begin(), "0123456789ABCDEF"[value & 0xf]);
    return "0x" + text;
  }

  CharUnit unit_ = CharUnit::code_point;
  std::vector<std::uint32_t> vocabulary_;
};

}  // namespace tacit::inline v0::data
