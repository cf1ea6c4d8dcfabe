#include "tacit/data/idx_file.hpp"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using tacit::DataError;
using tacit::data::read_idx_file;
namespace fs = std::filesystem;
namespace idx = tacit::data::idx;

namespace idx_file_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// A directory that goes when the test ends.
struct Scratch {
  fs::path path = [] {
    static std::atomic<int> count = 0;
    return fs::temp_directory_path() /
           ("tacit_idx_file_" + std::to_string(::getpid()) + "_" + std::to_string(count.fetch_add(1)));
  }();
  Scratch() { fs::create_directories(path); }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path write(std::string const& name, Bytes const& bytes) const {
    std::ofstream out{path / name, std::ios::binary};
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    REQUIRE(out.good());
    return path / name;
  }
};

Bytes idx_bytes(std::uint8_t type, std::vector<std::uint32_t> const& dimensions, Bytes const& payload) {
  Bytes bytes{0, 0, type, static_cast<std::uint8_t>(dimensions.size())};
  for (std::uint32_t const size : dimensions) {
    for (unsigned shift = 32; shift > 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(size >> (shift - 8)));
  }
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes gzip(Bytes const& bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes packed(deflateBound(&stream, static_cast<uLong>(bytes.size())));
  Bytes source = bytes;
  stream.next_in = source.data();
  stream.avail_in = static_cast<uInt>(source.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  std::uint32_t state = 1;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

struct Result {
  idx::Header header;
  Bytes payload;
};

Result read(fs::path const& path, tacit::data::Bytes limit = idx::default_limit) {
  Result result;
  result.header = read_idx_file(path, limit, [&](idx::Header const& header) {
    result.payload.resize(static_cast<std::size_t>(header.payload_bytes));
    return result.payload.data();
  });
  return result;
}

/// The number of the error, whose message must name the file and contain every part.
std::string refused(fs::path const& path, std::vector<std::string> const& parts = {},
                    tacit::data::Bytes limit = idx::default_limit) {
  bool allocated = false;
  try {
    Bytes payload;
    read_idx_file(path, limit, [&](idx::Header const& header) {
      allocated = true;
      payload.resize(static_cast<std::size_t>(header.payload_bytes));
      return payload.data();
    });
  } catch (DataError const& error) {
    std::string const text = error.what();
    CAPTURE(text);
    REQUIRE(text.find(path.string()) != std::string::npos);
    for (std::string const& part : parts) REQUIRE(text.find(part) != std::string::npos);
    return error.code();
  }
  return allocated ? "none" : "nothing read";
}

Bytes operator+(Bytes left, Bytes const& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace

TEST_CASE("what is written is read, plain or gzip, whatever the name") {
  Scratch const scratch;
  // Sizes around the header's read-ahead and the file buffer, and beyond.
  for (std::uint32_t const size : {1u, 2u, 24u, 27u, 28u, 29u, 65535u, 65536u, 300000u}) {
    Bytes const payload = pattern(size);
    Bytes const bytes = idx_bytes(8, {size}, payload);
    CAPTURE(size);
    for (Bytes const& stored : {bytes, gzip(bytes)}) {
      Result const result = read(scratch.write("file", stored));
      REQUIRE(result.header.dimensions == std::vector<std::int64_t>{size});
      REQUIRE(result.payload == payload);
    }
  }
  Result const halves = read(scratch.write("halves", gzip(idx_bytes(0x0B, {2}, {0x01, 0x02, 0x80, 0x00}))));
  std::vector<std::int16_t> numbers(2);
  std::copy(halves.payload.begin(), halves.payload.end(), reinterpret_cast<std::uint8_t*>(numbers.data()));
  REQUIRE(numbers == std::vector<std::int16_t>{0x0102, std::numeric_limits<std::int16_t>::min()});
}

TEST_CASE("gzip members strung together are one file") {
  Scratch const scratch;
  Bytes const payload = pattern(1000);
  Bytes const bytes = idx_bytes(8, {1000}, payload);
  Bytes const front{bytes.begin(), bytes.begin() + 500};
  Bytes const back{bytes.begin() + 500, bytes.end()};
  REQUIRE(read(scratch.write("two.gz", gzip(front) + gzip(back))).payload == payload);
}

TEST_CASE("odd paths work: spaces, unicode, long names, relative after a change of directory") {
  Scratch const scratch;
  Bytes const bytes = idx_bytes(8, {3}, {7, 8, 9});
  REQUIRE(read(scratch.write("mit Leerzeichen und Ümlaut 数据", bytes)).payload == Bytes{7, 8, 9});
  REQUIRE(read(scratch.write(std::string(255, 'x'), bytes)).payload == Bytes{7, 8, 9});
  fs::path const before = fs::current_path();
  scratch.write("relative", bytes);
  fs::current_path(scratch.path);
  REQUIRE(read("relative").payload == Bytes{7, 8, 9});
  fs::current_path(before);
}

TEST_CASE("bad input: files that cannot be opened") {
  Scratch const scratch;
  REQUIRE(refused(scratch.path / "missing", {"cannot be opened: No such file or directory"}) == "TACIT-RD30");
  REQUIRE(refused(scratch.path, {"no regular file"}) == "TACIT-RD30");
  REQUIRE(refused("/dev/zero", {"no regular file"}) == "TACIT-RD30");
  REQUIRE(refused(fs::path{"/tmp"} / std::string(4000, 'x'), {"File name too long"}) == "TACIT-RD30");
  fs::path deep = scratch.path;
  while (deep.string().size() < 4200) deep /= std::string(200, 'd');
  REQUIRE(refused(deep, {"File name too long"}) == "TACIT-RD30");
  fs::create_symlink("loop", scratch.path / "loop");
  REQUIRE(refused(scratch.path / "loop") == "TACIT-RD30");
}

#ifdef __linux__
TEST_CASE("bad input: a file that cannot be read") {
  // A regular file by name whose first page is never mapped.
  REQUIRE(refused("/proc/self/mem", {"offset 0", "Input/output error"}) == "TACIT-RD42");
}
#endif

TEST_CASE("bad input: a plain file cut off at every length") {
  Scratch const scratch;
  Bytes const whole = idx_bytes(8, {7, 9}, pattern(63));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    fs::path const path = scratch.write("cut", {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
    REQUIRE(refused(path, {"offset " + std::to_string(length)}) == (length < 12 ? "TACIT-RD33" : "TACIT-RD40"));
  }
  REQUIRE(refused(scratch.write("whole", whole)) == "none");
}

TEST_CASE("F22: zeros behind a gzip member are padding, and members may follow them") {
  Scratch const scratch;
  Bytes const payload = pattern(200);
  Bytes const whole = idx_bytes(8, {200}, payload);
  Bytes const front{whole.begin(), whole.begin() + 70};
  Bytes const back{whole.begin() + 70, whole.end()};
  for (std::size_t const zeros : {std::size_t{1}, std::size_t{512}, std::size_t{65536}, std::size_t{200'000}}) {
    REQUIRE(read(scratch.write("padded.gz", gzip(whole) + Bytes(zeros))).payload == payload);
    REQUIRE(read(scratch.write("between.gz", gzip(front) + Bytes(zeros) + gzip(back) + Bytes(zeros))).payload == payload);
    REQUIRE(refused(scratch.write("tail.gz", gzip(whole) + Bytes(zeros) + Bytes{1, 2, 3}), {"208 bytes unpacked"}) == "TACIT-RD31");
  }
}

TEST_CASE("F22: the message of a damaged gzip file has the bytes that were unpacked before") {
  Scratch const scratch;
  Bytes const whole = idx_bytes(8, {200}, pattern(200));  // 208 bytes
  Bytes const front{whole.begin(), whole.begin() + 70};
  REQUIRE(refused(scratch.write("tail.gz", gzip(front) + Bytes(512) + Bytes{1, 2, 3}), {"70 bytes unpacked"}) == "TACIT-RD31");
  Bytes bad_sum = gzip(whole);
  bad_sum[bad_sum.size() - 8] ^= 1;
  REQUIRE(refused(scratch.write("sum.gz", bad_sum), {"208 bytes unpacked"}) == "TACIT-RD31");
}

TEST_CASE("F23: files of a data set under either name; a directory of that name is no file") {
  Scratch const scratch;
  auto const find = [&] { return tacit::data::detail::find_file(scratch.path, {"train-images-idx3-ubyte", "train-images.idx3-ubyte"}, "fix").filename(); };
  fs::create_directory(scratch.path / "train-images-idx3-ubyte");  // as archives are unpacked to
  try {
    (void)find();
    FAIL("found");
  } catch (tacit::DataError const& error) {
    REQUIRE(error.code() == "TACIT-RD50");
    REQUIRE(std::string{error.what()}.find("train-images.idx3-ubyte") != std::string::npos);
  }
  fs::create_directory(scratch.path / "train-images.idx3-ubyte.gz");
  scratch.write("train-images.idx3-ubyte", {});
  REQUIRE(find() == "train-images.idx3-ubyte");
  scratch.write("train-images-idx3-ubyte.gz", {});
  REQUIRE(find() == "train-images-idx3-ubyte.gz");
  fs::remove(scratch.path / "train-images-idx3-ubyte");
  scratch.write("elsewhere", {});
  fs::create_symlink(scratch.path / "elsewhere", scratch.path / "train-images-idx3-ubyte");
  REQUIRE(find() == "train-images-idx3-ubyte");
}

TEST_CASE("bad input: bytes after the data, few or many, plain or gzip") {
  Scratch const scratch;
  for (std::size_t const size : {std::size_t{1}, std::size_t{63}, std::size_t{100000}}) {
    Bytes const whole = idx_bytes(8, {static_cast<std::uint32_t>(size)}, pattern(size));
    for (std::size_t const extra : {std::size_t{1}, std::size_t{28}, std::size_t{200000}}) {
      CAPTURE(size, extra);
      std::string const offset = "offset " + std::to_string(whole.size());
      REQUIRE(refused(scratch.write("long", whole + Bytes(extra)), {offset}) == "TACIT-RD41");
      REQUIRE(refused(scratch.write("long.gz", gzip(whole + Bytes(extra))), {offset}) == "TACIT-RD41");
      REQUIRE(refused(scratch.write("members.gz", gzip(whole) + gzip(Bytes(extra))), {offset}) == "TACIT-RD41");
    }
  }
}

TEST_CASE("bad input: a gzip file cut off at every length") {
  Scratch const scratch;
  Bytes const packed = gzip(idx_bytes(8, {40, 5}, pattern(200)));
  for (std::size_t length = 2; length < packed.size(); ++length) {
    CAPTURE(length);
    fs::path const path =
        scratch.write("cut.gz", {packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length)});
    REQUIRE(refused(path, {"offset " + std::to_string(length)}) == "TACIT-RD32");
  }
}

TEST_CASE("bad input: no changed byte of a gzip file goes unseen") {
  Scratch const scratch;
  Bytes const payload = pattern(200);
  Bytes const packed = gzip(idx_bytes(8, {200}, payload));
  int damaged = 0;
  for (std::size_t at = 0; at < packed.size(); ++at) {
    for (int const bit : {0, 3, 7}) {
      Bytes changed = packed;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ (1 << bit));
      fs::path const path = scratch.write("changed.gz", changed);
      CAPTURE(at, bit);
      std::string const code = refused(path);
      // Times and the like in the header and padding bits do not concern the data; no other change is accepted.
      if (code == "none") REQUIRE(read(path).payload == payload);
      damaged += code == "TACIT-RD31" ? 1 : 0;
    }
  }
  REQUIRE(damaged > 600);
  Bytes bad_sum = packed;
  bad_sum[packed.size() - 5] ^= 0x10;
  REQUIRE(refused(scratch.write("sum.gz", bad_sum), {"incorrect data check", "208 bytes unpacked"}) == "TACIT-RD31");
  REQUIRE(refused(scratch.write("tail.gz", packed + Bytes{1, 2, 3}), {"incorrect header check"}) == "TACIT-RD31");
}

TEST_CASE("bad input: a gzip bomb is stopped by what its header announces") {
  Scratch const scratch;
  // 100 MB of zeros in 100 kB; the header announces 10.
  Bytes const bomb = gzip(idx_bytes(8, {10}, Bytes(100'000'000)));
  REQUIRE(bomb.size() < 200'000);
  REQUIRE(refused(scratch.write("bomb.gz", bomb), {"offset 18"}) == "TACIT-RD41");
  REQUIRE(refused(scratch.write("limit.gz", gzip(idx_bytes(8, {100'000'000}, Bytes(100'000'000)))),
                  {"the limit is 1000"}, 1000) == "TACIT-RD39");
}

TEST_CASE("bad input: a small file that announces much is refused before anything is allocated") {
  Scratch const scratch;
  for (bool const packed : {false, true}) {
    Bytes const bytes = idx_bytes(8, {0xf0000000}, Bytes(100));
    fs::path const path = scratch.write("small", packed ? gzip(bytes) : bytes);
    bool allocated = false;
    try {
      Bytes nothing(64);
      read_idx_file(path, idx::default_limit, [&](idx::Header const&) {
        allocated = true;
        return nothing.data();
      });
      FAIL("no exception");
    } catch (DataError const& error) {
      REQUIRE(error.code() == "TACIT-RD40");
      REQUIRE(error.problem().find("expected 4026531840 bytes") != std::string::npos);
    }
    REQUIRE(!allocated);
  }
}

}  // namespace idx_file_tests
