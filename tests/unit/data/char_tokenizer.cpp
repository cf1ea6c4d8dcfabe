#include "tacit/data/char_tokenizer.hpp"

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tacit/state/state.hpp"

using tacit::data::CharTokenizer;
using tacit::data::CharUnit;
using Tokens = std::vector<std::int64_t>;

namespace char_tokenizer_tests {
namespace {

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

tacit::StagedState stage(tacit::SavedState const& saved, CharTokenizer& into) {
  static std::string const tensors = tacit::safetensors::serialize({});
  return tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{tensors}), "state.safetensors", {}, into);
}

/// A tokenizer whose vocabulary went through a file in which `from` was replaced.
CharTokenizer damaged(CharTokenizer const& good, std::string_view from, std::string_view to) {
  tacit::SavedState saved = tacit::snapshot_state(good);
  std::size_t const at = saved.text.find(from);
  REQUIRE(at != std::string::npos);
  saved.text.replace(at, from.size(), to);
  CharTokenizer loaded;
  stage(saved, loaded).commit();
  return loaded;
}

}  // namespace

TEST_CASE("tokens are places in the sorted set of characters") {
  // In Python: sorted(set("hello, wörld €")) == [' ', ',', 'd', 'e', 'h', 'l', 'o', 'r', 'w', 'ö', '€']
  CharTokenizer const tokenizer{"hello, wörld €"};
  REQUIRE(tokenizer.size() == 11);
  REQUIRE(tokenizer.unit() == CharUnit::code_point);
  REQUIRE(std::vector<std::uint32_t>(tokenizer.vocabulary().begin(), tokenizer.vocabulary().end()) ==
          std::vector<std::uint32_t>{' ', ',', 'd', 'e', 'h', 'l', 'o', 'r', 'w', 0xf6, 0x20ac});
  REQUIRE(tokenizer.encode("hello €") == Tokens{4, 3, 5, 5, 6, 0, 10});
  REQUIRE(tokenizer.encode("").empty());
  REQUIRE(tokenizer.decode(Tokens{8, 9, 7, 5, 2}) == "wörld");
  REQUIRE(tokenizer.decode(std::array<std::uint16_t, 2>{4, 3}) == "he");
  REQUIRE(tokenizer.decode(Tokens{}).empty());
}

TEST_CASE("what is encoded comes back, as code points and as bytes") {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(255 - byte);
  CharTokenizer const bytes{every_byte, CharUnit::byte};
  REQUIRE(bytes.size() == 256);
  REQUIRE(bytes.encode(std::string_view{"\xff\x00\x80", 3}) == Tokens{255, 0, 128});
  REQUIRE(bytes.decode(bytes.encode(every_byte)) == every_byte);

  // The first and last code points of each length, and both sides of the surrogates.
  std::string const corners{"\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"};
  CharTokenizer const points{corners};
  REQUIRE(std::vector<std::uint32_t>(points.vocabulary().begin(), points.vocabulary().end()) ==
          std::vector<std::uint32_t>{1, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff});
  REQUIRE(points.decode(points.encode(corners)) == corners);
  REQUIRE(CharTokenizer{"ö", CharUnit::byte}.size() == 2);
}

TEST_CASE("bad input: characters and tokens that the vocabulary lacks are named with their position") {
  CharTokenizer const tokenizer{"aäb\n"};
  REQUIRE(refused([&] { (void)tokenizer.encode("äax"); }, {"character 'x' (U+0078) is not among the 4", "character 2 (byte 3)"}) == "TACIT-RD79");
  REQUIRE(refused([&] { (void)tokenizer.encode("a€"); }, {"'€' (U+20AC)", "character 1 (byte 1)"}) == "TACIT-RD79");
  REQUIRE(refused([&] { (void)tokenizer.encode("\t"); }, {"character U+0009 is", "character 0"}) == "TACIT-RD79");
  REQUIRE(refused([&] { (void)tokenizer.encode("\xf0\x9f\x98\x80"); }, {"U+1F600"}) == "TACIT-RD79");
  CharTokenizer const bytes{"ab", CharUnit::byte};
  REQUIRE(refused([&] { (void)bytes.encode("ba\xff"); }, {"character 0xFF is", "byte 2"}) == "TACIT-RD79");
  REQUIRE(refused([&] { (void)bytes.encode("c"); }, {"'c' (0x63)"}) == "TACIT-RD79");
  REQUIRE(refused([&] { (void)tokenizer.decode(Tokens{0, 4}); }, {"token 4 is outside of a vocabulary of 4", "place 1"}) == "TACIT-RD80");
  REQUIRE(refused([&] { (void)tokenizer.decode(Tokens{-1}); }, {"token -1"}) == "TACIT-RD80");
}

TEST_CASE("bad input: text that is not UTF-8, and no text at all") {
  for (std::string_view const text : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2(\xa1"}) {
    REQUIRE(refused([&] { (void)CharTokenizer{"aö" + std::string{text}}; }, {"character 2 (byte 3)", "CharUnit::byte"}) == "TACIT-RD81");
    REQUIRE(refused([&] { (void)CharTokenizer{"a"}.encode("a" + std::string{text}); }, {"byte 1"}) == "TACIT-RD81");
    REQUIRE(CharTokenizer{text, CharUnit::byte}.size() > 0);
  }
  REQUIRE(refused([] { (void)CharTokenizer{""}; }, {"empty"}) == "TACIT-RD82");
  REQUIRE(refused([] { (void)CharTokenizer{}.encode(""); }, {"there is no vocabulary"}) == "TACIT-RD82");
}

TEST_CASE("the vocabulary is saved and loaded, and a damaged one is refused before it is used") {
  for (CharUnit const unit : {CharUnit::byte, CharUnit::code_point}) {
    CharTokenizer const saved{"To be, or not to bé", unit};
    CharTokenizer loaded{"x"};
    stage(tacit::snapshot_state(saved), loaded).commit();
    REQUIRE(loaded == saved);
    REQUIRE(loaded.unit() == unit);
    REQUIRE(loaded.decode(loaded.encode("not bé")) == "not bé");
    REQUIRE(tacit::state_hash(loaded) == tacit::state_hash(saved));
  }
  REQUIRE(tacit::state_hash(CharTokenizer{"ab"}) != tacit::state_hash(CharTokenizer{"abc"}));
  REQUIRE(tacit::state_hash(CharTokenizer{"ab"}) != tacit::state_hash(CharTokenizer{"ab", CharUnit::byte}));

  CharTokenizer const good{"ab"};  // [97,98]
  for (std::string_view const list : {"[98,97]", "[97,97]", "[97,1114112]", "[97,55296]", "[]"}) {
    CAPTURE(list);
    CharTokenizer const bad = damaged(good, "[97,98]", list);
    REQUIRE(refused([&] { (void)bad.encode("a"); }) == "TACIT-RD82");
    REQUIRE(refused([&] { (void)bad.decode(Tokens{0}); }) == "TACIT-RD82");
  }
  REQUIRE(refused([&] { (void)damaged(CharTokenizer{"ab", CharUnit::byte}, "[97,98]", "[97,256]").encode("a"); }) == "TACIT-RD82");
  CharTokenizer const no_unit = damaged(good, "\"value\":1", "\"value\":7");
  REQUIRE(refused([&] { (void)no_unit.encode("a"); }) == "TACIT-RD82");
}

}  // namespace char_tokenizer_tests
