#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tacit/concepts/dataset.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/split.hpp"
#include "tacit/data/token_file.hpp"
#include "tacit/data/token_windows.hpp"

using tacit::data::TokenFile;
using tacit::data::TokenType;
using tacit::data::TokenWindows;
using tacit::data::write_token_file;
namespace fs = std::filesystem;

namespace tokens_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Numbers = std::vector<std::int64_t>;

static_assert(tacit::dataset<TokenWindows<TokenFile>>);
static_assert(tacit::dataset<TokenWindows<std::span<std::uint16_t const>>>);
static_assert(tacit::data::token_sequence<std::vector<std::int32_t>>);
static_assert(!tacit::data::token_sequence<std::vector<std::string>>);

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("tacit_tokens_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path write(Bytes const& bytes, std::string const& name = "tokens.bin") const {
    std::ofstream out{path / name, std::ios::binary};
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    REQUIRE(out.good());
    return path / name;
  }
};

Bytes read(fs::path const& path) {
  std::ifstream in{path, std::ios::binary};
  return Bytes(std::istreambuf_iterator<char>{in}, {});
}

/// The number of the error, whose message must contain every part.
std::string refused(auto&& call, std::vector<std::string> const& parts = {}) {
  try {
    call();
  } catch (tacit::Error const& error) {
    std::string const text = error.what();
    CAPTURE(text);
    for (std::string const& part : parts) REQUIRE(text.find(part) != std::string::npos);
    return error.code();
  }
  return "none";
}

Numbers all(TokenFile const& file) {
  Numbers tokens(static_cast<std::size_t>(file.size()));
  file.copy(0, tokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) REQUIRE(file[static_cast<std::int64_t>(i)] == tokens[i]);
  return tokens;
}

Numbers counted(std::int64_t size) {
  Numbers numbers(static_cast<std::size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

TEST_CASE("a token file is read as little-endian numbers of its type") {
  Scratch const scratch;
  fs::path const path = scratch.write({0x01, 0x02, 0xff, 0xff, 0x00, 0x80, 0x00, 0x00});
  TokenFile const narrow{path};
  REQUIRE(narrow.type() == TokenType::uint16);
  REQUIRE(narrow.name() == path.string());
  REQUIRE(all(narrow) == Numbers{0x0201, 0xffff, 0x8000, 0});
  TokenFile const wide{path, TokenType::uint32};
  REQUIRE(all(wide) == Numbers{0xffff0201, 0x8000});
  Numbers two(2);
  narrow.copy(1, two);
  REQUIRE(two == Numbers{0xffff, 0x8000});
  if constexpr (std::endian::native == std::endian::little) {
    REQUIRE(narrow.span<std::uint16_t>().size() == 4);
    REQUIRE(narrow.span<std::uint16_t>()[1] == 0xffff);
    REQUIRE(wide.span<std::uint32_t>()[0] == 0xffff0201);
    REQUIRE(refused([&] { (void)wide.span<std::uint16_t>(); }, {"4 bytes", "numbers of 2", path.string()}) == "TACIT-RD88");
  }
}

TEST_CASE("copies of a token file share the mapping, which outlives the first and the file's name") {
  Scratch const scratch;
  auto made = [&] {
    TokenFile const first{scratch.write({1, 0, 2, 0})};
    return TokenFile{first};
  }();
  fs::remove(scratch.path / "tokens.bin");
  TokenFile const moved = std::move(made);
  REQUIRE(all(moved) == Numbers{1, 2});
}

TEST_CASE("what is written is read") {
  Scratch const scratch;
  fs::path const path = scratch.path / "Wörter 数据.bin";
  write_token_file(path, Numbers{0x0201, 65535, 0});
  REQUIRE(read(path) == Bytes{0x01, 0x02, 0xff, 0xff, 0, 0});
  write_token_file(path, std::vector<std::uint32_t>{0x04030201, 0xffffffff}, TokenType::uint32);
  REQUIRE(read(path) == Bytes{1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff});
  Numbers const many = counted(60000);  // more than a piece of the writer's
  for (TokenType const type : {TokenType::uint16, TokenType::uint32}) {
    write_token_file(path, many, type);
    REQUIRE(all(TokenFile{path, type}) == many);
  }
  write_token_file(path, Numbers{});
  REQUIRE(fs::file_size(path) == 0);
}

TEST_CASE("bad input: tokens that cannot be written leave the file as it was") {
  Scratch const scratch;
  fs::path const path = scratch.write({7, 0});
  REQUIRE(refused([&] { write_token_file(path, Numbers{1, 65536}); }, {"token 65536 is outside of 0 to 65535", ", token 1", "uint32"}) == "TACIT-RD80");
  REQUIRE(refused([&] { write_token_file(path, Numbers{-1}, TokenType::uint32); }, {"token -1"}) == "TACIT-RD80");
  REQUIRE(refused([&] { write_token_file(path, Numbers{std::int64_t{1} << 32}, TokenType::uint32); }) == "TACIT-RD80");
  REQUIRE(read(path) == Bytes{7, 0});
  REQUIRE(refused([&] { write_token_file(scratch.path / "no" / "where", Numbers{1}); }, {"cannot be written"}) == "TACIT-RD42");
#ifdef __linux__
  REQUIRE(refused([] { write_token_file("/dev/full", counted(60000)); }) == "TACIT-RD42");
#endif
}

TEST_CASE("bad input: token files that cannot be opened, or are no whole number of tokens") {
  Scratch const scratch;
  auto const open = [](fs::path const& path, TokenType type = TokenType::uint16, tacit::data::Bytes limit = TokenFile::default_limit) {
    return refused([&] { (void)TokenFile{path, type, limit}; }, {path.string()});
  };
  REQUIRE(open(scratch.path / "missing") == "TACIT-RD30");
  REQUIRE(open(scratch.path) == "TACIT-RD30");
  REQUIRE(open("/dev/zero") == "TACIT-RD30");
  REQUIRE(open(fs::path{"/tmp"} / std::string(4000, 'x')) == "TACIT-RD30");
  fs::path const pipe = scratch.path / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  REQUIRE(open(pipe) == "TACIT-RD30");

  REQUIRE(open(scratch.write({})) == "TACIT-RD83");
  for (std::size_t size = 1; size < 13; ++size) {
    fs::path const path = scratch.write(Bytes(size));
    CAPTURE(size);
    REQUIRE(open(path) == (size % 2 == 0 ? "none" : "TACIT-RD84"));
    REQUIRE(open(path, TokenType::uint32) == (size % 4 == 0 ? "none" : "TACIT-RD84"));
  }
  REQUIRE(refused([&] { (void)TokenFile{scratch.write(Bytes(7))}; }, {"7 bytes", "offset 6"}) == "TACIT-RD84");
  REQUIRE(open(scratch.write(Bytes(8)), TokenType::uint16, 8) == "none");
  REQUIRE(open(scratch.write(Bytes(8)), TokenType::uint16, 7) == "TACIT-RD85");
  REQUIRE(open(scratch.write(Bytes(8)), TokenType::uint16, tacit::unset) == "TACIT-RC15");
}

#ifdef __linux__
TEST_CASE("bad input: a file that cannot be mapped") {
  // A regular file with a size, whose file system maps nothing.
  fs::path const path = "/sys/kernel/notes";
  std::error_code error;
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) == 0 || ::access(path.c_str(), R_OK) != 0) SKIP("there is no such file here");
  REQUIRE(refused([&] { (void)TokenFile{path}; }, {"cannot be mapped"}) == "TACIT-RD42");
}
#endif

TEST_CASE("windows begin every stride, and targets are one token later") {
  for (std::int64_t const length : {1, 2, 5, 20}) {
    for (std::int64_t const stride : {1, 2, 5, 7, 30}) {
      for (std::int64_t size = length + 1; size < 40; ++size) {
        TokenWindows const windows{counted(size), {.length = length, .stride = stride}};
        std::int64_t starts = 0;  // counted as Python's len(range(0, size - length, stride))
        for (std::int64_t first = 0; first + length < size; first += stride) ++starts;
        REQUIRE(windows.size() == starts);
        for (std::int64_t i = 0; i < starts; ++i) {
          auto const [input, target] = windows.get(i);
          REQUIRE(input.size() == static_cast<std::size_t>(length));
          REQUIRE(target.size() == input.size());
          for (std::size_t at = 0; at < input.size(); ++at) {
            REQUIRE(input[at] == i * stride + static_cast<std::int64_t>(at));
            REQUIRE(target[at] == input[at] + 1);
          }
        }
      }
    }
  }
  TokenWindows const whole{counted(10), {.length = 3}};
  REQUIRE(whole.stride() == 3);
  REQUIRE(whole.length() == 3);
  REQUIRE(whole.size() == 3);
  REQUIRE(whole.get(2).target == Numbers{7, 8, 9});
}

TEST_CASE("windows of a file, a vector and a span are the same") {
  Scratch const scratch;
  std::vector<std::uint32_t> const tokens{5, 70000, 0, 9, 4294967295, 1, 2};
  write_token_file(scratch.path / "t", tokens, TokenType::uint32);
  TokenWindows const file{TokenFile{scratch.path / "t", TokenType::uint32}, {.length = 2, .stride = 1}};
  TokenWindows const vector{tokens, {.length = 2, .stride = 1}};
  TokenWindows const span{std::span{tokens}, {.length = 2, .stride = 1}};
  REQUIRE(file.size() == 5);
  Numbers const order{4, 0, 3, 3};
  for (Numbers const& input : {file.get(3).input, vector.get(3).input, span.get(3).input}) REQUIRE(input == Numbers{9, 4294967295});
  auto const filled = [&](auto const& windows) {
    std::pair<Numbers, Numbers> result{Numbers(8), Numbers(8)};
    windows.fill(order, result.first, result.second);
    return result;
  };
  REQUIRE(filled(file).first == Numbers{4294967295, 1, 5, 70000, 9, 4294967295, 9, 4294967295});
  REQUIRE(filled(file).second == Numbers{1, 2, 70000, 0, 4294967295, 1, 4294967295, 1});
  REQUIRE(filled(vector) == filled(file));
  REQUIRE(filled(span) == filled(file));
}

TEST_CASE("windows are loaded by workers and split like any dataset") {
  auto const inputs = [](int workers) {
    auto batches = tacit::data::loader(TokenWindows{counted(101), {.length = 10}}, {.batch_size = 3, .shuffle = true, .workers = workers},
                                       [](std::span<tacit::data::TokenWindow> samples) {
                                         Numbers firsts;
                                         for (auto const& sample : samples) firsts.push_back(sample.input.front() * 1000 + sample.target.back());
                                         return firsts;
                                       });
    std::vector<Numbers> result;
    for (auto& batch : batches.epoch(7, tacit::EpochIndex{0})) result.push_back(batch);
    return result;
  };
  std::vector<Numbers> const alone = inputs(0);
  REQUIRE(alone.size() == 4);
  REQUIRE(inputs(3) == alone);
  std::int64_t sum = 0;
  for (Numbers const& batch : alone) sum += std::accumulate(batch.begin(), batch.end(), std::int64_t{0});
  REQUIRE(sum == 450 * 1000 + 550);
  auto const [train, valid] = tacit::data::split(TokenWindows{counted(101), {.length = 10}}, {8, 2}, 1);
  REQUIRE(train.size() == 8);
  REQUIRE(valid.get(1).input.size() == 10);
}

TEST_CASE("bad input: windows that cannot be, samples that are not there, tokens outside of the vocabulary") {
  Scratch const scratch;
  auto const make = [](std::int64_t tokens, tacit::data::WindowOptions const& options) { (void)TokenWindows{counted(tokens), options}; };
  REQUIRE(refused([&] { make(10, {.length = 0}); }, {"windows of 0 tokens"}) == "TACIT-RD86");
  REQUIRE(refused([&] { make(10, {.length = tacit::unset}); }) == "TACIT-RD86");
  REQUIRE(refused([&] { make(10, {.length = 2, .stride = 0}); }, {"one every 0"}) == "TACIT-RD86");
  REQUIRE(refused([&] { make(10, {.length = 10}); }, {"there are 10 tokens", "window of 10"}) == "TACIT-RD87");
  REQUIRE(refused([&] { make(0, {.length = 1}); }) == "TACIT-RD87");
  REQUIRE(refused([&] { make(10, {.length = std::numeric_limits<std::int64_t>::max()}); }) == "TACIT-RD87");
  REQUIRE(refused([&] { make(10, {.length = 9, .stride = std::numeric_limits<std::int64_t>::max()}); }) == "none");

  TokenWindows const windows{counted(10), {.length = 3}};
  REQUIRE(refused([&] { (void)windows.get(3); }, {"sample 3 of 3"}) == "TACIT-RD24");
  REQUIRE(refused([&] { (void)windows.get(-1); }) == "TACIT-RD24");
  Numbers buffer(6);
  REQUIRE(refused([&] { windows.fill(Numbers{0, 5}, buffer, buffer); }, {"sample 5 of 3", "at place 1 of a batch of 2"}) == "TACIT-RD24");

  fs::path const path = scratch.path / "t";
  write_token_file(path, Numbers{0, 1, 2, 9, 4});
  TokenWindows const bounded{TokenFile{path}, {.length = 1, .vocabulary = 5}};
  REQUIRE(bounded.get(0).target == Numbers{1});
  REQUIRE(refused([&] { (void)bounded.get(2); }, {path.string() + ", token 3", "token 9 is outside of a vocabulary of 5"}) == "TACIT-RD80");
  REQUIRE(refused([&] { (void)bounded.get(3); }, {"token 3"}) == "TACIT-RD80");
  REQUIRE(refused([&] { (void)TokenWindows{Numbers{3, -1, 0}, {.length = 2, .vocabulary = 5}}.get(0); }, {"token -1", "TokenWindows, token 1"}) == "TACIT-RD80");
}

}  // namespace tokens_tests
