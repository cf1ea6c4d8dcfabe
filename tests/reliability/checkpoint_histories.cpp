// Histories of saves, damages, kills and restarts: what a save has returned is there afterwards, whatever was there before.
// Faults C3 (a save that deletes what it wrote) and its kind.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "fake/file_system.hpp"
#include "tacit/state/checkpoint.hpp"

namespace {

using Disk = fake::Disk;
using Writer = tacit::CheckpointWriter<fake::FileSystem>;

/// A checkpoint as the test knows it.
struct Known {
  std::int64_t number = 0;
  std::optional<double> metric{};
  std::string text{};
  bool damaged = false;
  bool manifest_damaged = false;
  std::vector<std::int64_t> all_before{};  // the numbers of all commits of its past, its own last

  std::string name() const { return tacit::detail::checkpoint_name(static_cast<std::uint64_t>(number)); }
};

/// A directory of checkpoints, what the test knows of it, and a random history.
class History {
 public:
  explicit History(std::uint64_t seed) : random_{seed} {}

  /// What went against the promise; empty where nothing did.
  std::string run() {
    tacit::Retention keep = some_retention();
    for (int life = 0; life < 3 && problem_.empty(); ++life) {
      if (one_in(4)) keep = some_retention();
      live(keep);
      disk_->locks().clear();
      if (problem_.empty()) check_newest("after a restart");
    }
    return problem_.empty() ? std::string{} : problem_ + log_;
  }
  std::size_t saves = 0;
  std::size_t damages = 0;
  std::size_t kills = 0;

 private:
  bool one_in(unsigned n) { return random_() % n == 0; }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n)); }
  void note(std::string const& text) { log_ += "\n  " + text; }

  tacit::Retention some_retention() {
    tacit::Retention keep;
    if (one_in(2)) keep.last = tacit::Checkpoints{1 + below(3)};
    if (one_in(2)) keep.best = tacit::Checkpoints{1 + below(2)};
    if (one_in(4)) keep.every = tacit::Updates{20};
    keep.higher_is_better = one_in(2);
    note("retention: last " + std::to_string(keep.last.value_or(-1)) + ", best " + std::to_string(keep.best.value_or(-1)) + (keep.higher_is_better ? " (higher)" : "") + ", every " +
         std::to_string(keep.every.value_or(-1)));
    return keep;
  }

  /// A program from its start to its end.
  void live(tacit::Retention const& keep) {
    auto const fault = std::make_shared<fake::Fault>();
    fake::FileSystem const files{disk_, fault};
    std::optional<Writer> writer;
    writer.emplace("c", keep, files);
    // What the directory tells a program of its past is in the newest sound manifest.
    past_.clear();
    for (Known const& one : known_) {
      if (!one.manifest_damaged) past_ = one.all_before;
    }
    std::int64_t number = 0;
    if (auto const newest = expected_newest(); newest && !one_in(6)) number = newest->number;  // else an experiment that starts anew
    if (one_in(8)) number = std::max<std::int64_t>(0, number - 10 * below(4));                // or one that goes back
    note("a program starts at " + std::to_string(number));
    for (int step = 0; step < 3 && problem_.empty(); ++step) {
      if (one_in(4)) damage_one();
      number += one_in(3) ? 20 : 10;
      if (one_in(10)) {
        fault->at = fault->calls + below(60);
        fault->death = fault->for_good = true;
      }
      if (!save(*writer, number, keep, fault)) return;
      fault->at = -1;
    }
  }

  /// False where the program ended.
  bool save(Writer& writer, std::int64_t number, tacit::Retention const& keep, std::shared_ptr<fake::Fault> const& fault) {
    Known fresh{number, {}, "state " + std::to_string(random_()), false, false, past_};
    fresh.all_before.push_back(number);
    if (!one_in(5)) fresh.metric = static_cast<double>(below(9));
    auto const piece = std::as_bytes(std::span{fresh.text});
    std::vector<tacit::CheckpointFile> const files{{"a", {piece}}, {"b", {piece.first(3)}}};
    note("save " + std::to_string(number) + ", metric " + (fresh.metric ? std::to_string(*fresh.metric) : "none"));
    auto const same = std::ranges::find(known_, number, &Known::number);
    try {
      std::string const path = writer.save(number, files, fresh.metric);
      ++saves;
      if (same != known_.end()) {
        if (!same->damaged) return fail("a checkpoint was replaced");
        known_.erase(same);
      }
      known_.push_back(fresh);
      past_ = fresh.all_before;
      if (path != "c/" + fresh.name() || !is_whole(fresh)) return fail("what was saved is not there");
      return after_save(keep);
    } catch (fake::Death const&) {
      ++kills;
      note("killed at call " + std::to_string(fault->at) + ": " + fault->log[static_cast<std::size_t>(fault->at)]);
      disk_->locks().clear();
      if (is_whole(fresh)) {
        if (same != known_.end()) known_.erase(same);
        known_.push_back(fresh);
        past_ = fresh.all_before;
      } else if (same != known_.end() && same->damaged && !is_there(*same)) {
        known_.erase(same);  // moved aside already
      }
      must_stay(keep);
      forget_removed();
      return false;
    } catch (tacit::StateError const& error) {
      if (error.code() == "TACIT-RS67" && same != known_.end() && !same->damaged) return true;
      return fail(error.what());
    }
  }

  bool after_save(tacit::Retention const& keep) {
    must_stay(keep);
    // Who was damaged may have been moved aside; who is whole and not in the line stays as well.
    forget_removed();
    check_newest("after a save");
    if (!keep.last.is_set() && keep.best.value_or(0) == 0 && keep.every.value_or(0) == 0 && removed_whole_) return fail("something was removed although all was to stay");
    if (std::ranges::any_of(fake_names("c"), [](std::string const& name) { return name.starts_with(".tmp-"); })) return fail("unfinished files are left");
    return problem_.empty();
  }

  /// Newest first: what no later run has left behind by starting below it, as far as a sound manifest tells.
  std::vector<Known const*> line() const {
    std::vector<Known const*> result;
    std::vector<std::int64_t> const* starts = nullptr;
    for (std::size_t i = known_.size(); i-- > 0;) {
      Known const& one = known_[i];
      if (one.manifest_damaged) continue;
      if (starts == nullptr) starts = &one.all_before;
      // Every commit after it was of a higher number.
      auto const later = starts->begin() + static_cast<std::ptrdiff_t>(one.all_before.size() - 1);
      if (std::all_of(std::next(later), starts->end(), [&](std::int64_t number) { return number > one.number; })) result.push_back(&one);
    }
    return result;
  }
  /// The retention, told anew over those that are whole.
  void must_stay(tacit::Retention const& keep) {
    std::vector<Known const*> whole;
    for (Known const* one : line()) {
      if (!one->damaged) whole.push_back(one);
    }
    std::vector<Known const*> stay;
    for (std::size_t i = 0; i < std::min(whole.size(), static_cast<std::size_t>(keep.last.value_or(1))); ++i) stay.push_back(whole[i]);
    std::vector<Known const*> ranked;
    for (Known const* one : whole) {
      if (one->metric) ranked.push_back(one);
    }
    std::ranges::sort(ranked, [&](Known const* a, Known const* b) {
      if (*a->metric != *b->metric) return (*a->metric < *b->metric) != keep.higher_is_better;
      return a->number < b->number;
    });
    for (std::size_t i = 0; i < std::min(ranked.size(), static_cast<std::size_t>(keep.best.value_or(0))); ++i) stay.push_back(ranked[i]);
    for (Known const* one : whole) {
      if (keep.every.value_or(0) > 0 && one->number % keep.every.value() == 0) stay.push_back(one);
    }
    std::vector<Known const*> const in_line = line();
    for (Known const& one : known_) {
      if (!one.damaged && std::ranges::find(in_line, &one) == in_line.end()) stay.push_back(&one);
    }
    for (Known const* one : stay) {
      if (!is_whole(*one)) fail(one->name() + " was to stay");
    }
  }
  /// Those that are gone are forgotten.
  void forget_removed() {
    removed_whole_ = std::ranges::any_of(known_, [&](Known const& one) { return !one.damaged && !is_there(one); });
    std::erase_if(known_, [&](Known const& one) { return !is_there(one); });
  }

  Known const* expected_newest() const {
    for (std::size_t i = known_.size(); i-- > 0;) {
      if (!known_[i].damaged) return &known_[i];
    }
    return nullptr;
  }
  void check_newest(std::string const& when) {
    Known const* const wanted = expected_newest();
    try {
      auto const found = tacit::find_newest_checkpoint("c", fake::FileSystem{disk_});
      if (!found && !known_.empty()) fail("nothing is found " + when);
      if (found && (wanted == nullptr || found->checkpoint.number() != static_cast<std::uint64_t>(wanted->number) || found->checkpoint.read("a").text() != wanted->text)) {
        fail("finds " + std::to_string(found->checkpoint.number()) + " " + when);
      }
    } catch (tacit::StateError const& error) {
      if (error.code() != "TACIT-RS61" || wanted != nullptr) fail(std::string{error.what()} + " " + when);
    }
  }

  /// A byte is flipped, a file is cut or lost.
  void damage_one() {
    if (known_.empty()) return;
    Known& one = known_[static_cast<std::size_t>(below(static_cast<std::int64_t>(known_.size())))];
    if (one.damaged) return;
    fake::FileSystem files{disk_};
    std::string const path = "c/" + one.name() + "/" + (one_in(3) ? "manifest.json" : one_in(2) ? "a" : "b");
    auto const [directory, name] = disk_->place(path);
    std::string& bytes = const_cast<Disk::Contents&>(disk_->contents()).files.at(disk_->find(directory, name));
    std::int64_t const way = below(3);
    if (way == 0) bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    if (way == 1) bytes.pop_back();
    if (way == 2) files.remove_file(path);
    one.damaged = true;
    one.manifest_damaged = path.ends_with("manifest.json");
    ++damages;
    note("damage " + path + (way == 0 ? ": a bit" : way == 1 ? ": cut" : ": lost"));
  }

  std::vector<std::string> fake_names(std::string const& path) const {
    std::vector<std::string> names;
    fake::FileSystem{disk_}.list(path, names);
    return names;
  }
  bool is_there(Known const& one) const { return std::ranges::count(fake_names("c"), one.name()) == 1; }
  bool is_whole(Known const& one) const {
    try {
      tacit::Checkpoint const checkpoint{"c/" + one.name(), fake::FileSystem{disk_}};
      checkpoint.verify();
      return checkpoint.read("a").text() == one.text;
    } catch (tacit::StateError const&) {
      return false;
    }
  }
  bool fail(std::string const& what) {
    if (problem_.empty()) problem_ = what;
    return false;
  }

  std::mt19937_64 random_;
  std::shared_ptr<Disk> disk_ = std::make_shared<Disk>();
  std::vector<Known> known_{};  // in the order of their commits
  std::vector<std::int64_t> past_{};
  std::string problem_{};
  std::string log_{};
  bool removed_whole_ = false;
};

}  // namespace

TEST_CASE("C3: 10 000 histories of saves, damages, kills and restarts keep what was promised", "[long]") {
  std::size_t saves = 0;
  std::size_t damages = 0;
  std::size_t kills = 0;
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    History history{seed};
    std::string const problem = history.run();
    saves += history.saves;
    damages += history.damages;
    kills += history.kills;
    INFO("seed " << seed << ": " << problem);
    REQUIRE(problem.empty());
  }
  std::printf("C3: 10000 histories, %zu saves, %zu damages, %zu kills\n", saves, damages, kills);
  CHECK(saves > 40'000);
  CHECK(damages > 8'000);
  CHECK(kills > 1'000);
}
