#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/file_system.hpp"
#include "tacit/core/units.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/metric/tags.hpp"
#include "tacit/state/state.hpp"

namespace {

namespace st = tacit::safetensors;
using namespace std::chrono_literals;

/// A tensor as libraries have them: copies share, and assigning to a parameter writes into it.
struct Tensor {
  struct Storage {
    st::Dtype dtype = st::Dtype::f32;
    st::Shape shape{};
    std::string bytes{};
  };
  std::shared_ptr<Storage> storage{};

  static Tensor of(std::vector<float> const& values, st::Shape shape) {
    return {std::make_shared<Storage>(Storage{st::Dtype::f32, std::move(shape), {reinterpret_cast<char const*>(values.data()), values.size() * 4}})};
  }
};
int borrowed = 0;  // how many times bytes were read where they lie

}  // namespace

template <>
struct tacit::state_tensor<Tensor> {
  static bool defined(Tensor const& t) { return t.storage != nullptr; }
  static st::Dtype dtype(Tensor const& t) { return t.storage->dtype; }
  static st::Shape shape(Tensor const& t) { return t.storage->shape; }
  static std::string identity(Tensor const& t) { return std::to_string(reinterpret_cast<std::uintptr_t>(t.storage.get())); }
  static void copy_to(Tensor const& t, std::span<std::byte> into) {
    if (!into.empty()) std::memcpy(into.data(), t.storage->bytes.data(), into.size());
  }
  static std::optional<std::span<std::byte const>> borrow(Tensor const& t) {
    ++borrowed;
    return std::as_bytes(std::span{t.storage->bytes});
  }
  static Tensor make(Tensor const*, st::Dtype dtype, st::Shape const& shape, std::span<std::byte const> bytes) {
    return {std::make_shared<Tensor::Storage>(Tensor::Storage{dtype, shape, {reinterpret_cast<char const*>(bytes.data()), bytes.size()}})};
  }
  static void commit(Tensor& into, Tensor&& staged) noexcept {
    if (into.storage != nullptr && staged.storage != nullptr) {
      into.storage->bytes = staged.storage->bytes;  // a parameter keeps its identity
    } else {
      into = std::move(staged);
    }
  }
};

namespace {

enum class Mode : std::int8_t { low = -3, high = 5 };

struct Inner {
  int a = 1;
  std::optional<double> b{};

  static void visit_state(auto& self, auto&& visit) {
    visit("a", self.a);
    visit("b", self.b);
  }
  friend bool operator==(Inner const&, Inner const&) = default;
};

/// A member of every kind.
struct Everything {
  static constexpr std::string_view state_name = "everything";
  static constexpr int state_version = 2;

  bool flag = false;
  std::int8_t small = 0;
  std::int64_t least = 0;
  std::uint64_t greatest = 0;
  float f = 0.0F;
  double d = 0.0;
  Mode mode = Mode::low;
  std::string text{};
  tacit::Updates updates{};
  tacit::Epochs epochs{tacit::unset};
  tacit::UpdateIndex index{};
  std::chrono::nanoseconds took{};
  std::optional<std::optional<int>> perhaps{};
  std::tuple<int, std::string> both{};
  std::array<int, 3> three{};
  std::vector<double> numbers{};
  std::vector<bool> bits{};
  std::vector<Inner> inners{};
  std::map<std::string, std::vector<int>> table{};
  std::set<int> set{};
  Inner inner{};

  static void visit_state(auto& self, auto&& visit) {
    visit("flag", self.flag);
    visit("small", self.small);
    visit("least", self.least);
    visit("greatest", self.greatest);
    visit("f", self.f);
    visit("d", self.d);
    visit("mode", self.mode);
    visit("text", self.text);
    visit("updates", self.updates);
    visit("epochs", self.epochs);
    visit("index", self.index);
    visit("took", self.took);
    visit("perhaps", self.perhaps);
    visit("both", self.both);
    visit("three", self.three);
    visit("numbers", self.numbers);
    visit("bits", self.bits);
    visit("inners", self.inners);
    visit("table", self.table);
    visit("set", self.set);
    visit("inner", self.inner);
  }
  friend bool operator==(Everything const&, Everything const&) = default;
};

Everything filled() {
  Everything e;
  e.flag = true;
  e.small = -128;
  e.least = std::numeric_limits<std::int64_t>::min();
  e.greatest = std::numeric_limits<std::uint64_t>::max();
  e.f = 0.1F;
  e.d = -0.0;
  e.mode = Mode::high;
  e.text = "line\n\"quoted\" \xc3\xa9 \xff bytes";
  e.updates = 12;
  e.epochs = 3;
  e.index = tacit::UpdateIndex{7};
  e.took = 90min;
  e.perhaps = std::optional<int>{};
  e.both = {4, "four"};
  e.three = {1, 2, 3};
  e.numbers = {0.1, -0.0, 5e-324, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  e.bits = {true, false, true};
  e.inners = {{2, 0.5}, {3, {}}};
  e.table = {{"", {}}, {"key.with.points", {1, 2}}};
  e.set = {5, 1};
  e.inner = {9, 1e300};
  return e;
}

template <class... Parts>
tacit::StagedState stage(tacit::SavedState const& saved, tacit::LoadOptions const& options, Parts&&... parts) {
  std::string tensors = saved.layout.head;
  for (std::size_t i : saved.layout.order) tensors.append(reinterpret_cast<char const*>(saved.tensors[i].view.bytes.data()), saved.tensors[i].view.bytes.size());
  return tacit::stage_state(saved.text, "state.json", std::as_bytes(std::span{tensors}), "state.safetensors", options, parts...);
}
template <class Body>
tacit::StateError error_of(Body const& body) {
  try {
    body();
  } catch (tacit::StateError const& error) {
    return error;
  }
  return {"accepted", "", "", ""};
}
bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

struct Model {
  static constexpr std::string_view state_name = "model";
  Tensor weight{};
  Tensor bias{};
  Tensor tied{};
  Tensor missing{};
  std::vector<Tensor> buffers{};

  static void visit_state(auto& self, auto&& visit) {
    visit("weight", self.weight);
    visit("bias", self.bias);
    visit("tied", self.tied);
    visit("missing", self.missing);
    visit("buffers", self.buffers);
  }
};
Model model(float start) {
  Model m;
  m.weight = Tensor::of({start, start + 1, start + 2, start + 3}, {2, 2});
  m.bias = Tensor::of({start}, {});
  m.tied = m.weight;
  m.buffers = {Tensor::of({}, {0, 3}), Tensor::of({start, start}, {2})};
  return m;
}

}  // namespace

TEST_CASE("state: every kind of member comes back as it was, in one commit") {
  Everything const before = filled();
  tacit::SavedState const saved = tacit::snapshot_state(before);
  Everything after;
  tacit::StagedState staged = stage(saved, {}, after);
  CHECK(after == Everything{});  // nothing yet
  staged.commit();
  CHECK(after == before);
  CHECK(std::signbit(after.d));
  CHECK(tacit::state_hash(after) == tacit::state_hash(before));
  Everything fresh;
  stage(tacit::snapshot_state(Everything{}), {}, after).commit();
  CHECK(after == fresh);
}

TEST_CASE("state: numbers that are not finite keep their bits") {
  Everything before;
  std::uint64_t const bits = 0x7ff8000000001234ULL;
  std::uint32_t const small_bits = 0xffc00567U;
  std::memcpy(&before.d, &bits, 8);
  std::memcpy(&before.f, &small_bits, 4);
  Everything after;
  stage(tacit::snapshot_state(before), {}, after).commit();
  CHECK(std::memcmp(&after.d, &bits, 8) == 0);
  CHECK(std::memcmp(&after.f, &small_bits, 4) == 0);
}

TEST_CASE("state: tensors are saved once, restored tied, and parameters keep their identity") {
  Model const before = model(1.0F);
  tacit::SavedState const saved = tacit::snapshot_state(before);
  CHECK(saved.tensors.size() == 4);
  Model after = model(5.0F);
  auto const* const place = after.weight.storage.get();
  stage(saved, {}, after).commit();
  CHECK(after.weight.storage.get() == place);
  CHECK(after.weight.storage->bytes == before.weight.storage->bytes);
  CHECK(after.bias.storage->bytes == before.bias.storage->bytes);
  CHECK(after.tied.storage == after.weight.storage);
  CHECK(after.missing.storage == nullptr);
  CHECK(after.buffers[1].storage->bytes == before.buffers[1].storage->bytes);
  CHECK(after.buffers[0].storage->shape == st::Shape{0, 3});

  Model empty;  // takes what comes, tied
  stage(saved, {}, empty).commit();
  CHECK(empty.weight.storage->bytes == before.weight.storage->bytes);
  CHECK(empty.tied.storage == empty.weight.storage);
  CHECK(empty.bias.storage->shape.empty());
}

namespace {

struct Other {
  static constexpr std::string_view state_name = "model";
  Tensor weight = Tensor::of({1, 2, 3}, {3});
  Tensor bias{std::make_shared<Tensor::Storage>(Tensor::Storage{st::Dtype::f64, {}, std::string(8, '\0')})};
  double tied = 1.0;
  Tensor added{};
  int visits = 0;
  static void visit_state(auto& self, auto&& visit) {
    visit("weight", self.weight);
    visit("bias", self.bias);
    visit("tied", self.tied);
    visit("added", self.added);
    visit("visits", self.visits);
  }
};

}  // namespace

TEST_CASE("state: all differences are listed at once and nothing is changed") {
  Other other;
  Everything untouched;
  Model const m = model(1.0F);
  tacit::SavedState const saved = tacit::snapshot_state(m, filled(), tacit::named_part("ema", *std::make_unique<Inner>()));
  auto const error = error_of([&] { stage(saved, {}, other, untouched, tacit::named_part("schedule", *std::make_unique<Inner>())); });
  std::string const text = error.what();
  INFO(text);
  CHECK(error.code() == "TACIT-RS80");
  CHECK(contains(text, "state.json: does not fit the program, 9 differences:"));
  CHECK(contains(text, "other tensor: model.weight is F32 [2, 2] in the file, F32 [3] in the program"));
  CHECK(contains(text, "other tensor: model.bias is F32 [] in the file, F64 [] in the program"));
  CHECK(contains(text, "other type: model.tied is tensor in the file, f64 in the program"));
  CHECK(contains(text, "missing in the file: model.added"));
  CHECK(contains(text, "missing in the file: model.visits"));
  CHECK(contains(text, "not in the program: model.missing"));
  CHECK(contains(text, "not in the program: model.buffers"));
  CHECK(contains(text, "missing in the file: part schedule"));
  CHECK(contains(text, "not in the program: part \"ema\""));
  CHECK(untouched == Everything{});
  CHECK(other.tied == 1.0);
}

namespace {

struct Table {
  std::map<std::string, int> rows{};
  static void visit_state(auto& self, auto&& visit) {
    for (auto& [key, row] : self.rows) visit(key, row);
  }
};

}  // namespace

TEST_CASE("state: twenty differences are printed and the others are counted") {
  Table many;
  for (int i = 0; i < 57; ++i) many.rows["row " + std::to_string(i)] = i;
  Table none;
  std::string const text = error_of([&] { stage(tacit::snapshot_state(tacit::named_part("t", many)), {}, tacit::named_part("t", none)); }).what();
  CHECK(contains(text, "57 differences:"));
  CHECK(contains(text, "and 37 more"));
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = text.find("not in the program", at)) != std::string::npos; ++at) ++lines;
  CHECK(lines == 20);
}

namespace {

struct Older {
  int kept = 5;
  int gone = 6;
  static void visit_state(auto& self, auto&& visit) {
    visit("kept", self.kept);
    visit("gone", self.gone);
  }
};
struct Newer {
  int kept = 0;
  int fresh = 7;
  static void visit_state(auto& self, auto&& visit) {
    visit("kept", self.kept);
    visit("fresh", self.fresh);
  }
};

}  // namespace

TEST_CASE("state: members and parts may come and go only where that is allowed by name") {
  Older older;
  Newer newer;
  Inner extra;
  auto const saved = tacit::snapshot_state(tacit::named_part("p", older), tacit::named_part("old part", extra));
  auto const load = [&](tacit::LoadOptions const& options) {
    return error_of([&] { stage(saved, options, tacit::named_part("p", newer), tacit::named_part("new part", extra)).commit(); }).code();
  };
  CHECK(load({}) == "TACIT-RS80");
  CHECK(load({.allow_added = {"p.fresh", "new part"}}) == "TACIT-RS80");
  CHECK(load({.allow_removed = {"p.gone", "old part"}}) == "TACIT-RS80");
  CHECK(newer.kept == 0);
  CHECK(load({.allow_added = {"p.fresh", "new part"}, .allow_removed = {"p.gone", "old part"}}) == "accepted");
  CHECK(newer.kept == 5);
  CHECK(newer.fresh == 7);
}

namespace {

struct Counter1 {
  static constexpr std::string_view state_name = "counter";
  int steps = 40;
  int junk = 1;
  static void visit_state(auto& self, auto&& visit) {
    visit("steps", self.steps);
    visit("junk", self.junk);
  }
};
struct Counter3 {
  static constexpr std::string_view state_name = "counter";
  static constexpr int state_version = 3;
  double updates = 0.0;
  static void visit_state(auto& self, auto&& visit) { visit("updates", self.updates); }
  static void migrate_state(std::uint64_t from, tacit::StateMembers& members) {
    if (from == 1) {
      members.rename("steps", "updates");
      members.remove("junk");
    } else {
      members.set("updates", members.get<int>("updates") / 4.0);
    }
  }
};
struct Counter2WithoutMigration {
  static constexpr std::string_view state_name = "counter";
  static constexpr int state_version = 2;
  int steps = 0;
  static void visit_state(auto& self, auto&& visit) { visit("steps", self.steps); }
};
struct BadMigration {
  static constexpr std::string_view state_name = "counter";
  static constexpr int state_version = 2;
  int steps = 0;
  static void visit_state(auto& self, auto&& visit) { visit("steps", self.steps); }
  static void migrate_state(std::uint64_t, tacit::StateMembers& members) { members.rename("no such member", "steps"); }
};

}  // namespace

TEST_CASE("state: parts of older versions are migrated step by step, newer ones refused") {
  Counter3 counter;
  stage(tacit::snapshot_state(Counter1{}), {}, counter).commit();
  CHECK(counter.updates == 10.0);
  Counter2WithoutMigration two;
  auto const old = error_of([&] { stage(tacit::snapshot_state(Counter1{}), {}, two); });
  CHECK(old.code() == "TACIT-RS80");
  CHECK(contains(old.what(), "older version: part counter is of version 1 in the file, 2 in the program"));
  CHECK(error_of([&] { stage(tacit::snapshot_state(Counter3{}), {}, two); }).code() == "TACIT-RS81");
  BadMigration bad;
  CHECK(error_of([&] { stage(tacit::snapshot_state(Counter1{}), {}, bad); }).code() == "TACIT-RS87");
}

namespace {

struct Twice {
  int a = 1;
  static void visit_state(auto& self, auto&& visit) {
    visit("a", self.a);
    visit("a", self.a);
  }
};

}  // namespace

TEST_CASE("state: keys and parts that stand twice are found when they are saved") {
  Twice twice;
  Inner one;
  CHECK(error_of([&] { tacit::snapshot_state(tacit::named_part("t", twice)); }).code() == "TACIT-RS84");
  CHECK(error_of([&] { tacit::snapshot_state(tacit::named_part("t", one), tacit::named_part("t", one)); }).code() == "TACIT-RS84");
  CHECK(error_of([&] { tacit::snapshot_state(tacit::named_part("", one)); }).code() == "TACIT-RS84");
  CHECK(error_of([&] { stage(tacit::snapshot_state(tacit::named_part("t", one)), {}, tacit::named_part("t", one), tacit::named_part("t", one)); }).code() == "TACIT-RS84");
}

namespace {

struct Part {
  static constexpr std::string_view state_name = "p";
  std::int8_t small = 1;
  double d = std::numeric_limits<double>::infinity();
  std::array<int, 2> two{};
  std::optional<int> perhaps{3};
  Tensor t = Tensor::of({1}, {1});
  std::string text = "\xff";
  tacit::Updates updates{1};
  static void visit_state(auto& self, auto&& visit) {
    visit("small", self.small);
    visit("d", self.d);
    visit("two", self.two);
    visit("perhaps", self.perhaps);
    visit("t", self.t);
    visit("text", self.text);
    visit("updates", self.updates);
  }
};

}  // namespace

TEST_CASE("state: each defect of a state file has its number") {
  Part const part;
  tacit::SavedState saved = tacit::snapshot_state(part);
  std::string const good = saved.text;
  auto const with = [&](std::string_view from, std::string_view to) {
    std::size_t const at = good.find(from);
    REQUIRE(at != std::string::npos);
    saved.text = std::string{good}.replace(at, from.size(), to);
    Part into;
    return error_of([&] { stage(saved, {}, into); }).code();
  };
  CHECK(with("tacit-state", "tacit-state") == "accepted");
  CHECK(with("tacit-state", "other") == "TACIT-RS52");
  CHECK(with("},\"version\":1}\n", "},\"version\":2}\n") == "TACIT-RS82");
  CHECK(with("{\"format\"", "{\"extra\":1,\"format\"") == "TACIT-RS08");
  CHECK(with("\"parts\":{", "\"parts\":[{") == "TACIT-RS01");
  CHECK(with("\"type\":\"i8\",\"value\":1", "\"type\":\"i8\",\"value\":128") == "TACIT-RS85");
  CHECK(with("\"type\":\"i8\",\"value\":1", "\"type\":\"i8\",\"value\":-129") == "TACIT-RS85");
  CHECK(with("\"type\":\"i8\",\"value\":1", "\"type\":\"i8\",\"value\":1.0") == "TACIT-RS07");
  CHECK(with("\"type\":\"i8\",\"value\":1", "\"type\":\"i8\"") == "TACIT-RS06");
  CHECK(with("\"type\":\"i8\",\"value\":1", "\"value\":1") == "TACIT-RS06");
  CHECK(with("000000000000f07f", "00000000") == "TACIT-RS85");
  CHECK(with("000000000000f07f", "000000000000f07X") == "TACIT-RS85");
  CHECK(with("[0,0]", "[0]") == "TACIT-RS85");
  CHECK(with("[3]", "[3,4]") == "TACIT-RS85");
  CHECK(with("[3]", "3") == "TACIT-RS07");
  CHECK(with("\"value\":\"p.t\"", "\"value\":\"p.u\"") == "TACIT-RS86");
  CHECK(with("\"ff\"", "\"f\"") == "TACIT-RS85");
  CHECK(with("\"type\":\"count\",\"value\":1", "\"type\":\"count\",\"value\":-1") == "TACIT-RS07");
  CHECK(with("\"type\":\"count\",\"value\":1", "\"type\":\"count\",\"value\":9223372036854775808") == "TACIT-RS85");
}

TEST_CASE("state: saved to and loaded from a checkpoint directory, without a copy of tensors; a snapshot stays as it was") {
  auto const disk = std::make_shared<fake::Disk>();
  fake::FileSystem const files{disk};
  tacit::CheckpointWriter writer{"c", {}, files};
  Model saved = model(1.0F);
  Everything const everything = filled();
  borrowed = 0;
  tacit::save_state(writer, 10, 0.5, saved, everything);
  CHECK(borrowed == 4);

  tacit::SavedState const snapshot = tacit::snapshot_state(saved, everything);
  CHECK(borrowed == 4);
  saved.weight.storage->bytes.assign(16, 'x');
  writer.save(20, snapshot.files());

  for (std::uint64_t number : {10U, 20U}) {
    Model loaded = model(9.0F);
    Everything also;
    tacit::Checkpoint const checkpoint{"c/" + tacit::detail::checkpoint_name(number), files};
    tacit::load_state(checkpoint, {}, loaded, also);
    CHECK(loaded.weight.storage->bytes == model(1.0F).weight.storage->bytes);
    CHECK(also == everything);
    auto const error = error_of([&] { tacit::load_state(checkpoint, {.world_size = 4}, loaded, also); });
    CHECK(error.code() == "TACIT-RS83");
    CHECK(contains(error.what(), "was saved by 1 ranks, this program runs 4"));
  }
  CHECK(tacit::Checkpoint{"c/checkpoint-0000000010", files}.manifest().metric == 0.5);
}

TEST_CASE("state: the history of a run is a part like any other") {
  tacit::History history;
  history.begin_run();
  history.record(tacit::tag::train_loss{}, tacit::EpochIndex{0}, tacit::Updates{5}, 0.5);
  history.record(tacit::tag::accuracy{}, tacit::EpochIndex{1}, tacit::Updates{10}, 0.75);
  history.end_run(tacit::StopReason::limit, tacit::Updates{10});
  tacit::History loaded;
  stage(tacit::snapshot_state(tacit::named_part("history", history)), {}, tacit::named_part("history", loaded)).commit();
  CHECK(tacit::state_hash(loaded) == tacit::state_hash(history));
}

namespace {

std::string const golden = TACIT_TESTS_DIRECTORY "/unit/state/checkpoint-v1";

}  // namespace

// A new format version gets a directory of its own: name it above, and `unit_core "[write-golden]"` writes it, once.
TEST_CASE("writes the golden checkpoint", "[.write-golden]") {
  if (std::filesystem::exists(golden)) SKIP("it is there");
  tacit::CheckpointWriter writer{golden};
  tacit::save_state(writer, 7, 0.25, model(1.0F), filled());
}

TEST_CASE("a checkpoint of format version 1 is read for ever") {
  auto const found = tacit::find_newest_checkpoint(golden);
  REQUIRE(found.has_value());
  CHECK(found->note().empty());
  CHECK(found->checkpoint.number() == 7);
  CHECK(found->checkpoint.manifest().metric == 0.25);
  Model loaded = model(9.0F);
  Everything everything;
  tacit::load_state(found->checkpoint, {}, loaded, everything);
  CHECK(everything == filled());
  CHECK(loaded.weight.storage->bytes == model(1.0F).weight.storage->bytes);
  CHECK(loaded.buffers[1].storage->bytes == model(1.0F).buffers[1].storage->bytes);
}
