#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/file_system.hpp"
#include "tacit/state/checkpoint.hpp"

namespace checkpoint_tests {
namespace {

namespace fs = std::filesystem;

/// A directory of its own for a test, removed at its end.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "tacit-checkpoint-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path const& path() const { return path_; }

 private:
  fs::path path_;
};

tacit::CheckpointFile file(std::string name, std::string_view bytes) { return {std::move(name), {std::as_bytes(std::span{bytes})}}; }
template <class Writer>
std::string save(Writer& writer, std::int64_t number, std::string_view bytes = "weights", std::optional<double> metric = {}) {
  std::vector<tacit::CheckpointFile> const files{file("model.safetensors", bytes), file("state.json", "{}")};
  return writer.save(number, files, metric);
}
template <class Body>
std::string code_of(Body const& body) {
  try {
    body();
    return "accepted";
  } catch (tacit::Error const& error) {
    return error.code();
  }
}
template <class Body>
std::string text_of(Body const& body) {
  try {
    body();
    return "accepted";
  } catch (tacit::Error const& error) {
    return error.what();
  }
}
std::string content(fs::path const& path) {
  std::ifstream stream{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{stream}, {}};
}
void overwrite(fs::path const& path, std::string_view text) { std::ofstream{path, std::ios::binary | std::ios::trunc} << text; }

tacit::Manifest some_manifest() {
  return {.number = 7, .sequence = 3, .forks = {{2, 5}, {3, 7}}, .world_size = 2, .metric = 0.25, .files = {{"a.safetensors", 12, 0xdeadbeefU, 0}, {"b \"quoted\" \xc3\xa9", 0, 1, 1}}};
}
/// The text with its sum made right again.
std::string resummed(std::string text) {
  std::size_t const end = text.size() - tacit::detail::sum_size;
  std::string_view const before = std::string_view{text}.substr(0, end);
  std::string const sum = tacit::detail::hex8(tacit::crc32c(std::as_bytes(std::span{before})));
  return text.replace(end + tacit::detail::sum_before.size(), 8, sum);
}
std::string changed(std::string_view from, std::string_view to) {
  std::string text = tacit::manifest_text(some_manifest());
  std::size_t const at = text.find(from);
  REQUIRE(at != std::string::npos);
  return resummed(text.replace(at, from.size(), to));
}

}  // namespace

TEST_CASE("a manifest comes back as it was, and is JSON for anybody") {
  std::string const text = tacit::manifest_text(some_manifest());
  CHECK(tacit::parse_manifest(text, "m") == some_manifest());
  CHECK(tacit::json::parse(text, "m").find("crc32c") != nullptr);
  tacit::Manifest nothing;
  CHECK(tacit::parse_manifest(tacit::manifest_text(nothing), "m") == nothing);
  nothing.metric = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(tacit::parse_manifest(tacit::manifest_text(nothing), "m").metric.has_value());
}

TEST_CASE("each defect of a manifest has its number") {
  auto const parsed = [](std::string const& text) { return code_of([&] { tacit::parse_manifest(text, "manifest.json"); }); };
  std::string const good = tacit::manifest_text(some_manifest());
  CHECK(parsed(good) == "accepted");
  CHECK(parsed("") == "TACIT-RS50");
  CHECK(parsed(good.substr(0, good.size() - 1)) == "TACIT-RS50");
  CHECK(parsed(good + "\n") == "TACIT-RS50");
  std::string flipped = good;
  flipped[20] = static_cast<char>(flipped[20] ^ 1);
  CHECK(parsed(flipped) == "TACIT-RS51");
  CHECK(parsed(changed("tacit-checkpoint", "other-checkpoint")) == "TACIT-RS52");
  CHECK(parsed(changed("\"version\":2", "\"version\":3")) == "TACIT-RS53");
  CHECK(parsed(changed("\"version\":2", "\"version\":0")) == "TACIT-RS53");
  for (char const* name : {"../escape", "/etc/passwd", "..", "a/b", "", "manifest.json", "x\\u0000y"}) CHECK(parsed(changed("a.safetensors", name)) == "TACIT-RS54");
  CHECK(parsed(changed("b \\\"quoted\\\" \xc3\xa9", "a.safetensors")) == "TACIT-RS55");
  CHECK(parsed(changed("deadbeef", "DEADBEEF")) == "TACIT-RS56");
  CHECK(parsed(changed("\"rank\":1", "\"rank\":2")) == "TACIT-RS57");
  CHECK(parsed(changed("\"world_size\":2", "\"world_size\":0")) == "TACIT-RS57");
  CHECK(parsed(changed("\"sequence\":3", "\"sequence\":1000000000000000000")) == "TACIT-RS57");
  CHECK(parsed(changed("\"sequence\":3,", "")) == "TACIT-RS06");
  CHECK(parsed(changed("[2,5]", "[2]")) == "TACIT-RS57");
  CHECK(tacit::parse_manifest(changed("\"version\":2,\"number\":7,\"sequence\":3,\"forks\":[[2,5],[3,7]]", "\"version\":1,\"number\":7"), "m").sequence == 0);  // an old one
  CHECK(parsed(changed("\"metric\":", "\"other\":1,\"metric\":")) == "TACIT-RS08");
  CHECK(parsed(changed("\"number\":7,", "")) == "TACIT-RS06");
  CHECK(parsed(changed("\"number\":7", "\"number\":-7")) == "TACIT-RS07");
  CHECK(parsed(changed("\"number\":7", "\"number\":7,\"number\":7")) == "TACIT-RS02");
}

TEST_CASE("a checkpoint is saved, found, read and verified on a real file system") {
  Scratch const scratch;
  fs::path const root = scratch.path() / "runs" / "a name with spaces and \xc3\xa9";
  CHECK_FALSE(tacit::find_newest_checkpoint(root).has_value());
  CHECK(tacit::list_checkpoints(root).empty());
  {
    tacit::CheckpointWriter writer{root};
    CHECK_FALSE(tacit::find_newest_checkpoint(root).has_value());
    CHECK(save(writer, 5, "old") == (root / "checkpoint-0000000005").string());
    save(writer, 12, "new");
  }
  auto const found = tacit::find_newest_checkpoint(root);
  REQUIRE(found.has_value());
  CHECK(found->checkpoint.number() == 12);
  CHECK(found->note().empty());
  CHECK(found->checkpoint.read("model.safetensors").text() == "new");
  CHECK(content(root / "latest") == "checkpoint-0000000012\n");
  CHECK(tacit::list_checkpoints(root) == std::vector<std::string>{"checkpoint-0000000005", "checkpoint-0000000012"});
  tacit::Checkpoint const old{root / "checkpoint-0000000005"};
  CHECK(old.read("model.safetensors").text() == "old");
  CHECK(code_of([&] { (void)old.read("other"); }) == "TACIT-RS65");
  CHECK(code_of([&] { tacit::Checkpoint{root / "checkpoint-0000000006"}; }) == "TACIT-RS60");
}

TEST_CASE("a committed checkpoint is never replaced, and unfinished ones are removed by the next writer") {
  Scratch const scratch;
  fs::path const root = scratch.path();
  {
    tacit::CheckpointWriter writer{root};
    save(writer, 1, "first");
    CHECK(code_of([&] { save(writer, 1, "second"); }) == "TACIT-RS67");
  }
  CHECK(tacit::find_newest_checkpoint(root)->checkpoint.read("model.safetensors").text() == "first");
  fs::create_directories(root / ".tmp-checkpoint-0000000002");
  overwrite(root / ".tmp-checkpoint-0000000002" / "half", "written");
  overwrite(root / ".tmp-latest", "half");
  tacit::CheckpointWriter const writer{root};
  CHECK_FALSE(fs::exists(root / ".tmp-checkpoint-0000000002"));
  CHECK_FALSE(fs::exists(root / ".tmp-latest"));
}

TEST_CASE("a damaged checkpoint is passed over, and the finder says so") {
  Scratch const scratch;
  fs::path const root = scratch.path();
  {
    tacit::CheckpointWriter writer{root};
    for (int i = 1; i <= 5; ++i) save(writer, i, "weights " + std::to_string(i));
  }
  overwrite(root / "checkpoint-0000000005" / "model.safetensors", "weightz 5");
  overwrite(root / "checkpoint-0000000004" / "model.safetensors", "short");
  fs::remove(root / "checkpoint-0000000003" / "state.json");
  fs::remove(root / "checkpoint-0000000002" / "manifest.json");
  auto const found = tacit::find_newest_checkpoint(root);
  REQUIRE(found.has_value());
  CHECK(found->checkpoint.number() == 1);
  REQUIRE(found->skipped.size() == 4);
  CHECK(found->skipped[0].reason.find("TACIT-RS64") != std::string::npos);
  CHECK(found->skipped[1].reason.find("TACIT-RS63") != std::string::npos);
  CHECK(found->skipped[2].reason.find("TACIT-RS62") != std::string::npos);
  CHECK(found->skipped[3].reason.find("TACIT-RS62") != std::string::npos);
  CHECK(found->note().find("checkpoint-0000000001 is used in its place") != std::string::npos);
  fs::remove_all(root / "checkpoint-0000000001");
  std::string const text = text_of([&] { tacit::find_newest_checkpoint(root); });
  CHECK(text.find("[TACIT-RS61]") == 0);
  CHECK(text.find("checkpoint-0000000002") != std::string::npos);
}

TEST_CASE("a run that fell back saves under the damaged one's number, and the damaged one is kept under another name") {
  Scratch const scratch;
  fs::path const root = scratch.path();
  tacit::CheckpointWriter writer{root};
  save(writer, 1, "one");
  for (std::string const name : {"damaged-checkpoint-0000000002", "damaged-checkpoint-0000000002-2"}) {
    save(writer, 2, "two");
    overwrite(root / "checkpoint-0000000002" / "model.safetensors", "tw0");
    CHECK(tacit::find_newest_checkpoint(root)->checkpoint.number() == 1);
    save(writer, 2, "two");
    CHECK(tacit::find_newest_checkpoint(root)->checkpoint.read("model.safetensors").text() == "two");
    CHECK(content(root / name / "model.safetensors") == "tw0");
    fs::remove_all(root / "checkpoint-0000000002");
  }
}

TEST_CASE("links are not followed out of a checkpoint") {
  Scratch const scratch;
  fs::path const root = scratch.path() / "checkpoints";
  {
    tacit::CheckpointWriter writer{root};
    save(writer, 1, "weights");
  }
  fs::path const directory = root / "checkpoint-0000000001";
  fs::rename(directory / "model.safetensors", scratch.path() / "elsewhere");
  fs::create_symlink(scratch.path() / "elsewhere", directory / "model.safetensors");
  CHECK(code_of([&] { tacit::Checkpoint{directory}.verify(); }) == "TACIT-RS62");
  fs::remove(directory / "model.safetensors");
  REQUIRE(::mkfifo((directory / "model.safetensors").c_str(), 0600) == 0);
  CHECK(code_of([&] { tacit::Checkpoint{directory}.verify(); }) == "TACIT-RS62");
  fs::rename(directory, scratch.path() / "whole");
  fs::create_directory_symlink(scratch.path() / "whole", directory);
  CHECK(code_of([&] { tacit::Checkpoint{directory}; }) == "TACIT-RS60");
}

TEST_CASE("a second writer is told who writes, in another process too; readers need no lock") {
  Scratch const scratch;
  tacit::CheckpointWriter writer{scratch.path()};
  save(writer, 1);
  std::string const text = text_of([&] { tacit::CheckpointWriter{scratch.path()}; });
  CHECK(text.find("[TACIT-RS68]") == 0);
  CHECK(text.find(" " + std::to_string(::getpid()) + "\"") != std::string::npos);
  ::pid_t const child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      tacit::CheckpointWriter{scratch.path()};
    } catch (tacit::StateError const& error) {
      status = error.code() == "TACIT-RS68" && tacit::find_newest_checkpoint(scratch.path()).has_value() ? 0 : 2;
    }
    ::_exit(status);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("where flock is missing a file names the holder, and one of a dead process is taken over") {
  Scratch const scratch;
  std::string const path = (scratch.path() / "lock.owner").string();
  tacit::FileLock lock;
  tacit::FileLock second;
  std::string holder;
  CHECK(tacit::detail::lock_by_owner_file(path, lock, holder) == 0);
  CHECK(tacit::detail::lock_by_owner_file(path, second, holder) == EWOULDBLOCK);
  CHECK(holder == tacit::detail::this_process());
  tacit::PosixFileSystem{}.unlock(lock);
  CHECK_FALSE(fs::exists(path));

  ::pid_t const child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  std::string const me = tacit::detail::this_process();
  overwrite(path, me.substr(0, me.rfind(' ')) + " " + std::to_string(child));
  CHECK(tacit::detail::lock_by_owner_file(path, lock, holder) == 0);
  tacit::PosixFileSystem{}.unlock(lock);
  overwrite(path, "another-host 1");
  CHECK(tacit::detail::lock_by_owner_file(path, lock, holder) == EWOULDBLOCK);
  CHECK(holder == "another-host 1");
}

TEST_CASE("a lock ends with its process, however that ends") {
  Scratch const scratch;
  ::pid_t const child = ::fork();
  if (child == 0) {
    tacit::CheckpointWriter const writer{scratch.path()};
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  tacit::CheckpointWriter const writer{scratch.path()};
  CHECK(writer.root() == scratch.path().string());
}

TEST_CASE("a writer that could not be made holds no lock") {
  auto const disk = std::make_shared<fake::Disk>();
  auto const fault = std::make_shared<fake::Fault>(fake::Fault{.at = 4, .error = EIO});
  CHECK(code_of([&] { tacit::CheckpointWriter{"c", {}, fake::FileSystem{disk, fault}}; }) == "TACIT-RS40");
  CHECK(fault->log.at(4).starts_with("list"));
  CHECK(disk->locks().empty());
}

TEST_CASE("retention keeps the last, the best and every k-th, and never the newest's place") {
  auto const kept = [](tacit::Retention keep, std::vector<std::pair<int, std::optional<double>>> const& saves) {
    fake::FileSystem const disk{std::make_shared<fake::Disk>()};
    tacit::CheckpointWriter writer{"c", keep, disk};
    for (auto const& [number, metric] : saves) save(writer, number, "weights", metric);
    std::vector<int> numbers;
    for (std::string const& name : tacit::list_checkpoints("c", disk)) numbers.push_back(std::stoi(name.substr(name.find('-') + 1)));
    return numbers;
  };
  std::vector<std::pair<int, std::optional<double>>> const six{{10, 0.5}, {20, 0.1}, {30, 0.9}, {40, {}}, {50, std::numeric_limits<double>::quiet_NaN()}, {60, 0.3}};
  using Numbers = std::vector<int>;
  CHECK(kept({}, six) == Numbers{10, 20, 30, 40, 50, 60});
  CHECK(kept({.last = 2}, six) == Numbers{50, 60});
  CHECK(kept({.best = 1}, six) == Numbers{20, 60});
  CHECK(kept({.best = 2, .higher_is_better = true}, six) == Numbers{10, 30, 60});
  CHECK(kept({.every = 20}, six) == Numbers{20, 40, 60});
  CHECK(kept({.last = 1, .best = 1, .every = 30}, six) == Numbers{20, 30, 60});
  CHECK(kept({.best = 1}, {{1, 0.5}, {2, 0.5}, {3, 0.5}}) == Numbers{1, 3});
  // Nobody knows which of those without a metric is the best.
  CHECK(kept({.best = 2}, {{1, {}}, {2, {}}, {3, {}}}) == Numbers{1, 2, 3});
  CHECK(kept({.best = 2}, {{1, {}}, {2, 0.5}, {3, {}}}) == Numbers{1, 2, 3});
  CHECK(kept({.best = 2}, {{1, {}}, {2, 0.5}, {3, {}}, {4, 0.1}, {5, 0.3}}) == Numbers{4, 5});
  CHECK(kept({.last = 1, .best = 2}, {{1, {}}, {2, {}}, {3, {}}}) == Numbers{3});
  CHECK(code_of([] { tacit::CheckpointWriter{"c", {.last = 0}, fake::FileSystem{std::make_shared<fake::Disk>()}}; }) == "TACIT-RS71");
}

TEST_CASE("what a retention lets go can be asked for, and removed without a save") {
  Scratch const scratch;
  {
    tacit::CheckpointWriter writer{scratch.path()};
    for (std::int64_t number = 1; number <= 4; ++number) save(writer, number);
  }
  CHECK(tacit::surplus_checkpoints(scratch.path(), {}).empty());
  CHECK(tacit::surplus_checkpoints(scratch.path(), {.last = 3}) == std::vector<std::string>{"checkpoint-0000000001"});
  CHECK(code_of([&] { (void)tacit::surplus_checkpoints(scratch.path(), {.last = 0}); }) == "TACIT-RS71");
  CHECK(tacit::list_checkpoints(scratch.path()).size() == 4);
  tacit::CheckpointWriter writer{scratch.path(), {.last = 1, .every = 2}};
  CHECK(writer.prune() == std::vector<std::string>{"checkpoint-0000000001", "checkpoint-0000000003"});
  CHECK(writer.prune().empty());
  CHECK(tacit::list_checkpoints(scratch.path()) == std::vector<std::string>{"checkpoint-0000000002", "checkpoint-0000000004"});
}

TEST_CASE("a damaged checkpoint takes no place among the last ones and is left for a look at it") {
  Scratch const scratch;
  tacit::CheckpointWriter writer{scratch.path(), {.last = 2}};
  save(writer, 1);
  save(writer, 2);
  overwrite(scratch.path() / "checkpoint-0000000002" / "manifest.json", "{}");
  save(writer, 3);
  CHECK(tacit::list_checkpoints(scratch.path()) == std::vector<std::string>{"checkpoint-0000000001", "checkpoint-0000000002", "checkpoint-0000000003"});
  save(writer, 4);
  CHECK(tacit::list_checkpoints(scratch.path()) == std::vector<std::string>{"checkpoint-0000000002", "checkpoint-0000000003", "checkpoint-0000000004"});
}

TEST_CASE("bad paths and names give errors that say path, operation and reason") {
  Scratch const scratch;
  overwrite(scratch.path() / "file", "no directory");
  std::string const text = text_of([&] { tacit::CheckpointWriter{scratch.path() / "file"}; });
  CHECK(text.find("[TACIT-RS40]") == 0);
  CHECK(text.find("Not a directory") != std::string::npos);
  CHECK(text.find((scratch.path() / "file").string()) != std::string::npos);
  CHECK(code_of([&] { tacit::CheckpointWriter{scratch.path() / "file" / "below"}; }) == "TACIT-RS40");
  CHECK(text_of([&] { tacit::CheckpointWriter{scratch.path() / std::string(300, 'n')}; }).find("File name too long") != std::string::npos);
  fs::path deep = scratch.path();
  for (int i = 0; i < 19; ++i) deep /= std::string(200, 'n');
  auto const saved_in = [](fs::path const& path) {
    return text_of([&] {
      tacit::CheckpointWriter writer{path};
      save(writer, 1);
    });
  };
  CHECK(saved_in(deep) == "accepted");
  deep = deep / std::string(200, 'n') / std::string(200, 'n');  // more than PATH_MAX
  CHECK(saved_in(deep).find("File name too long") != std::string::npos);
  tacit::CheckpointWriter writer{scratch.path() / "c"};
  for (char const* name : {"", "..", "a/b", "manifest.json", "a\nb"}) {
    std::vector<tacit::CheckpointFile> const files{file(name, "x")};
    CHECK(code_of([&] { writer.save(1, files); }) == "TACIT-RS54");
  }
  std::vector<tacit::CheckpointFile> const twice{file("a", "x"), file("a", "y")};
  CHECK(code_of([&] { writer.save(1, twice); }) == "TACIT-RS40");  // the file exists already
  CHECK(tacit::list_checkpoints(scratch.path() / "c").empty());
}

TEST_CASE("a directory may end with a slash, or be a link to one") {
  Scratch const scratch;
  {
    tacit::CheckpointWriter writer{scratch.path() / "new" / ""};
    CHECK(save(writer, 1) == (scratch.path() / "new" / "checkpoint-0000000001").string());
  }
  fs::create_directory_symlink(scratch.path() / "new", scratch.path() / "link");
  tacit::CheckpointWriter writer{scratch.path() / "link"};
  save(writer, 2);
  CHECK(tacit::list_checkpoints(scratch.path() / "new" / "").size() == 2);
}

TEST_CASE("a relative directory stays where it was when the program changes its own") {
  Scratch const scratch;
  fs::path const before = fs::current_path();
  fs::current_path(scratch.path());
  tacit::CheckpointWriter writer{"relative"};
  fs::create_directories(scratch.path() / "other");
  fs::current_path(scratch.path() / "other");
  save(writer, 1);
  fs::current_path(before);
  CHECK(tacit::list_checkpoints(scratch.path() / "relative").size() == 1);
}

namespace {

std::vector<tacit::Retention> const& retentions() {
  static std::vector<tacit::Retention> const all{{}, {.last = 1}, {.last = 2}, {.best = 1}, {.best = 1, .higher_is_better = true}, {.every = 20}, {.last = 1, .best = 2, .every = 500}};
  return all;
}
/// Saves some checkpoints; each must be there when `save` has returned, and be the newest.
void save_and_look(tacit::CheckpointWriter<fake::FileSystem>& writer, fake::FileSystem const& disk, std::initializer_list<std::int64_t> numbers) {
  for (std::int64_t const number : numbers) {
    INFO("saved " << number);
    tacit::Checkpoint<fake::FileSystem> const saved{save(writer, number, "bytes of " + std::to_string(number), 0.2), disk};
    REQUIRE_NOTHROW(saved.verify());
    auto const found = tacit::find_newest_checkpoint("c", disk);
    REQUIRE(found.has_value());
    REQUIRE(found->checkpoint.number() == static_cast<std::uint64_t>(number));
  }
}
std::string& bytes_on(fake::FileSystem& disk, std::string const& path) {
  auto const [directory, name] = disk.disk().place(path);
  return const_cast<fake::Disk::Contents&>(disk.disk().contents()).files.at(disk.disk().find(directory, name));
}

}  // namespace

TEST_CASE("C3: what save has returned is there, under every retention: a damaged newest, from which the run falls back") {
  for (tacit::Retention const& keep : retentions()) {
    for (char const* damaged : {"state.json", "manifest.json"}) {
      fake::FileSystem disk{std::make_shared<fake::Disk>()};
      {
        tacit::CheckpointWriter first{"c", {}, disk};
        save(first, 500, "weights", 0.1);
        save(first, 1000, "weights", 0.05);
      }
      bytes_on(disk, std::string{"c/checkpoint-0000001000/"} + damaged).back() = '#';
      CHECK(tacit::find_newest_checkpoint("c", disk)->checkpoint.number() == 500);
      {
        tacit::CheckpointWriter writer{"c", keep, disk};
        save_and_look(writer, disk, {600, 700});
        // Moved aside when the run falls back, not when its number comes again.
        CHECK(tacit::list_checkpoints("c", disk).back() == "checkpoint-0000000700");
      }
      tacit::CheckpointWriter writer{"c", keep, disk};
      save_and_look(writer, disk, {800, 900, 1000, 1100});
    }
  }
}

TEST_CASE("C3: what save has returned is there, under every retention: a higher number of an earlier experiment") {
  for (tacit::Retention const& keep : retentions()) {
    fake::FileSystem disk{std::make_shared<fake::Disk>()};
    {
      tacit::CheckpointWriter earlier{"c", {}, disk};
      save(earlier, 1000, "of the earlier one", 0.01);
    }
    for (int life = 0; life < 2; ++life) {
      tacit::CheckpointWriter writer{"c", keep, disk};
      CHECK(writer.prune().empty());
      save_and_look(writer, disk, {10 + 100 * life, 20 + 100 * life, 30 + 100 * life});
      CHECK(writer.prune().empty());
      CHECK(tacit::surplus_checkpoints("c", keep, disk).empty());
    }
    tacit::CheckpointWriter writer{"c", keep, disk};
    save_and_look(writer, disk, {990});
    CHECK(code_of([&] { save(writer, 1000); }) == "TACIT-RS67");
    save_and_look(writer, disk, {1010, 1020});
    // It is of another line: no rule has removed it.
    CHECK(tacit::Checkpoint{"c/checkpoint-0000001000", disk}.read("model.safetensors").text() == "of the earlier one");
  }
}

TEST_CASE("C3: a number that is unset or absurd is refused, and nothing is written") {
  fake::FileSystem disk{std::make_shared<fake::Disk>()};
  tacit::CheckpointWriter writer{"c", {.last = 1}, disk};
  std::vector<tacit::CheckpointFile> const files{file("a", "x")};
  CHECK(code_of([&] { writer.save(tacit::Updates{tacit::unset}, files); }) == "TACIT-RS42");
  CHECK(code_of([&] { writer.save(-1, files); }) == "TACIT-RC01");
  CHECK(code_of([&] { writer.save(std::numeric_limits<std::int64_t>::max(), files); }) == "TACIT-RS42");
  CHECK(code_of([&] { writer.save(1'000'000'000'000'000, files); }) == "TACIT-RS42");
  CHECK(tacit::list_checkpoints("c", disk).empty());
  save_and_look(writer, disk, {0, 999'999'999'999'999});
}

TEST_CASE("C3: two programs in one directory: the second is refused, and takes nothing away") {
  for (tacit::Retention const& keep : retentions()) {
    fake::FileSystem disk{std::make_shared<fake::Disk>()};
    tacit::CheckpointWriter writer{"c", keep, disk};
    disk.make_directory("c/.tmp-checkpoint-0000000007");  // of the first, which is in the middle of a save
    CHECK(code_of([&] { tacit::CheckpointWriter{"c", {.last = 1}, disk}; }) == "TACIT-RS68");
    std::vector<std::string> names;
    disk.list("c", names);
    CHECK(std::ranges::count(names, ".tmp-checkpoint-0000000007") == 1);
    save_and_look(writer, disk, {7, 8});
  }
}

TEST_CASE("C3: a run that goes back in its own directory goes on from there, and may do so again") {
  fake::FileSystem disk{std::make_shared<fake::Disk>()};
  tacit::CheckpointWriter writer{"c", {.last = 2}, disk};
  save_and_look(writer, disk, {10, 20, 30, 25, 40, 22, 26, 5, 6, 7});
  // Those that were left behind stay; of the last line two.
  CHECK(tacit::list_checkpoints("c", disk) ==
        std::vector<std::string>{"checkpoint-0000000006", "checkpoint-0000000007", "checkpoint-0000000022", "checkpoint-0000000025", "checkpoint-0000000026",
                                 "checkpoint-0000000030", "checkpoint-0000000040"});
}

TEST_CASE("C23: the lock of a dead owner is taken over by one of several") {
  Scratch const scratch;
  std::string const path = (scratch.path() / "stale.owner").string();
  ::pid_t const dead = ::fork();
  if (dead == 0) ::_exit(0);
  REQUIRE(::waitpid(dead, nullptr, 0) == dead);
  for (int round = 0; round < 100; ++round) {
    overwrite(path, tacit::detail::this_host() + " " + std::to_string(dead));
    ::pid_t children[4];
    int gates[2];
    REQUIRE(::pipe(gates) == 0);
    for (::pid_t& child : children) {
      if ((child = ::fork()) != 0) continue;
      tacit::FileLock lock;
      std::string holder;
      int const error = tacit::detail::lock_by_owner_file(path, lock, holder);
      char token = 0;
      ::close(gates[1]);
      (void)!::read(gates[0], &token, 1);  // nobody ends before all have tried
      ::_exit(error == 0 ? 1 : 0);
    }
    int won = 0;
    ::usleep(2000);
    ::close(gates[0]);
    ::close(gates[1]);
    for (::pid_t const child : children) {
      int status = 0;
      ::waitpid(child, &status, 0);
      won += WEXITSTATUS(status);
    }
    REQUIRE(won == 1);
    ::unlink(path.c_str());
    ::unlink((path + ".takeover").c_str());
  }
}

TEST_CASE("C23: a process number of another namespace is no proof that its process has ended") {
  Scratch const scratch;
  std::string const path = (scratch.path() / "lock.owner").string();
  std::string const host = tacit::detail::this_host().substr(0, tacit::detail::this_host().find(' '));
  ::pid_t const dead = ::fork();
  if (dead == 0) ::_exit(0);
  REQUIRE(::waitpid(dead, nullptr, 0) == dead);
  tacit::FileLock lock;
  std::string holder;
  overwrite(path, host + " pid:[1] " + std::to_string(dead));
  CHECK(tacit::detail::lock_by_owner_file(path, lock, holder) == EWOULDBLOCK);
  overwrite(path, host + " " + std::to_string(dead));  // as an older version wrote it
  CHECK(tacit::detail::lock_by_owner_file(path, lock, holder) == 0);
  // A lock that somebody removed, and another took, is not removed by the first.
  overwrite(path, host + " pid:[1] 7");
  tacit::PosixFileSystem{}.unlock(lock);
  CHECK(content(path) == host + " pid:[1] 7");
}

TEST_CASE("C9: a file of a checkpoint is read from one handle, whatever takes its name") {
  Scratch const scratch;
  {
    tacit::CheckpointWriter writer{scratch.path()};
    save(writer, 1, "weights");
  }
  fs::path const directory = scratch.path() / "checkpoint-0000000001";
  tacit::detail::Files<tacit::PosixFileSystem> files{tacit::PosixFileSystem{}};
  bool missing = true;
  auto file = files.open((directory / "model.safetensors").string(), missing);
  REQUIRE(file.has_value());
  CHECK_FALSE(missing);
  overwrite(directory / "other", "longer than it was");
  fs::rename(directory / "other", directory / "model.safetensors");
  CHECK(file->size() == 7);
  CHECK(file->read_all().text() == "weights");
  CHECK(code_of([&] { tacit::Checkpoint{directory}.verify(); }) == "TACIT-RS63");
  auto cut = files.open((directory / "model.safetensors").string(), missing);
  overwrite(directory / "model.safetensors", "cut");
  CHECK(code_of([&] { (void)cut->read_all(); }) == "TACIT-RS43");
  CHECK_FALSE(files.open((directory / "nowhere").string(), missing).has_value());
  CHECK(missing);
  CHECK_FALSE(files.open(directory.string(), missing).has_value());
  CHECK_FALSE(missing);
}

}  // namespace checkpoint_tests
