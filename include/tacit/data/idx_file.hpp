#pragma once

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/data/idx_format.hpp"

namespace tacit::inline v0::data {

/// Which half of a data set.
enum class Part { train, test };

namespace detail {

/// The first of the files with one of these names in the directory, plain or with .gz behind it; a directory is no file.
/// Throws: DataError where there is none; `fix` says which directory is wanted.
inline std::filesystem::path find_file(std::filesystem::path const& directory, std::initializer_list<std::string_view> names, std::string_view fix) {
  std::string others;
  for (std::string_view const name : names) {
    for (char const* const ending : {"", ".gz"}) {
      std::filesystem::path path = directory / name;
      path += ending;
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) return path;
    }
    if (name != *names.begin()) others.append(", nor ").append(name);
  }
  throw DataError{"TACIT-RD50", tacit::detail::message({"there is neither ", *names.begin(), " nor ", *names.begin(), ".gz", others}),
                  tacit::detail::message({"directory ", directory.string()}), fix};
}
inline std::filesystem::path find_file(std::filesystem::path const& directory, std::string_view name, std::string_view fix) {
  return find_file(directory, {name}, fix);
}

/// A file read from its start to its end, unpacked on the way if it is gzip: by its first bytes, not by its name.
///
/// Of a gzip file every member's checksum is verified when the reading reaches the member's end. Zeros behind a member are
/// padding, as on tapes: they are passed over.
class UnpackingFile {
 public:
  /// Throws: DataError if the file cannot be opened or read.
  explicit UnpackingFile(std::filesystem::path const& path) : name_{path.string()} {
    std::error_code error;
    bool const regular = std::filesystem::is_regular_file(path, error);  // opening a pipe would wait
    if (regular) file_ = File{std::fopen(path.c_str(), "rb")};
    if (file_ == nullptr) {
      if (regular) error.assign(errno, std::generic_category());
      throw DataError{"TACIT-RD30", tacit::detail::message({"cannot be opened: ", (error ? error.message() : "it is no regular file")}), name_,
                      "check the path (relative ones start at the working directory)"};
    }
    struct ::stat status {};  // of the file that is open, whatever the path names by now
    if (::fstat(::fileno(file_.get()), &status) == 0) size_ = static_cast<std::uint64_t>(status.st_size);
    refill();
    packed_ = input_.size() >= 2 && input_[0] == 0x1f && input_[1] == 0x8b;
    if (packed_ && ::inflateInit2(stream_.get(), 15 + 16) != Z_OK) throw std::bad_alloc{};
    inflating_ = packed_;
  }
  UnpackingFile(UnpackingFile const&) = delete;
  UnpackingFile& operator=(UnpackingFile const&) = delete;
  ~UnpackingFile() {
    if (packed_) ::inflateEnd(stream_.get());
  }

  std::string const& name() const noexcept { return name_; }
  /// No more bytes than this can come out: deflate packs at most 1032 to 1.
  std::uint64_t most_bytes() const noexcept { return packed_ ? size_ * 1032 : size_; }
  bool packed() const noexcept { return packed_; }

  /// Fills `into` and returns how many bytes there were: fewer only at the end of the file.
  /// Throws: DataError if the file cannot be read or its gzip stream is damaged.
  std::size_t read(std::span<std::uint8_t> into) {
    std::size_t done = 0;
    while (done < into.size()) {
      std::size_t const now = packed_ ? unpack(into.subspan(done)) : copy(into.subspan(done));
      if (now == 0) break;
      done += now;
      unpacked_ += now;
    }
    return done;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  std::size_t copy(std::span<std::uint8_t> into) {
    if (input_.empty()) refill();
    std::size_t const count = std::min(into.size(), input_.size());
    if (count != 0) std::memcpy(into.data(), input_.data(), count);
    input_ = input_.subspan(count);
    return count;
  }

  std::size_t unpack(std::span<std::uint8_t> into) {
    constexpr std::size_t most = 1U << 30;  // zlib counts in unsigned int
    ::z_stream& stream = *stream_;
    auto const wanted = static_cast<unsigned>(std::min(into.size(), most));
    stream.next_out = into.data();
    stream.avail_out = wanted;
    while (stream.avail_out == wanted) {
      if (input_.empty()) refill();
      if (!inflating_) {
        pass_padding();
        if (input_.empty()) return 0;
        ::inflateReset(&stream);  // gzip files may be strung together
        inflating_ = true;
      }
      if (input_.empty()) {
        throw DataError{"TACIT-RD32",
                        tacit::detail::message({"the gzip stream is cut off after ", size_, " bytes, ", unpacked(into, stream), " unpacked"}),
                        idx::detail::at_offset(name_, size_), "fetch the file again"};
      }
      stream.next_in = const_cast<std::uint8_t*>(input_.data());  // zlib only reads it
      stream.avail_in = static_cast<unsigned>(input_.size());
      int const result = ::inflate(&stream, Z_NO_FLUSH);
      std::uint64_t const at = consumed_ - stream.avail_in;
      input_ = input_.last(stream.avail_in);
      if (result == Z_STREAM_END) {
        inflating_ = false;
      } else if (result == Z_MEM_ERROR) {
        throw std::bad_alloc{};
      } else if (result != Z_OK) {
        throw DataError{"TACIT-RD31",
                        tacit::detail::message({"the gzip stream is damaged: ", (stream.msg != nullptr ? stream.msg : "no data"), ", ",
                                                unpacked(into, stream), " unpacked"}),
                        idx::detail::at_offset(name_, at), "fetch the file again"};
      }
    }
    return wanted - stream.avail_out;
  }

  void pass_padding() {
    while (!input_.empty() && input_.front() == 0) {
      input_ = input_.subspan(static_cast<std::size_t>(std::ranges::find_if(input_, [](std::uint8_t byte) { return byte != 0; }) - input_.begin()));
      if (input_.empty()) refill();
    }
  }

  std::string unpacked(std::span<std::uint8_t> into, ::z_stream const& stream) const {
    return std::to_string(unpacked_ + static_cast<std::uint64_t>(stream.next_out - into.data())) + " bytes";
  }

  void refill() {
    std::size_t const count = std::fread(buffer_.get(), 1, buffer_bytes, file_.get());
    if (count < buffer_bytes && std::ferror(file_.get()) != 0) {
      throw DataError{"TACIT-RD42", tacit::detail::message({"cannot be read: ", std::generic_category().message(errno)}),
                      idx::detail::at_offset(name_, consumed_ + count), "check the disk"};
    }
    consumed_ += count;
    input_ = {buffer_.get(), count};
  }

  static constexpr std::size_t buffer_bytes = std::size_t{1} << 16;

  std::string name_;
  File file_;
  std::uint64_t size_ = 0;
  std::uint64_t consumed_ = 0;  // bytes of the file read into buffer_ so far
  std::uint64_t unpacked_ = 0;  // bytes given by earlier calls of unpack or copy
  std::unique_ptr<std::uint8_t[]> buffer_ = std::make_unique<std::uint8_t[]>(buffer_bytes);
  std::span<std::uint8_t const> input_;  // what of buffer_ is not used yet
  std::unique_ptr<::z_stream> stream_ = std::make_unique<::z_stream>();
  bool packed_ = false;
  bool inflating_ = false;
};

}  // namespace detail

/// Reads an IDX file, plain or gzip, into the `header.payload_bytes` bytes that `allocate(header)` points to.
///
/// The elements come in the machine's byte order. `allocate` is called once, after the header was checked and the file
/// was found large enough to hold what it announces; unpacking stops one byte after it.
/// Throws: DataError, a number for each way in which the file can be wrong.
template <class Allocate>
idx::Header read_idx_file(std::filesystem::path const& path, Bytes limit, Allocate&& allocate) {
  detail::UnpackingFile file{path};
  std::array<std::uint8_t, idx::max_header_bytes> start;
  std::size_t const available = file.read(start);
  idx::Header header = idx::parse_header(std::span{start}.first(available), file.name(), limit);
  std::uint64_t const end = header.header_bytes + header.payload_bytes;
  if (file.most_bytes() < end) {
    std::uint64_t const most = file.most_bytes() - std::min<std::uint64_t>(file.most_bytes(), header.header_bytes);
    idx::refuse_truncated(file.name(), header, file.most_bytes(),
                          (file.packed() ? "a gzip file that can hold at most " : "") + std::to_string(most));
  }
  std::span<std::uint8_t> const payload{
      static_cast<std::uint8_t*>(std::forward<Allocate>(allocate)(std::as_const(header))),
      static_cast<std::size_t>(header.payload_bytes)};
  std::size_t const early = available - header.header_bytes;
  if (early > payload.size()) idx::refuse_trailing(file.name(), header);
  std::copy_n(start.data() + header.header_bytes, early, payload.data());
  std::size_t const found = early + file.read(payload.subspan(early));
  if (found < payload.size()) {
    idx::refuse_truncated(file.name(), header, header.header_bytes + found, std::to_string(found));
  }
  std::uint8_t beyond = 0;
  if (file.read({&beyond, 1}) != 0) idx::refuse_trailing(file.name(), header);
  idx::to_native(header.type, payload);
  return header;
}

}  // namespace tacit::inline v0::data
