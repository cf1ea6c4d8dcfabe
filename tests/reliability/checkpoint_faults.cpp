// Power cuts, failing calls, dying ranks and flipped bits: what a checkpoint directory must live through.

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/file_system.hpp"
#include "fake/group.hpp"
#include "tacit/state/checkpoint.hpp"

namespace {

using Disk = fake::Disk;
using Fault = fake::Fault;

/// The content of a file of checkpoint `number`: told apart by every byte.
std::string content(std::uint64_t number, std::size_t size, std::string_view name) {
  std::mt19937 random{static_cast<std::uint32_t>(number * 31 + name.size())};
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}
std::string const names[] = {"model.safetensors", "optim.safetensors", "state.json"};
std::size_t const sizes[] = {1700, 1300, 200};

template <class Writer>
void save(Writer& writer, std::uint64_t number, int pieces = 2, std::string const& suffix = {}) {
  std::vector<std::string> bytes;
  std::vector<tacit::CheckpointFile> files;
  for (std::size_t i = 0; i < 3; ++i) bytes.push_back(content(number, sizes[i], names[i]));
  for (std::size_t i = 0; i < 3; ++i) {
    tacit::CheckpointFile& file = files.emplace_back(tacit::CheckpointFile{names[i] + suffix, {}});
    auto rest = std::as_bytes(std::span{bytes[i]});
    for (int piece = 1; piece < pieces; ++piece) {
      file.pieces.push_back(rest.first(rest.size() / 2));
      rest = rest.subspan(rest.size() / 2);
    }
    file.pieces.push_back(rest);
  }
  writer.save(static_cast<std::int64_t>(number), files);
}
template <class F>
bool is_whole(tacit::Checkpoint<F> const& checkpoint, std::string const& suffix = {}) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (checkpoint.read(names[i] + suffix).text() != content(checkpoint.number(), sizes[i], names[i])) return false;
  }
  return true;
}

/// What a run leaves on its disk, and how many operations were done when each save returned.
template <class F>
struct Run {
  std::shared_ptr<Disk> disk = std::make_shared<Disk>();
  std::vector<std::size_t> acknowledged{};

  explicit Run(std::uint64_t saves, tacit::Checkpoints last = 2) {
    tacit::CheckpointWriter writer{"runs/c", {.last = last}, F{disk}};
    for (std::uint64_t number = 1; number <= saves; ++number) {
      save(writer, number);
      acknowledged.push_back(disk->log().size());
    }
  }
};

struct Count {
  std::size_t states = 0;
  std::size_t lost = 0;  // states that break the promise
  std::string first{};
};

/// Tries every state that a power cut may leave: before each operation, every subset of what is not safe (256 samples where there
/// are more than 2^12), the last write torn at each 512th byte.
template <class F>
Count try_power_cuts(Run<F> const& run) {
  Count count;
  std::mt19937_64 random{4};
  Disk const& disk = *run.disk;
  auto const check = [&](Disk::Contents contents, std::size_t operations) {
    ++count.states;
    std::uint64_t acknowledged = 0;
    while (acknowledged < run.acknowledged.size() && run.acknowledged[acknowledged] <= operations) ++acknowledged;
    auto const after = std::make_shared<Disk>(std::move(contents));
    std::string problem;
    try {
      auto const found = tacit::find_newest_checkpoint("runs/c", fake::FileSystem{after});
      std::uint64_t const number = found ? found->checkpoint.number() : 0;
      if (number != acknowledged && number != acknowledged + 1) problem = "finds " + std::to_string(number);
      if (found && !found->skipped.empty()) problem = found->note();
      if (found && !is_whole(found->checkpoint)) problem = "other bytes than were saved";
      if (count.states % 8 == 0) {
        // The next run goes on from there.
        tacit::CheckpointWriter writer{"runs/c", {.last = 2}, fake::FileSystem{after}};
        save(writer, 1000);
        auto const next = tacit::find_newest_checkpoint("runs/c", fake::FileSystem{after});
        if (!next || next->checkpoint.number() != 1000) problem = "the next run cannot save";
      }
    } catch (tacit::StateError const& error) {
      problem = error.what();
    }
    if (!problem.empty() && count.lost++ == 0) count.first = "after " + std::to_string(operations) + " operations, " + std::to_string(acknowledged) + " acknowledged: " + problem;
  };
  for (std::size_t operations = 0; operations <= disk.log().size(); ++operations) {
    std::vector<std::size_t> const open = disk.unsafe(operations);
    bool const all = open.size() <= 12;
    std::uint64_t const subsets = all ? std::uint64_t{1} << open.size() : 256;
    for (std::uint64_t subset = 0; subset < subsets; ++subset) {
      std::uint64_t const mask = all ? subset : random();
      auto const survives = [&](std::size_t k) { return (mask >> (k % 64) & 1U) != 0; };
      check(disk.after_power_cut(operations, survives), operations);
      std::size_t torn = 0;
      for (std::size_t k = 0; k < open.size(); ++k) {
        if (survives(k) && disk.log()[open[k]].kind == Disk::Operation::Kind::write) torn = disk.log()[open[k]].data.size();
      }
      for (std::size_t size = 512; size < torn; size += 512) check(disk.after_power_cut(operations, survives, size), operations);
    }
  }
  return count;
}

/// Says that names are safe when they are not.
class NoDirectorySync : public fake::FileSystem {
 public:
  using fake::FileSystem::FileSystem;
  int sync_directory(std::string const&) { return 0; }
};
/// Says that bytes are safe when they are not.
class NoFileSync : public fake::FileSystem {
 public:
  using fake::FileSystem::FileSystem;
  int sync(int) { return 0; }
};

}  // namespace

TEST_CASE("no power cut loses an acknowledged checkpoint, in any state that the disk may be in", "[long]") {
  Run<fake::FileSystem> const run{5};
  Count const count = try_power_cuts(run);
  INFO(count.first);
  std::printf("%zu crash states after %zu operations, %zu lost\n", count.states, run.disk->log().size(), count.lost);
  CHECK(count.lost == 0);
  CHECK(count.states >= 20'000);
}

TEST_CASE("a power cut in a save that removes the one before", "[long]") {
  Count const count = try_power_cuts(Run<fake::FileSystem>{2, 1});
  INFO(count.first);
  CHECK(count.lost == 0);
}

TEST_CASE("the check notices a file system that does not sync", "[long]") {
  CHECK(try_power_cuts(Run<NoDirectorySync>{2}).lost > 0);
  CHECK(try_power_cuts(Run<NoFileSync>{2}).lost > 0);
}

TEST_CASE("every call fails with every error, once and for good") {
  struct Way {
    int error;
    bool short_write;
  };
  std::size_t tried = 0;
  std::size_t failed_saves = 0;
  for (Way way : {Way{ENOSPC, false}, Way{EDQUOT, false}, Way{EIO, false}, Way{EROFS, false}, Way{EACCES, false}, Way{EMFILE, false}, Way{ENAMETOOLONG, false}, Way{EINTR, false},
                  Way{0, true}}) {
    for (bool for_good : {false, true}) {
      for (std::int64_t at = 0;; ++at) {
        auto const disk = std::make_shared<Disk>();
        fake::FileSystem const quiet{disk};
        {
          tacit::CheckpointWriter writer{"c", {.last = 1}, quiet};
          save(writer, 1);
        }
        auto const fault = std::make_shared<Fault>(Fault{.at = at, .error = way.error, .for_good = for_good, .short_write = way.short_write});
        fake::FileSystem const failing{disk, fault};
        std::string code;
        std::string text;
        try {
          tacit::CheckpointWriter writer{"c", {.last = 1}, failing};
          save(writer, 2);
        } catch (tacit::StateError const& error) {
          code = error.code();
          text = error.what();
        }
        bool const reached = fault->calls > at;
        ++tried;
        INFO("call " << at << (for_good ? ", for good: " : ", once: ") << (reached ? fault->log[static_cast<std::size_t>(at)] : "none") << ", errno " << way.error << ": " << text);
        REQUIRE(failing.open_handles() == 0);
        if (!code.empty()) {
          ++failed_saves;
          REQUIRE((code == "TACIT-RS40" || code == "TACIT-RS70"));
          REQUIRE(text.find(std::generic_category().message(way.error)) != std::string::npos);
          REQUIRE(text.find("errno " + std::to_string(way.error)) != std::string::npos);
          REQUIRE(text.find("cannot ") != std::string::npos);
          REQUIRE(text.starts_with("[" + code + "] c"));  // the path
        }
        // What could not be synced is never taken for safe.
        if (!way.short_write && reached && fault->log[static_cast<std::size_t>(at)].starts_with("sync")) REQUIRE(!code.empty());
        // A short write is no failure, and neither is EINTR, but where syncing is interrupted.
        if (way.short_write) REQUIRE(code.empty());
        if (way.error == EINTR && !for_good && reached && !fault->log[static_cast<std::size_t>(at)].starts_with("sync") && !fault->log[static_cast<std::size_t>(at)].starts_with("close") &&
            !fault->log[static_cast<std::size_t>(at)].starts_with("lock")) {
          REQUIRE(code.empty());
        }
        auto const found = tacit::find_newest_checkpoint("c", quiet);
        REQUIRE(found.has_value());
        REQUIRE(found->skipped.empty());
        REQUIRE(is_whole(found->checkpoint));
        if (code.empty() || code == "TACIT-RS70") REQUIRE(found->checkpoint.number() == 2);
        if (!for_good && code == "TACIT-RS40") REQUIRE(found->checkpoint.number() == 1);
        // The next run, on a healthy disk, goes on.
        tacit::CheckpointWriter writer{"c", {.last = 1}, quiet};
        save(writer, 3);
        REQUIRE(tacit::list_checkpoints("c", quiet).back() == "checkpoint-0000000003");
        if (!reached) break;
      }
    }
  }
  std::printf("%zu runs with a failing call, %zu of them could not save\n", tried, failed_saves);
  CHECK(failed_saves > 300);
}

namespace {

/// A directory as a run may find it, with the numbers that it holds.
struct Found {
  char const* what;
  std::vector<std::uint64_t> saved;
  bool newest_is_damaged;
};

/// Three saves of a run in such a directory, and every state that a power cut may leave: what was found is what was acknowledged
/// last, or what comes after it.
Count try_power_cuts_after(Found const& before, tacit::Retention const& keep) {
  auto const disk = std::make_shared<Disk>();
  fake::FileSystem const files{disk};
  std::uint64_t newest = 0;
  {
    tacit::CheckpointWriter earlier{"c", {}, files};
    for (std::uint64_t const number : before.saved) save(earlier, number);
    newest = before.saved.back();
  }
  if (before.newest_is_damaged) {
    auto const [directory, name] = disk->place("c/" + tacit::detail::checkpoint_name(newest) + "/" + names[0]);
    const_cast<Disk::Contents&>(disk->contents()).files.at(disk->find(directory, name)).front() = '#';
    newest = before.saved[before.saved.size() - 2];
  }
  disk->settle();
  std::vector<std::uint64_t> const numbers{60, 70, 80};
  std::vector<std::size_t> acknowledged;
  {
    tacit::CheckpointWriter writer{"c", keep, files};
    for (std::uint64_t const number : numbers) {
      save(writer, number);
      acknowledged.push_back(disk->log().size());
    }
  }
  Count count;
  std::mt19937_64 random{4};
  for (std::size_t operations = 0; operations <= disk->log().size(); ++operations) {
    std::size_t const open = disk->unsafe(operations).size();
    bool const all = open <= 6;
    for (std::uint64_t sample = 0; sample < (all ? std::uint64_t{1} << open : 24); ++sample) {
      std::uint64_t const subset = all ? sample : random();
      auto const after = std::make_shared<Disk>(disk->after_power_cut(operations, [&](std::size_t k) { return (subset >> (k % 64)) % 2 == 1; }));
      ++count.states;
      std::size_t done = 0;
      while (done < 3 && acknowledged[done] <= operations) ++done;
      std::uint64_t const last = done == 0 ? newest : numbers[done - 1];
      std::string problem;
      try {
        auto const found = tacit::find_newest_checkpoint("c", fake::FileSystem{after});
        std::uint64_t const number = found ? found->checkpoint.number() : 0;
        if (number != last && !(done < 3 && number == numbers[done])) problem = "finds " + std::to_string(number) + " after " + std::to_string(last);
        if (found && !is_whole(found->checkpoint)) problem = "other bytes than were saved";
        tacit::CheckpointWriter next{"c", keep, fake::FileSystem{after}};
        save(next, number + 3);
        if (tacit::find_newest_checkpoint("c", fake::FileSystem{after})->checkpoint.number() != number + 3) problem = "does not go on";
      } catch (tacit::StateError const& error) {
        problem = error.what();
      }
      if (!problem.empty() && count.lost++ == 0) count.first = std::string{before.what} + ", operation " + std::to_string(operations) + ": " + problem;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("C3: power cuts in a directory with a higher number, a damaged newest or an earlier experiment, under every retention", "[long]") {
  std::vector<Found> const directories{{"a higher number", {50, 1000}, false}, {"a damaged newest", {40, 50, 1000}, true}, {"a damaged newest below", {40, 50}, true}, {"an earlier experiment", {30, 50, 65, 90}, false}};
  std::size_t states = 0;
  for (Found const& before : directories) {
    for (tacit::Retention const& keep : {tacit::Retention{}, tacit::Retention{.last = 1}, tacit::Retention{.last = 2}, tacit::Retention{.best = 1}, tacit::Retention{.every = 20}}) {
      Count const count = try_power_cuts_after(before, keep);
      states += count.states;
      INFO(count.first);
      CHECK(count.lost == 0);
    }
  }
  std::printf("C3: %zu states of directories that other runs have left\n", states);
  CHECK(states > 10'000);
}

TEST_CASE("a reader whose calls fail says so or takes an older checkpoint") {
  auto const disk = std::make_shared<Disk>();
  {
    tacit::CheckpointWriter writer{"c", {}, fake::FileSystem{disk}};
    save(writer, 1);
    save(writer, 2);
  }
  for (int error : {EIO, EACCES, EMFILE, EINTR}) {
    for (bool for_good : {false, true}) {
      for (std::int64_t at = 0;; ++at) {
        auto const fault = std::make_shared<Fault>(Fault{.at = at, .error = error, .for_good = for_good});
        fake::FileSystem const failing{disk, fault};
        try {
          auto const found = tacit::find_newest_checkpoint("c", failing);
          REQUIRE(found.has_value());
          REQUIRE((found->checkpoint.number() == 2 || found->note().find("checkpoint-0000000002 is skipped: [TACIT-RS40]") == 0));
        } catch (tacit::StateError const& failure) {
          REQUIRE((failure.code() == "TACIT-RS40" || failure.code() == "TACIT-RS61"));
          REQUIRE(std::string{failure.what()}.find(std::generic_category().message(error)) != std::string::npos);
        }
        REQUIRE(failing.open_handles() == 0);
        if (fault->calls <= at) break;
      }
    }
  }
}

TEST_CASE("a large file is summed while it is written; an error in the midst waits for the sum") {
  std::string const bytes = content(1, 5'000'003, "large");
  auto const whole = std::as_bytes(std::span{bytes});
  std::vector<tacit::CheckpointFile> const files{{"large", {whole.first(1), whole.subspan(1, 3'000'000), whole.subspan(3'000'001)}}};
  auto const disk = std::make_shared<Disk>();
  fake::FileSystem const quiet{disk};
  {
    tacit::CheckpointWriter writer{"c", {}, quiet};
    writer.save(1, files);
  }
  tacit::Checkpoint const checkpoint{"c/checkpoint-0000000001", quiet};
  CHECK((checkpoint.read("large").text() == bytes));
  CHECK(checkpoint.manifest().files.at(0).crc == tacit::crc32c(whole));

  int failed = 0;
  for (std::int64_t at = 0;; ++at) {
    auto const fault = std::make_shared<Fault>(Fault{.at = at, .error = EIO});
    // Each round on a disk of its own: what one leaves behind would be more calls for the next.
    fake::FileSystem const failing{std::make_shared<Disk>(), fault};
    try {
      tacit::CheckpointWriter writer{"c", {}, failing};
      writer.save(2 + at, files);
    } catch (tacit::StateError const&) {
      failed += fault->calls > at && fault->log[static_cast<std::size_t>(at)].starts_with("write") ? 1 : 0;
    }
    REQUIRE(failing.open_handles() == 0);
    if (fault->calls <= at) break;
  }
  CHECK(failed >= 6);  // a MiB at a time
}

namespace {

/// A rank of the fake group, as far as saving asks.
struct Member {
  fake::Group* group = nullptr;
  int number = 0;

  int rank() const { return number; }
  int world_size() const { return group->size(); }
  std::vector<std::string> gather(std::string_view text) const {
    std::vector<std::string> texts;
    for (auto const& part : group->exchange(number, "gather", {text.begin(), text.end()})) {
      std::string& one = texts.emplace_back();
      for (double c : part) one += static_cast<char>(c);
    }
    return texts;
  }
};

/// Three ranks save checkpoint `number`; the calls of rank `faulty` go through `fault`. Gives each rank's error, "died" or nothing.
std::vector<std::string> save_together(std::shared_ptr<Disk> const& disk, std::uint64_t number, int faulty, std::shared_ptr<Fault> const& fault) {
  fake::Group group{3};
  std::vector<std::string> ends(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      std::string& end = ends[static_cast<std::size_t>(rank)];
      try {
        tacit::CheckpointWriter writer{"c", {.last = 1}, fake::FileSystem{disk, rank == faulty ? fault : nullptr}, Member{&group, rank}};
        save(writer, number, 1, ".rank-" + std::to_string(rank));
      } catch (tacit::StateError const& error) {
        end = error.what();
      } catch (std::runtime_error const& error) {
        end = error.what();
      } catch (fake::Death const&) {
        end = "died";
        group.leave("rank " + std::to_string(rank) + " died");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ends;
}
bool is_whole_of_three(tacit::Checkpoint<fake::FileSystem> const& checkpoint) {
  if (checkpoint.manifest().world_size != 3 || checkpoint.manifest().files.size() != 9) return false;
  return is_whole(checkpoint, ".rank-0") && is_whole(checkpoint, ".rank-1") && is_whole(checkpoint, ".rank-2");
}

}  // namespace

TEST_CASE("ranks save into one checkpoint; the death of any at any call leaves the one before or the new one whole") {
  std::size_t deaths = 0;
  for (int faulty = 0; faulty < 3; ++faulty) {
    for (std::int64_t at = 0;; ++at) {
      auto const disk = std::make_shared<Disk>();
      REQUIRE(save_together(disk, 1, -1, nullptr) == std::vector<std::string>(3));
      auto const fault = std::make_shared<Fault>(Fault{.at = at, .for_good = true, .death = true});
      std::vector<std::string> const ends = save_together(disk, 2, faulty, fault);
      bool const died = ends[static_cast<std::size_t>(faulty)] == "died";
      INFO("rank " << faulty << " at call " << at << ": " << (died ? fault->log[static_cast<std::size_t>(at)] : "none"));
      REQUIRE(died == (fault->calls > at));
      disk->locks().clear();  // a dead process holds none
      auto const found = tacit::find_newest_checkpoint("c", fake::FileSystem{disk});
      REQUIRE(found.has_value());
      REQUIRE(found->skipped.empty());
      REQUIRE(is_whole_of_three(found->checkpoint));
      if (!died) {
        REQUIRE(found->checkpoint.number() == 2);
        REQUIRE(ends == std::vector<std::string>(3));
        break;
      }
      ++deaths;
      for (int rank = 0; rank < 3; ++rank) {
        if (rank != faulty) REQUIRE(ends[static_cast<std::size_t>(rank)].find("rank " + std::to_string(faulty) + " died") != std::string::npos);
      }
      REQUIRE(save_together(disk, 3, -1, nullptr) == std::vector<std::string>(3));
      REQUIRE(is_whole_of_three(tacit::find_newest_checkpoint("c", fake::FileSystem{disk})->checkpoint));
    }
  }
  std::printf("ranks: %zu deaths of one of three while saving\n", deaths);
  CHECK(deaths > 60);
}

TEST_CASE("if one rank cannot write, every rank throws and nothing is committed") {
  for (int faulty = 0; faulty < 3; ++faulty) {
    for (std::int64_t at = 0;; ++at) {
      auto const disk = std::make_shared<Disk>();
      save_together(disk, 1, -1, nullptr);
      auto const fault = std::make_shared<Fault>(Fault{.at = at, .error = EIO});
      std::vector<std::string> const ends = save_together(disk, 2, faulty, fault);
      if (fault->calls <= at) break;
      INFO("rank " << faulty << " at call " << at << ": " << fault->log[static_cast<std::size_t>(at)] << "\n" << ends[0]);
      auto const found = tacit::find_newest_checkpoint("c", fake::FileSystem{disk});
      bool const all = ends[0].empty() && ends[1].empty() && ends[2].empty();
      bool const none = !ends[0].empty() && !ends[1].empty() && !ends[2].empty();
      REQUIRE((all || none));
      if (none) {
        bool const committed = ends[static_cast<std::size_t>(faulty)].find("TACIT-RS70") != std::string::npos;
        REQUIRE(found->checkpoint.number() == (committed ? 2 : 1));
        for (int rank = 0; rank < 3; ++rank) {
          REQUIRE(ends[static_cast<std::size_t>(rank)].find(rank == faulty ? "Input/output error" : "[TACIT-RS69]") != std::string::npos);
        }
      }
    }
  }
}

TEST_CASE("two ranks with one file name are told apart before anything is committed") {
  auto const disk = std::make_shared<Disk>();
  fake::Group group{2};
  std::vector<std::string> ends(2);
  std::vector<std::thread> threads;
  std::string const data = "x";
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      // Disks of their own, as over a network that shows files late.
      auto const own = rank == 0 ? disk : std::make_shared<Disk>();
      fake::FileSystem other{own};
      if (rank == 1) {
        other.make_directory("c");
        other.make_directory("c/.tmp-checkpoint-0000000001");
      }
      try {
        tacit::CheckpointWriter writer{"c", {}, other, Member{&group, rank}};
        std::vector<tacit::CheckpointFile> const files{{"same", {std::as_bytes(std::span{data})}}};
        writer.save(1, files);
      } catch (tacit::StateError const& error) {
        ends[static_cast<std::size_t>(rank)] = error.code();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(ends == std::vector<std::string>{"TACIT-RS66", "TACIT-RS69"});
  CHECK(tacit::list_checkpoints("c", fake::FileSystem{disk}).empty());
}

TEST_CASE("readers beside a writer find a whole checkpoint every time") {
  auto const disk = std::make_shared<Disk>();
  std::atomic<bool> done{false};
  std::uint64_t saved = 0;
  std::thread writing{[&] {
    tacit::CheckpointWriter writer{"c", {.last = 1}, fake::FileSystem{disk}};
    while (!done) save(writer, ++saved);
  }};
  std::size_t loads = 0;
  std::uint64_t newest = 0;
  std::string problem;
  while (loads < 1000 && problem.empty()) {
    try {
      auto const found = tacit::find_newest_checkpoint("c", fake::FileSystem{disk});
      if (!found) continue;  // before the first
      if (found->checkpoint.number() < newest) problem = "went back to " + std::to_string(found->checkpoint.number());
      newest = found->checkpoint.number();
      ++loads;
    } catch (tacit::StateError const& error) {
      problem = error.what();
    }
  }
  done = true;
  writing.join();
  std::printf("%zu loads during %llu saves\n", loads, static_cast<unsigned long long>(saved));
  CHECK(problem == "");
  CHECK(saved > 10);
}

namespace {

/// A disk whose bytes can be changed under the reader.
struct SmallDisk {
  std::shared_ptr<Disk> disk = std::make_shared<Disk>();
  fake::FileSystem files{disk};

  std::string& bytes(std::string const& path) {
    auto const [directory, name] = disk->place(path);
    return const_cast<Disk::Contents&>(disk->contents()).files.at(disk->find(directory, name));
  }
};

}  // namespace

TEST_CASE("every flipped bit and every truncation of a 64 KiB checkpoint is noticed", "[long]") {
  SmallDisk small;
  std::vector<std::string> bytes;
  std::vector<tacit::CheckpointFile> files;
  for (int i = 0; i < 16; ++i) bytes.push_back(content(static_cast<std::uint64_t>(i), 4096, "x"));
  for (std::size_t i = 0; i < 16; ++i) files.push_back({"part-" + std::to_string(i), {std::as_bytes(std::span{bytes[i]})}});
  {
    tacit::CheckpointWriter writer{"c", {}, small.files};
    writer.save(1, files);
    writer.save(2, files);
  }
  std::string const directory = "c/checkpoint-0000000002";
  std::size_t flips = 0;
  std::size_t cuts = 0;
  std::size_t missed = 0;
  auto const refused = [](auto const& read) {
    try {
      read();
      return false;
    } catch (tacit::StateError const&) {
      return true;
    }
  };
  auto const damage = [&](std::string const& path, auto const& read) {
    REQUIRE_FALSE(refused(read));
    std::string& file = small.bytes(path);
    for (char& c : file) {
      for (int bit = 0; bit < 8; ++bit) {
        c = static_cast<char>(c ^ (1 << bit));
        ++flips;
        missed += refused(read) ? 0U : 1U;
        c = static_cast<char>(c ^ (1 << bit));
      }
    }
    std::string const whole = file;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      file.assign(whole, 0, size);
      ++cuts;
      missed += refused(read) ? 0U : 1U;
    }
    file = whole + '\0';
    ++cuts;
    missed += refused(read) ? 0U : 1U;
    file = whole;
  };
  tacit::Checkpoint const checkpoint{directory, small.files};
  // `read` is what loading and `verify` go through.
  for (tacit::CheckpointFile const& file : files) damage(directory + "/" + file.name, [&] { (void)checkpoint.read(file.name); });
  damage(directory + "/manifest.json", [&] { (void)tacit::Checkpoint{directory, small.files}; });
  std::printf("%zu flipped bits and %zu lengths, %zu missed\n", flips, cuts, missed);
  CHECK(flips >= 524'288);
  CHECK(missed == 0);

  // And the finder takes the older one each time.
  std::mt19937 random{7};
  for (int i = 0; i < 1000; ++i) {
    std::string& file = small.bytes(directory + "/part-" + std::to_string(random() % 16));
    char& c = file[random() % file.size()];
    auto const bit = 1U << (random() % 8);
    c = static_cast<char>(static_cast<unsigned char>(c) ^ bit);
    auto const found = tacit::find_newest_checkpoint("c", small.files);
    REQUIRE(found->checkpoint.number() == 1);
    REQUIRE(found->skipped.size() == 1);
    c = static_cast<char>(static_cast<unsigned char>(c) ^ bit);
  }
  CHECK(tacit::find_newest_checkpoint("c", small.files)->checkpoint.number() == 2);
}
