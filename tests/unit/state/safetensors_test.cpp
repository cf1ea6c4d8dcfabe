#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "tacit/state/safetensors.hpp"

namespace safetensors_tests {
namespace {

namespace st = tacit::safetensors;

/// Golden files are what safetensors 0.8.0 for Python wrote (safetensors_golden.py).
std::string golden(std::string const& name) {
  std::ifstream stream{TACIT_TESTS_DIRECTORY "/unit/state/safetensors/" + name, std::ios::binary};
  REQUIRE(stream.good());
  return {std::istreambuf_iterator<char>{stream}, {}};
}
std::span<std::byte const> bytes_of(std::string_view text) { return std::as_bytes(std::span{text}); }
std::string content(std::size_t count, std::size_t start) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>((start + 7 * i) % 251);
  return bytes;
}
template <class T>
std::string raw(std::vector<T> const& values) {
  return {reinterpret_cast<char const*>(values.data()), values.size() * sizeof(T)};
}
std::string file_of(std::string_view header, std::size_t data_bytes, std::uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data_bytes, '\x2a');
}
std::string file_of(std::string_view header, std::size_t data_bytes = 0) { return file_of(header, data_bytes, header.size()); }
std::string tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "{\"dtype\":\"" + std::string{dtype} + "\",\"shape\":" + std::string{shape} + ",\"data_offsets\":" + std::string{offsets} + "}";
}
struct Answer {
  std::string code = "accepted";
  std::string text{};
};
Answer answer(std::string_view file) {
  try {
    st::parse(bytes_of(file), "w.safetensors");
    return {};
  } catch (tacit::StateError const& error) {
    return {error.code(), error.what()};
  }
}
template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "accepted";
  } catch (tacit::StateError const& error) {
    return error.code();
  }
}

}  // namespace

TEST_CASE("safetensors: every dtype that Python writes is read, and written back to the same bytes") {
  std::string const file = golden("every_dtype.safetensors");
  st::Header const header = st::parse(bytes_of(file), "every_dtype");
  CHECK(header.metadata == st::Metadata{{"format", "pt"}});
  std::vector<st::TensorView> views;
  std::vector<std::string> data(st::dtypes.size());
  for (std::size_t i = 0; i < st::dtypes.size(); ++i) {
    auto const dtype = static_cast<st::Dtype>(i);
    CHECK(st::dtype_of(st::name_of(dtype)) == dtype);
    if (dtype == st::Dtype::f6_e2m3 || dtype == st::Dtype::f6_e3m2) continue;  // Python has no name for them
    std::string const name = "t." + std::string{st::name_of(dtype)};
    st::TensorInfo const* info = header.find(name);
    REQUIRE(info != nullptr);
    CHECK(info->dtype == dtype);
    CHECK(info->shape == st::Shape{3, 4});
    data[i] = content(12 * st::bits_of(dtype) / 8, i);
    CHECK(file.substr(static_cast<std::size_t>(header.data_begin + info->begin), static_cast<std::size_t>(info->end - info->begin)) == data[i]);
    views.push_back({name, dtype, {3, 4}, bytes_of(data[i])});
  }
  CHECK(header.tensors.size() == st::dtypes.size() - 2);
  CHECK(st::serialize(views, {{"format", "pt"}}) == file);
  std::ranges::reverse(views);
  CHECK(st::serialize(views, {{"format", "pt"}}) == file);
}

TEST_CASE("safetensors: 6-bit elements take whole bytes or are refused") {
  for (st::Dtype dtype : {st::Dtype::f6_e2m3, st::Dtype::f6_e3m2}) {
    std::string const data = content(9, 1);
    std::vector<st::TensorView> const views{{"t", dtype, {3, 4}, bytes_of(data)}};
    st::Header const header = st::parse(bytes_of(st::serialize(views)), "six");
    CHECK(header.find("t")->dtype == dtype);
    CHECK_FALSE(st::bytes_of(dtype, st::Shape{3}).has_value());
  }
}

TEST_CASE("safetensors: scalars, empty tensors and names that need escapes equal Python's bytes") {
  std::string const file = golden("corners.safetensors");
  std::string const scalar = raw<float>({2.5F});
  std::string const b = raw<std::int64_t>({0, 1, 2, 3, 4, 5});
  std::string const a = raw<std::int64_t>({0, 1, 2});
  std::string const flags{"\1\0\1", 3};
  std::string const three{"\1\2\3", 3};
  std::vector<st::TensorView> const views{{"scalar", st::Dtype::f32, {}, bytes_of(scalar)},
                                          {"empty", st::Dtype::f64, {0, 4}, {}},
                                          {"b", st::Dtype::i64, {2, 3}, bytes_of(b)},
                                          {"a", st::Dtype::i64, {3}, bytes_of(a)},
                                          {"flags", st::Dtype::boolean, {3}, bytes_of(flags)},
                                          {"quote \" back \\ tab \t low \x01 slash / \xc3\xa9 \xf0\x9f\x98\x80", st::Dtype::u8, {3}, bytes_of(three)}};
  CHECK(st::serialize(views) == file);
  st::Header const header = st::parse(bytes_of(file), "corners");
  CHECK(header.tensors.size() == 6);
  for (st::TensorView const& view : views) {
    REQUIRE(header.find(view.name) != nullptr);
    CHECK(header.find(view.name)->shape == view.shape);
  }
  CHECK(header.data_begin % 8 == 0);
  CHECK(st::serialize({}) == golden("nothing.safetensors"));
  CHECK(st::parse(bytes_of(golden("nothing.safetensors")), "nothing").tensors.empty());
}

TEST_CASE("safetensors: each defect has its own number, and says file and offset") {
  std::string const good = tensor("F32", "[2]", "[0,8]");
  std::vector<std::pair<std::string, std::string>> const defects{
      {"TACIT-RS11", ""},
      {"TACIT-RS11", "1234567"},
      {"TACIT-RS12", file_of("{}", 0, 100'000'001)},
      {"TACIT-RS12", file_of("{}", 0, ~std::uint64_t{0})},
      {"TACIT-RS13", file_of("{}", 0, 3)},
      {"TACIT-RS14", file_of("{}", 0, 1)},
      {"TACIT-RS14", file_of("", 0, 0)},
      {"TACIT-RS15", file_of("  ")},
      {"TACIT-RS15", file_of("[]")},
      {"TACIT-RS01", file_of("{\"a\":")},
      {"TACIT-RS02", file_of("{\"a\":" + good + ",\"a\":" + good + "}", 8)},
      {"TACIT-RS02", file_of(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)},
      {"TACIT-RS03", file_of("{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}")},
      {"TACIT-RS04", file_of("{\"a\":" + tensor("F32", "[18446744073709551616]", "[0,8]") + "}", 8)},
      {"TACIT-RS16", file_of(R"({"__metadata__":[]})")},
      {"TACIT-RS16", file_of(R"({"__metadata__":{"a":1}})")},
      {"TACIT-RS17", file_of(R"({"a":1})")},
      {"TACIT-RS19", file_of(R"({"a":{"dtype":"F32","shape":[2]}})")},
      {"TACIT-RS19", file_of(R"({"a":{}})")},
      {"TACIT-RS20", file_of("{\"a\":" + tensor("F33", "[2]", "[0,8]") + "}", 8)},
      {"TACIT-RS20", file_of("{\"a\":" + tensor("f32", "[2]", "[0,8]") + "}", 8)},
      {"TACIT-RS20", file_of(R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8)},
      {"TACIT-RS21", file_of("{\"a\":" + tensor("F32", "2", "[0,8]") + "}", 8)},
      {"TACIT-RS21", file_of("{\"a\":" + tensor("F32", "[-2]", "[0,8]") + "}", 8)},
      {"TACIT-RS21", file_of("{\"a\":" + tensor("F32", "[2.0]", "[0,8]") + "}", 8)},
      {"TACIT-RS22", file_of("{\"a\":" + tensor("F32", "[2]", "[0]") + "}", 8)},
      {"TACIT-RS22", file_of("{\"a\":" + tensor("F32", "[2]", "[0,8,9]") + "}", 8)},
      {"TACIT-RS22", file_of("{\"a\":" + tensor("F32", "[2]", "[-8,0]") + "}", 8)},
      {"TACIT-RS22", file_of("{\"a\":" + tensor("F32", "[2]", "[0,8.0]") + "}", 8)},
      {"TACIT-RS23", file_of("{\"a\":" + tensor("F32", "[2]", "[8,0]") + "}", 8)},
      {"TACIT-RS24", file_of("{\"a\":" + tensor("F32", "[4611686018427387904,4]", "[0,0]") + "}")},
      {"TACIT-RS24", file_of("{\"a\":" + tensor("F64", "[2305843009213693952]", "[0,0]") + "}")},
      {"TACIT-RS24", file_of("{\"a\":" + tensor("F4", "[3]", "[0,2]") + "}", 2)},
      {"TACIT-RS25", file_of("{\"a\":" + tensor("F32", "[3]", "[0,8]") + "}", 8)},
      {"TACIT-RS26", file_of("{\"a\":" + good + "}", 7)},
      {"TACIT-RS27", file_of("{\"a\":" + good + ",\"b\":" + tensor("F32", "[2]", "[4,12]") + "}", 12)},
      {"TACIT-RS27", file_of("{\"a\":" + good + ",\"b\":" + good + "}", 8)},
      {"TACIT-RS28", file_of("{\"a\":" + tensor("F32", "[2]", "[4,12]") + "}", 12)},
      {"TACIT-RS28", file_of("{\"a\":" + good + ",\"b\":" + tensor("F32", "[1]", "[12,16]") + "}", 16)},
      {"TACIT-RS29", file_of("{\"a\":" + good + "}", 9)},
      {"TACIT-RS29", file_of("{}", 1)},
  };
  std::set<std::string> numbers;
  for (auto const& [code, file] : defects) {
    Answer const got = answer(file);
    INFO(file.substr(0, 200) << "\n" << got.text);
    CHECK(got.code == code);
    CHECK(got.text.find("w.safetensors, byte ") != std::string::npos);
    numbers.insert(code);
  }
  CHECK(numbers.size() == 22);
  CHECK(answer(file_of("{\"a\":" + good + "}", 8)).code == "accepted");
}

TEST_CASE("safetensors: files of formats that may run code are refused with the command that converts them") {
  for (std::string const& magic : {std::string{"PK\x03\x04rest of a zip", 18}, std::string{"\x80\x02}q\x01.........", 14}, std::string{"\x80\x04\x95............", 15}}) {
    Answer const got = answer(magic);
    CHECK(got.code == "TACIT-RS10");
    CHECK(got.text.find("save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2])") != std::string::npos);
  }
  for (char const* magic : {"\x93NUMPY\x01..........", "\x89HDF\r\n........", "GGUF............"}) CHECK(answer(magic).code == "TACIT-RS10");
  // A header of 0x280 bytes begins with the bytes of a pickle and is none.
  std::string header = "{\"a\":" + tensor("F32", "[2]", "[0,8]") + "}";
  header.append(0x280 - header.size(), ' ');
  CHECK(answer(file_of(header, 8)).code == "accepted");
}

TEST_CASE("safetensors: what could not be read back is not written") {
  std::string const data(8, 'x');
  auto const written = [&](std::vector<st::TensorView> const& views, st::Metadata const& metadata = {}) { return code_of([&] { st::serialize(views, metadata); }); };
  CHECK(written({{"a", st::Dtype::f32, {2}, bytes_of(data)}, {"a", st::Dtype::f64, {1}, bytes_of(data)}}) == "TACIT-RS30");
  CHECK(written({{"\xff", st::Dtype::f32, {2}, bytes_of(data)}}) == "TACIT-RS31");
  CHECK(written({{"__metadata__", st::Dtype::f32, {2}, bytes_of(data)}}) == "TACIT-RS31");
  CHECK(written({}, {{"a", "\xff"}}) == "TACIT-RS31");
  CHECK(written({{"a", st::Dtype::f32, {3}, bytes_of(data)}}) == "TACIT-RS32");
  CHECK(written({{"a", st::Dtype::f32, {~std::uint64_t{0}, 2}, bytes_of(data)}}) == "TACIT-RS32");
  CHECK(written({{std::string(100'000'000, 'n'), st::Dtype::f32, {2}, bytes_of(data)}}) == "TACIT-RS33");
}

TEST_CASE("safetensors: a sharded set equals Python's files and is checked against its index") {
  std::string const a = raw<float>({0, 1, 2, 3});
  std::string const b = raw<float>({0, 1});
  std::string const c = raw<float>({0, 1, 2, 3, 4, 5});
  std::vector<st::TensorView> const views{{"a", st::Dtype::f32, {4}, bytes_of(a)}, {"b", st::Dtype::f32, {2}, bytes_of(b)}, {"c", st::Dtype::f32, {6}, bytes_of(c)}};
  st::Shards const shards = st::shard(views, 30);
  REQUIRE(shards.names == std::vector<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"});
  for (std::size_t i = 0; i < 2; ++i) CHECK(st::serialize(shards.tensors[i], {{"format", "pt"}}) == golden(shards.names[i]));
  CHECK(shards.index == golden("model.safetensors.index.json"));
  CHECK(st::shard(views, 1000).names == std::vector<std::string>{"model.safetensors"});
  CHECK(st::shard(views, 1).names.size() == 3);  // a tensor is never split

  auto const header_of = [](std::string const& name) { return st::parse(bytes_of(golden(name)), name); };
  auto const check = [&](std::string text) {
    return code_of([&] { st::check_index(st::parse_index(text, "index.json"), "index.json", header_of); });
  };
  auto const with = [&](std::string_view from, std::string_view to) {
    std::string text = shards.index;
    std::size_t const at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  CHECK(check(shards.index) == "accepted");
  CHECK(check(with("48", "48.0")) == "accepted");
  // fault F26: what transformers reads
  for (char const* size : {"49", "null", "\"48\"", "-1", "[]"}) CHECK(check(with("48", size)) == "accepted");
  CHECK(check(with("{\n    \"total_size\": 48\n  }", "null")) == "accepted");
  CHECK(check(with("\"b\": \"model-00001", "\"b\": \"model-00002")) == "TACIT-RS37");
  CHECK(check(with(",\n    \"b\": \"model-00001-of-00002.safetensors\"", "")) == "accepted");
  CHECK(check(with("\"c\":", "\"d\": \"model-00001-of-00002.safetensors\", \"c\":")) == "TACIT-RS38");
  CHECK(check(with("\"weight_map\"", "\"weight map\"")) == "TACIT-RS06");
  for (char const* name : {"../x.safetensors", "/x.safetensors", "..", ".", "", "a/", "/a", "a//b", "a/../b.safetensors", "a/..", "./a", "a\\\\b.safetensors", "a\\u0000b", "a\\nb"}) {
    INFO(name);
    CHECK(check(R"({"weight_map":{"a":")" + std::string{name} + "\"}}") == "TACIT-RS35");
  }
  CHECK(check(R"({"weight_map":{"a":1}})") == "TACIT-RS35");
}

TEST_CASE("F26: headers that Python reads are read") {
  std::string const entry = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8])";
  for (std::string const& header : {"{" + entry + ",\"strides\":[1],\"more\":{\"x\":[null]}}}", "{\"__metadata__\":null," + entry + "}}", " \n\t{" + entry + "}}  "}) {
    std::string const file = file_of(header, 8);
    INFO(header);
    CHECK(answer(file).code == "accepted");
    CHECK(st::parse(bytes_of(file), "f").find("a")->shape == st::Shape{2});
  }
  // Which of two is meant is not guessed, and Python's way is named.
  Answer const twice = answer(file_of("{" + entry + "}," + entry + "}}", 8));
  CHECK(twice.code == "TACIT-RS02");
  CHECK(twice.text.find("load it in Python") != std::string::npos);
}

TEST_CASE("F26: what a download left in place of a file is named") {
  for (auto const& [bytes, name] : std::vector<std::pair<std::string, std::string>>{
           {"version https:" "//git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 437\n", "Git LFS pointer"},
           {"<!DOCTYPE html>\n<html lang=\"en\">", "web page"},
           {"\xef\xbb\xbf\n<HTML><head>", "web page"},
           {"<?xml version=\"1.0\"?><Error>", "web page"}}) {
    Answer const got = answer(bytes);
    INFO(got.text);
    CHECK(got.code == "TACIT-RS10");
    CHECK(got.text.find(name) != std::string::npos);
    CHECK(code_of([&] { st::parse_index(bytes, "index.json"); }) == "TACIT-RS10");
  }
}

TEST_CASE("F26: names beyond ASCII are shown as they are, and nothing that commands a terminal") {
  namespace json = tacit::json::detail;
  CHECK(json::shown("w\xc3\xa9ight \xe5\xb1\x82.\xf0\x9f\x98\x80") == "\"w\xc3\xa9ight \xe5\xb1\x82.\xf0\x9f\x98\x80\"");
  CHECK(json::shown("a\x1b[2J\xc2\x9b\xe2\x80\xae\xef\xbb\xbf\x7f\xff\n") == "\"a?[2J??????\"");
  CHECK(json::shown("\xe5\xb1") == "\"??\"");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "\xe5\xb1\x82";
  std::string const shown = json::shown(many);
  CHECK(tacit::json::is_utf8(shown));
  CHECK(shown.size() < 90);
  CHECK(shown.ends_with("...\""));
}

TEST_CASE("C9: the bytes of a tensor lie in its file, or there is an error") {
  std::string const file = file_of("{\"a\":" + tensor("F32", "[2]", "[0,8]") + "}", 8);
  st::Header const header = st::parse(bytes_of(file), "f");
  CHECK(st::tensor_bytes(bytes_of(file), header, header.tensors[0], "f").size() == 8);
  std::string_view const cut = std::string_view{file}.substr(0, file.size() - 1);
  CHECK(code_of([&] { (void)st::tensor_bytes(bytes_of(cut), header, header.tensors[0], "f"); }) == "TACIT-RS43");
  st::TensorInfo far = header.tensors[0];
  far.begin = far.end = ~std::uint64_t{0};
  CHECK(code_of([&] { (void)st::tensor_bytes(bytes_of(file), header, far, "f"); }) == "TACIT-RS43");
  st::TensorInfo backwards = header.tensors[0];
  std::swap(backwards.begin, backwards.end);
  CHECK(code_of([&] { (void)st::tensor_bytes(bytes_of(file), header, backwards, "f"); }) == "TACIT-RS43");
}

}  // namespace safetensors_tests
