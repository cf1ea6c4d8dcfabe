#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/required.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0::data {

/// Tokens by number: a `TokenFile`, a vector or a span of integers.
template <class T>
concept token_sequence = std::movable<T> && requires(T const& tokens) {
  { tokens.size() } -> std::integral;
  { tokens[tokens.size()] } -> std::convertible_to<std::int64_t>;
};

/// How tokens are cut into windows.
struct WindowOptions {
  required<Tokens> length;      ///< tokens of one input, and of one target
  Tokens stride = unset;        ///< from the start of one window to that of the next; `length` where not given: no token is a target twice
  Tokens vocabulary = unset;    ///< a window with a token of this or more is refused; not looked at where not given
};

/// A window and the same window one token later: what is to be predicted at each place.
struct TokenWindow {
  std::vector<std::int64_t> input;
  std::vector<std::int64_t> target;
};

/// A dataset of windows: sample i has the tokens from `i * stride` on, as input and, one later, as target.
///
/// What is left at the end and fills no window is left out. With a stride of 1 and a shuffled order the batches are windows at
/// random places, as in nanoGPT. Tokens given as an rvalue are moved in; a `std::span` borrows them.
/// Example: `data::TokenWindows windows{data::TokenFile{"train.bin"}, {.length = 256, .stride = 1}};`
template <token_sequence T>
class TokenWindows {
 public:
  /// Throws: ConfigError for a length or a stride of 0; DataError for fewer than length + 1 tokens.
  TokenWindows(T tokens, WindowOptions const& options)
      : tokens_{std::move(tokens)}, length_{options.length->value_or(0)}, stride_{options.stride.value_or(length_)}, vocabulary_{options.vocabulary} {
    if (length_ < 1 || stride_ < 1) {
      throw ConfigError{"TACIT-RD86", tacit::detail::message({"windows of ", length_, " tokens, one every ", stride_}), "TokenWindows",
                        "give a length and a stride of at least 1"};
    }
    auto const available = static_cast<std::int64_t>(tokens_.size());
    if (available <= length_) {
      throw DataError{"TACIT-RD87", tacit::detail::message({"there are ", available, " tokens, one window of ", length_, " needs one more than its length"}), place(),
                      "give more tokens or a smaller length"};
    }
    size_ = (available - length_ - 1) / stride_ + 1;
  }

  std::int64_t size() const noexcept { return size_; }
  std::int64_t length() const noexcept { return length_; }
  std::int64_t stride() const noexcept { return stride_; }
  T const& tokens() const& noexcept { return tokens_; }
  void tokens() const&& = delete;

  /// Throws: DataError for an index outside [0, size), and for a token outside of the vocabulary.
  TokenWindow get(std::int64_t index) const {
    TokenWindow window;
    window.input.resize(static_cast<std::size_t>(length_));
    window.target.resize(static_cast<std::size_t>(length_));
    fill({&index, 1}, window.input, window.target);
    return window;
  }

  /// Writes the windows of the samples, one after the other.
  /// Requires: both spans have indices.size() * length() places.
  /// Throws: DataError for an index outside [0, size), and for a token outside of the vocabulary.
  /// Cost: allocates nothing.
  void fill(std::span<std::int64_t const> indices, std::span<std::int64_t> inputs, std::span<std::int64_t> targets) const {
    auto const length = static_cast<std::size_t>(length_);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= size_) {
        throw DataError{"TACIT-RD24",
                        tacit::detail::message({"sample ", indices[i], " of ", size_, " was asked for, at place ", i, " of a batch of ", indices.size()}), place(),
                        "ask for samples from 0 to size - 1"};
      }
      std::int64_t const first = indices[i] * stride_;
      std::span const input = inputs.subspan(i * length, length);
      std::span const target = targets.subspan(i * length, length);
      copy(first, input);
      std::copy_n(input.begin() + 1, length - 1, target.begin());
      copy(first + length_, target.last(1));
      if (vocabulary_.is_set()) {
        check(first, input);
        check(first + length_, target.last(1));
      }
    }
  }

 private:
  void copy(std::int64_t first, std::span<std::int64_t> into) const {
    if constexpr (requires { tokens_.copy(first, into); }) {
      tokens_.copy(first, into);
    } else {
      using Index = decltype(tokens_.size());
      for (std::size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::int64_t>(tokens_[static_cast<Index>(first) + static_cast<Index>(i)]);
    }
  }
  void check(std::int64_t first, std::span<std::int64_t const> tokens) const {
    std::uint64_t largest = 0;  // negative ones are large
    for (std::int64_t const token : tokens) largest = std::max(largest, static_cast<std::uint64_t>(token));
    auto const size = static_cast<std::uint64_t>(vocabulary_.value());
    if (largest < size) return;
    std::size_t at = 0;
    while (static_cast<std::uint64_t>(tokens[at]) < size) ++at;
    throw DataError{"TACIT-RD80", tacit::detail::message({"token ", tokens[at], " is outside of a vocabulary of ", size}),
                    tacit::detail::message({place(), ", token ", first + static_cast<std::int64_t>(at)}),
                    "check the vocabulary, and the type of the tokens in a file"};
  }
  std::string place() const {
    if constexpr (requires { std::string{tokens_.name()}; }) {
      return tokens_.name();
    } else {
      return "TokenWindows";
    }
  }

  T tokens_;
  std::int64_t length_;
  std::int64_t stride_;
  Tokens vocabulary_;
  std::int64_t size_ = 0;
};

}  // namespace tacit::inline v0::data
