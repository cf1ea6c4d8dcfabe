#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/data/idx_format.hpp"

namespace tacit::inline v0::data {

/// How a token is stored: as an unsigned little-endian number of 16 bits, which nanoGPT's `train.bin` has, or of 32.
enum class TokenType : std::uint8_t { uint16, uint32 };

constexpr std::size_t token_bytes(TokenType type) noexcept { return type == TokenType::uint16 ? 2 : 4; }

namespace detail {

inline std::uint32_t load_token(std::uint8_t const* from, TokenType type) noexcept {
  std::uint32_t const low = from[0] | static_cast<std::uint32_t>(from[1]) << 8;
  return type == TokenType::uint16 ? low : low | static_cast<std::uint32_t>(from[2]) << 16 | static_cast<std::uint32_t>(from[3]) << 24;
}

/// A file in the address space, to be read only.
class MappedFile {
 public:
  /// Throws: DataError for what cannot be opened, is no regular file, has no bytes or more than `limit`.
  MappedFile(std::filesystem::path const& path, Bytes limit) {
    std::string const name = path.string();
    // Opening a pipe would wait for a writer without O_NONBLOCK.
    int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct Close {
      int file;
      ~Close() {
        if (file >= 0) ::close(file);
      }
    } const close{file};
    struct ::stat status {};
    bool const failed = file < 0 || ::fstat(file, &status) != 0;
    if (failed || !S_ISREG(status.st_mode)) {
      throw DataError{"TACIT-RD30", tacit::detail::message({"cannot be opened: ", failed ? std::generic_category().message(errno) : "it is no regular file"}),
                      name, "check the path (relative ones start at the working directory)"};
    }
    auto const size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0) throw DataError{"TACIT-RD83", "the file is empty", name, "check where the file comes from"};
    if (size > static_cast<std::uint64_t>(limit.value()) || size > std::numeric_limits<std::size_t>::max()) {
      throw DataError{"TACIT-RD85", tacit::detail::message({"the file has ", size, " bytes, the limit is ", limit.value()}), name,
                      "give a higher limit if you trust the file"};
    }
    size_ = static_cast<std::size_t>(size);
    void* const start = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    if (start == MAP_FAILED) {
      throw DataError{"TACIT-RD42", tacit::detail::message({"cannot be mapped: ", std::generic_category().message(errno)}), name,
                      "check the file system and the limits on address space (ulimit -v)"};
    }
    start_ = start;
  }
  MappedFile(MappedFile const&) = delete;
  MappedFile& operator=(MappedFile const&) = delete;
  ~MappedFile() { ::munmap(start_, size_); }

  std::span<std::uint8_t const> bytes() const noexcept { return {static_cast<std::uint8_t const*>(start_), size_}; }

 private:
  void* start_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace detail

/// Tokens of a flat binary file, mapped into memory: pages are read when they are used, and shared between processes.
///
/// A file says nothing of its type. One of 16 bits that is read as 32 gives tokens that `WindowOptions::vocabulary` refuses; the
/// reverse, every other token 0, passes. Copies share the mapping, which goes with the last of them. May be read from several
/// threads.
/// Requires: nobody shortens the file while it is mapped; reading what is gone ends the process with SIGBUS.
/// Example: `data::TokenFile const tokens{"train.bin"};`
class TokenFile {
 public:
  /// More than this is refused unless the caller asks for it: 1 TiB. Nothing is allocated for it.
  static constexpr Bytes default_limit = std::int64_t{1} << 40;

  /// Throws: DataError for a file that cannot be opened or mapped, is empty, larger than `limit`, or ends within a token.
  explicit TokenFile(std::filesystem::path const& path, TokenType type = TokenType::uint16, Bytes limit = default_limit)
      : name_{path.string()}, type_{type} {
    if (!limit.is_set()) throw ConfigError{"TACIT-RC15", "no limit on the size was given", name_, "give a number of bytes"};
    mapped_ = std::make_shared<detail::MappedFile const>(path, limit);
    bytes_ = mapped_->bytes();
    if (std::size_t const rest = bytes_.size() % token_bytes(type); rest != 0) {
      throw DataError{"TACIT-RD84",
                      tacit::detail::message({"the file has ", bytes_.size(), " bytes, no whole number of tokens of ", token_bytes(type), " bytes"}),
                      idx::detail::at_offset(name_, bytes_.size() - rest), "fetch the file again, or give its TokenType"};
    }
  }

  /// The number of tokens.
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(bytes_.size() / token_bytes(type_)); }
  TokenType type() const noexcept { return type_; }
  /// The path, for messages.
  std::string const& name() const& noexcept { return name_; }
  std::string name() const&& { return name_; }

  /// Requires: 0 <= index < size().
  std::uint32_t operator[](std::int64_t index) const noexcept {
    return detail::load_token(bytes_.data() + static_cast<std::size_t>(index) * token_bytes(type_), type_);
  }

  /// Copies the tokens from `first` on until `into` is full.
  /// Requires: 0 <= first and first + into.size() <= size().
  void copy(std::int64_t first, std::span<std::int64_t> into) const noexcept {
    // A loop for each type: the compiler makes vector instructions of them.
    std::uint8_t const* from = bytes_.data() + static_cast<std::size_t>(first) * token_bytes(type_);
    if (type_ == TokenType::uint16) {
      for (std::size_t i = 0; i < into.size(); ++i) into[i] = detail::load_token(from + 2 * i, TokenType::uint16);
    } else {
      for (std::size_t i = 0; i < into.size(); ++i) into[i] = detail::load_token(from + 4 * i, TokenType::uint32);
    }
  }

  /// The tokens where they lie, on machines that are little-endian too.
  /// Throws: UsageError if T is not the type of the file.
  template <class T>
    requires(std::endian::native == std::endian::little && (std::same_as<T, std::uint16_t> || std::same_as<T, std::uint32_t>))
  std::span<T const> span() const& {
    if (sizeof(T) != token_bytes(type_)) {
      throw UsageError{"TACIT-RD88", tacit::detail::message({"tokens of ", token_bytes(type_), " bytes were asked for as numbers of ", sizeof(T)}), name_,
                       "ask for span<std::uint16_t>() or span<std::uint32_t>(), as type() says"};
    }
    return {reinterpret_cast<T const*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  template <class T>
  void span() const&& = delete;

 private:
  std::string name_;
  TokenType type_;
  std::shared_ptr<detail::MappedFile const> mapped_;
  std::span<std::uint8_t const> bytes_;
};

/// Writes tokens as a file that `TokenFile` and nanoGPT read; one that exists is replaced.
/// Throws: DataError for a token that the type cannot hold, before anything is written, and if writing fails.
template <std::ranges::forward_range Range>
  requires std::integral<std::ranges::range_value_t<Range>>
void write_token_file(std::filesystem::path const& path, Range const& tokens, TokenType type = TokenType::uint16) {
  std::uint32_t const largest = type == TokenType::uint16 ? 0xffff : 0xffffffff;
  std::int64_t place = 0;
  for (auto const token : tokens) {
    if (std::cmp_less(token, 0) || std::cmp_greater(token, largest)) {
      throw DataError{"TACIT-RD80", tacit::detail::message({"token ", token, " is outside of 0 to ", largest}),
                      tacit::detail::message({path.string(), ", token ", place}), "write it as TokenType::uint32, or use a smaller vocabulary"};
    }
    ++place;
  }
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  std::vector<char> buffer;
  constexpr std::size_t piece = std::size_t{1} << 16;
  buffer.reserve(piece + 4);
  auto const flush = [&] {
    out.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    buffer.clear();
  };
  for (auto const token : tokens) {
    auto const value = static_cast<std::uint32_t>(token);
    for (std::size_t byte = 0; byte < token_bytes(type); ++byte) buffer.push_back(static_cast<char>(static_cast<unsigned char>(value >> (8 * byte) & 0xff)));
    if (buffer.size() >= piece) flush();
  }
  flush();
  out.close();
  if (!out) {
    throw DataError{"TACIT-RD42", "the tokens cannot be written", path.string(), "check that the directory is there and the disk has space"};
  }
}

}  // namespace tacit::inline v0::data
