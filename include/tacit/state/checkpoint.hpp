#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/state/file_system.hpp"
#include "tacit/state/manifest.hpp"

/// Checkpoints: directories that are there as a whole or not at all, whatever ends the program.
///
/// A checkpoint is written under a name that no reader takes, every file is synced, the manifest comes last, the directory is
/// renamed, and its parent is synced: only then does `save` return, and only then are old ones removed.
namespace tacit::inline v0 {

namespace unit {
struct checkpoint {
  static constexpr std::string_view name = "checkpoints";
};
}  // namespace unit
using Checkpoints = Count<unit::checkpoint>;

/// Which checkpoints stay; a rule that is off keeps nothing, and with all off everything stays. The newest always stays.
///
/// Newest is what was committed last, whatever its number. Counted and removed are the checkpoints of its line: those committed
/// before it with lower numbers. A higher number of an earlier experiment, or one that a run fell back from, is neither counted
/// nor removed. Before anything is removed, what stays in its place is read and compared with its sums: a damaged checkpoint
/// takes no place.
struct Retention {
  Checkpoints last{unset};        ///< the newest ones; with another rule on, 1 by default
  Checkpoints best{};             ///< those with the best metric
  bool higher_is_better = false;  ///< of `best`
  Updates every{};                ///< those whose number of updates is a multiple of this
};

/// A file to save: its bytes in pieces, borrowed until `save` returns.
struct CheckpointFile {
  std::string name{};
  std::vector<std::span<std::byte const>> pieces{};
};

/// How ranks speak to each other while they save: `gather` gives every rank's text in order, and is a barrier.
template <class G>
concept checkpoint_group = requires(G& group, std::string_view text) {
  { group.rank() } -> std::convertible_to<int>;
  { group.world_size() } -> std::convertible_to<int>;
  { group.gather(text) } -> std::same_as<std::vector<std::string>>;
};

/// The group of one.
struct SingleRank {
  int rank() const noexcept { return 0; }
  int world_size() const noexcept { return 1; }
  std::vector<std::string> gather(std::string_view text) const { return {std::string{text}}; }
};

namespace detail {

inline constexpr std::string_view checkpoint_prefix = "checkpoint-";
inline constexpr std::string_view unfinished_prefix = ".tmp-";

/// Greater numbers of updates are mistakes: at one update in a microsecond it is 31 years.
inline constexpr std::int64_t max_checkpoint_number = 999'999'999'999'999;

inline std::string checkpoint_name(std::uint64_t number) {
  std::string const digits = std::to_string(number);
  return std::string{checkpoint_prefix} + std::string(digits.size() < 10 ? 10 - digits.size() : 0, '0') + digits;
}
/// The number of a name that `checkpoint_name` gives; nothing for any other.
inline std::optional<std::uint64_t> checkpoint_number(std::string_view name) {
  if (!name.starts_with(checkpoint_prefix)) return std::nullopt;
  std::string_view const digits = name.substr(checkpoint_prefix.size());
  std::uint64_t number = 0;
  if (digits.empty() || digits.size() > 20) return std::nullopt;
  for (char c : digits) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(number, 10U, &number) || __builtin_add_overflow(number, static_cast<unsigned>(c - '0'), &number)) return std::nullopt;
  }
  return checkpoint_name(number) == name ? std::optional{number} : std::nullopt;
}

struct NumberedName {
  std::uint64_t number = 0;
  std::string name{};

  friend bool operator==(NumberedName const&, NumberedName const&) = default;
};

/// The names of checkpoints in a directory, by number.
template <class F>
std::vector<NumberedName> checkpoint_names(Files<F>& files, std::string const& root) {
  std::vector<NumberedName> result;
  for (std::string const& name : files.list(root)) {
    if (auto const number = checkpoint_number(name)) result.push_back({*number, name});
  }
  std::ranges::sort(result, {}, &NumberedName::number);
  return result;
}

/// Opens a file of a checkpoint.
template <class F>
typename Files<F>::Input open_file_of_checkpoint(Files<F>& files, std::string const& path) {
  bool missing = false;
  auto file = files.open(path, missing);
  if (!file) throw StateError{"TACIT-RS62", missing ? "is missing" : "is no regular file", path, "use another checkpoint"};
  return *std::move(file);
}

template <class F>
Manifest read_manifest(Files<F>& files, std::string const& directory) {
  if (files.look(directory).kind != FileEntry::Kind::directory) throw StateError{"TACIT-RS60", "is no directory", directory, "give a checkpoint's directory"};
  std::string const path = directory + "/" + std::string{manifest_name};
  auto file = open_file_of_checkpoint(files, path);
  if (file.size() > safetensors::max_header)
    throw StateError{"TACIT-RS63", tacit::detail::message({"has ", file.size(), " bytes, too many for a manifest"}), path, "use another checkpoint"};
  return parse_manifest(file.read_all().text(), path);
}

/// A checkpoint of a directory and what its manifest says, if that is sound.
struct ListedCheckpoint {
  NumberedName name;
  std::optional<Manifest> manifest{};
};

/// The checkpoints of a directory in the order of their commits, the last one first. One whose manifest is damaged comes right
/// before the sound one of the next lower number.
template <class F>
std::vector<ListedCheckpoint> newest_first(Files<F>& files, std::string const& root) {
  std::vector<std::pair<std::uint64_t, ListedCheckpoint>> all;
  std::uint64_t sequence = 0;
  for (NumberedName& name : checkpoint_names(files, root)) {
    ListedCheckpoint one{std::move(name)};
    try {
      one.manifest = read_manifest(files, root + "/" + one.name.name);
      sequence = one.manifest->sequence;
    } catch (StateError const&) {
      // Who opens it is told why.
    }
    all.emplace_back(sequence, std::move(one));
  }
  std::ranges::sort(all, {}, [](auto const& one) { return std::pair{one.first, one.second.name.number}; });
  std::vector<ListedCheckpoint> result;
  for (std::size_t i = all.size(); i-- > 0;) result.push_back(std::move(all[i].second));
  return result;
}

/// The number of updates as the number of a checkpoint.
/// Throws: StateError for one that is unset, or greater than any run can reach.
inline std::uint64_t number_of(Updates updates) {
  if (updates.is_set() && updates.value() <= max_checkpoint_number) return static_cast<std::uint64_t>(updates.value());
  throw StateError{"TACIT-RS42",
                   updates.is_set() ? message({"the number ", updates.value(), " is greater than ", max_checkpoint_number}) : std::string{"the number of the checkpoint is unset"},
                   "CheckpointWriter::save", "give the number of updates done"};
}

/// The checkpoints that a retention lets go, oldest first. `is_whole(name)` reads a checkpoint; it is asked where something is
/// to be removed, of what stays by `last` and `best`. `written` is whole and stays.
template <class F, class IsWhole>
std::vector<std::string> surplus(Files<F>& files, std::string const& root, Retention const& keep, std::string_view written, IsWhole const& is_whole) {
  bool const others = keep.best.value_or(0) > 0 || keep.every.value_or(0) > 0;
  if (!keep.last.is_set() && !others) return {};
  struct Kept {
    std::string name;
    std::uint64_t number;
    std::optional<double> metric;
    std::optional<bool> whole{};
  };
  std::vector<Kept> line;  // newest first
  std::optional<std::vector<Fork>> forks;
  for (ListedCheckpoint& one : newest_first(files, root)) {
    if (!one.manifest) continue;
    if (!forks) forks = one.manifest->forks;  // the newest knows all
    bool const left = std::ranges::any_of(*forks, [&](Fork const& fork) { return one.manifest->sequence < fork.sequence && one.name.number >= fork.number; });
    if (left) continue;
    bool const safe = one.name.name == written;
    line.push_back({std::move(one.name.name), one.name.number, one.manifest->metric, safe ? std::optional{true} : std::nullopt});
  }
  std::vector<Kept*> ranked;
  for (Kept& one : line) {
    if (one.metric) ranked.push_back(&one);
  }
  // Of equal ones the older is better, as in EarlyStopping.
  std::ranges::sort(ranked, [&](Kept const* a, Kept const* b) {
    if (*a->metric == *b->metric) return a->number < b->number;
    return (*a->metric < *b->metric) != keep.higher_is_better;
  });
  auto const gone = [&](auto const& whole) {
    std::vector<Kept const*> stay;
    auto const keep_first = [&](std::int64_t count, auto& all, auto const& entry) {
      for (auto& one : all) {
        if (count <= 0) break;
        if (!whole(entry(one))) continue;
        stay.push_back(&entry(one));
        --count;
      }
      return count;
    };
    keep_first(keep.last.value_or(1), line, [](Kept& one) -> Kept& { return one; });
    std::int64_t const missing = keep_first(keep.best.value_or(0), ranked, [](Kept* one) -> Kept& { return *one; });
    // One without a metric may be as good as the best that are missing.
    bool const unjudged_stay = missing > 0 && !keep.last.is_set();
    std::vector<std::string> names;
    for (std::size_t i = line.size(); i-- > 0;) {
      Kept const& one = line[i];
      bool const by_number = keep.every.value_or(0) > 0 && one.number % static_cast<std::uint64_t>(keep.every.value()) == 0;
      if (unjudged_stay && !one.metric) continue;
      if (!by_number && one.whole.value_or(true) && one.name != written && std::ranges::find(stay, &one) == stay.end()) names.push_back(one.name);
    }
    return names;
  };
  if (gone([](Kept const&) { return true; }).empty()) return {};
  return gone([&](Kept& one) {
    if (!one.whole) one.whole = is_whole(one.name);
    return *one.whole;
  });
}

template <class F>
void remove_entry(Files<F>& files, std::string const& path) {
  if (files.look(path).kind == FileEntry::Kind::directory) {
    files.remove_tree(path);
  } else {
    files.remove_file(path);
  }
}
/// A removal that a power cut may hit anywhere: the checkpoint's name is gone from the disk before its files are.
template <class F>
void remove_checkpoint(Files<F>& files, std::string const& root, std::string const& name) {
  std::string const gone = root + "/" + std::string{unfinished_prefix} + "removed-" + name;
  if (files.look(gone).kind != FileEntry::Kind::missing) remove_entry(files, gone);
  files.rename(root + "/" + name, gone);
  files.sync_directory(root);
  remove_entry(files, gone);
}

inline void check_retention(Retention const& keep) {
  if (keep.last.is_set() && keep.last.value() == 0) {
    throw ConfigError{"TACIT-RS71", "Retention::last is 0", "Retention", "keep 1 or more, or leave it out to keep all"};
  }
}

}  // namespace detail

/// A checkpoint that was opened for reading: its manifest is checked, its files when they are read.
template <file_system F = PosixFileSystem>
class Checkpoint {
 public:
  /// Throws: StateError if there is no checkpoint, or its manifest is damaged or too new.
  explicit Checkpoint(std::filesystem::path const& directory, F fs = {}) : files_{std::move(fs)}, directory_{directory.string()} {
    manifest_ = detail::read_manifest(files_, directory_);
  }

  /// With a manifest that was read already.
  Checkpoint(std::string directory, Manifest manifest, F fs) : files_{std::move(fs)}, directory_{std::move(directory)}, manifest_{std::move(manifest)} {}

  std::string const& directory() const& noexcept { return directory_; }
  std::string directory() const&& { return directory_; }
  Manifest const& manifest() const& noexcept { return manifest_; }
  Manifest manifest() const&& { return manifest_; }
  std::uint64_t number() const noexcept { return manifest_.number; }

  /// The bytes of a file, which have the size and the sum that the manifest says.
  /// Throws: StateError if the file is not listed, missing, of another size, or damaged.
  Buffer read(std::string_view name) const {
    ManifestFile const& listed = find(name);
    auto file = open(listed);
    Buffer buffer{static_cast<std::size_t>(listed.size)};
    compare(listed, file.path(), file.read(buffer.bytes()));
    return buffer;
  }
  /// Reads every file once and keeps nothing.
  /// Throws: StateError as `read`.
  void verify() const {
    for (ManifestFile const& listed : manifest_.files) {
      auto file = open(listed);
      compare(listed, file.path(), file.sum());
    }
  }

 private:
  ManifestFile const& find(std::string_view name) const {
    ManifestFile const* listed = manifest_.find(name);
    if (listed == nullptr)
      throw StateError{"TACIT-RS65", tacit::detail::message({"has no file ", json::detail::shown(name)}), directory_,
                       "check that it is the checkpoint of this program"};
    return *listed;
  }
  typename detail::Files<F>::Input open(ManifestFile const& listed) const {
    auto file = detail::open_file_of_checkpoint(files_, directory_ + "/" + listed.name);
    if (file.size() != listed.size) {
      throw StateError{"TACIT-RS63", tacit::detail::message({"has ", file.size(), " bytes, the manifest says ", listed.size}), file.path(),
                       "use another checkpoint"};
    }
    return file;
  }
  static void compare(ManifestFile const& listed, std::string const& path, detail::Written const& found) {
    if (found.size != listed.size || found.crc != listed.crc) {
      throw StateError{"TACIT-RS64",
                       tacit::detail::message({"is damaged: ", found.size, " bytes of the sum ", detail::hex8(found.crc), ", the manifest says ",
                                               listed.size, " of ", detail::hex8(listed.crc)}),
                       path, "use another checkpoint"};
    }
  }

  mutable detail::Files<F> files_;
  std::string directory_;
  Manifest manifest_;
};

namespace detail {

/// Whether a checkpoint can be read to its last byte.
template <class F>
bool is_whole(F const& fs, std::string const& directory) {
  try {
    Checkpoint<F>{directory, fs}.verify();
    return true;
  } catch (StateError const&) {
    return false;
  }
}

}  // namespace detail

/// A checkpoint that could not be used, and why.
struct SkippedCheckpoint {
  std::string name{};
  std::string reason{};
};

/// The newest checkpoint that is whole.
template <class F>
struct FoundCheckpoint {
  Checkpoint<F> checkpoint;
  std::vector<SkippedCheckpoint> skipped{};  ///< newer ones, newest first

  /// A line for each that was skipped; empty where the newest was whole.
  std::string note() const {
    std::string text;
    for (SkippedCheckpoint const& one : skipped) text += one.name + " is skipped: " + one.reason + "\n";
    if (!text.empty()) text += std::filesystem::path{checkpoint.directory()}.filename().string() + " is used in its place\n";
    return text;
  }
};

/// The names of the checkpoints in a directory, by number, whole or not; none where the directory is missing.
template <file_system F = PosixFileSystem>
std::vector<std::string> list_checkpoints(std::filesystem::path const& root, F fs = {}) {
  detail::Files<F> files{std::move(fs)};
  std::vector<std::string> result;
  if (files.look(root.string()).kind == FileEntry::Kind::missing) return result;
  for (auto& [number, name] : detail::checkpoint_names(files, root.string())) result.push_back(std::move(name));
  return result;
}

/// The names of the checkpoints in a directory that a retention would let go, oldest first; nothing is removed.
/// Throws: ConfigError for `last` 0.
/// Cost: reads what stays by `last` and `best`, if anything would go.
template <file_system F = PosixFileSystem>
std::vector<std::string> surplus_checkpoints(std::filesystem::path const& root, Retention const& keep, F fs = {}) {
  detail::check_retention(keep);
  detail::Files<F> files{std::move(fs)};
  return detail::surplus(files, root.string(), keep, {}, [&](std::string const& name) { return detail::is_whole(files.policy(), root.string() + "/" + name); });
}

/// Finds the newest checkpoint of which every file is whole; nothing where there is none at all. Takes no lock. The newest is what
/// was committed last: a run that fell back and saved again goes on from there, not from the higher number that it left.
/// Throws: StateError if there are checkpoints and none is whole, with the reason for each.
/// Cost: reads every file of the checkpoint once.
template <file_system F = PosixFileSystem>
std::optional<FoundCheckpoint<F>> find_newest_checkpoint(std::filesystem::path const& root, F fs = {}) {
  detail::Files<F> files{fs};
  std::string const directory = root.string();
  if (files.look(directory).kind == FileEntry::Kind::missing) return std::nullopt;
  for (;;) {
    auto const names = detail::checkpoint_names(files, directory);
    if (names.empty()) return std::nullopt;
    std::vector<SkippedCheckpoint> skipped;
    for (detail::ListedCheckpoint& one : detail::newest_first(files, directory)) {
      try {
        // What is read twice may be removed in between, by a writer that saves often.
        auto checkpoint = one.manifest ? Checkpoint<F>{directory + "/" + one.name.name, std::move(*one.manifest), fs} : Checkpoint<F>{directory + "/" + one.name.name, fs};
        checkpoint.verify();
        return FoundCheckpoint<F>{std::move(checkpoint), std::move(skipped)};
      } catch (StateError const& error) {
        skipped.push_back({one.name.name, error.what()});
      }
    }
    // A writer may have removed them all meanwhile, for newer ones.
    if (detail::checkpoint_names(files, directory) != names) continue;
    std::string reasons;
    for (SkippedCheckpoint const& one : skipped) reasons += "\n  " + one.reason;
    throw StateError{"TACIT-RS61", tacit::detail::message({"none of ", skipped.size(), " checkpoints is whole:", reasons}), directory,
                     "restore one from a copy, or start anew in another directory"};
  }
}

/// Writes checkpoints into a directory: one writer at a time, all ranks of a group together.
///
/// In the directory are `checkpoint-<number>/` with files and `manifest.json`, `latest` with the name of the newest, and
/// `lock`. Names that begin with `.tmp-` are unfinished; the next writer removes its own kind of them. What `save` has returned is
/// never removed by the same call, whatever else is there; what is newer by its number and damaged is moved aside by it.
template <file_system F = PosixFileSystem, checkpoint_group Group = SingleRank>
class CheckpointWriter {
 public:
  /// Makes the directory, takes its lock and removes what an earlier process left unfinished. All ranks call it together.
  /// Throws: StateError if the directory cannot be made or another process writes there; on all ranks.
  explicit CheckpointWriter(std::filesystem::path const& root, Retention keep = {}, F fs = {}, Group group = {})
      : files_{fs}, group_{std::move(group)}, root_{trimmed(fs.absolute(root.string()))}, keep_{keep}, lock_{fs} {
    detail::check_retention(keep_);
    together([&] {
      if (group_.rank() != 0) return;
      files_.make_directories(root_);
      take_lock();
      // What else begins so belongs to programs that this lock does not keep out: save_weights into the same directory.
      for (std::string const& name : files_.list(root_)) {
        bool const mine = name.starts_with(detail::unfinished_prefix) && std::ranges::any_of(std::array{"checkpoint-", "removed-checkpoint-", "latest"}, [&](std::string_view kind) {
                            return std::string_view{name}.substr(detail::unfinished_prefix.size()).starts_with(kind);
                          });
        if (mine) detail::remove_entry(files_, root_ + "/" + name);
      }
      for (detail::ListedCheckpoint& one : detail::newest_first(files_, root_)) {
        if (!one.manifest) continue;
        newest_ = std::move(*one.manifest);
        newest_.files.clear();
        break;
      }
    });
  }
  CheckpointWriter(CheckpointWriter const&) = delete;
  CheckpointWriter& operator=(CheckpointWriter const&) = delete;

  std::string const& root() const noexcept { return root_; }
  int rank() const { return group_.rank(); }
  int world_size() const { return group_.world_size(); }

  /// Saves this rank's files as a part of checkpoint `number`, and returns when the whole of it is safe. All ranks call it
  /// together, each with file names of its own.
  /// Throws: StateError on every rank if any failed; then nothing is committed (TACIT-RS70 says that it is, but that removing
  /// old ones failed). The earlier checkpoints are as they were. StateError for a number that is unset or above 10^15.
  std::string save(Updates number, std::span<CheckpointFile const> files, std::optional<double> metric = {}) {
    std::uint64_t const wanted = detail::number_of(number);
    std::string const name = detail::checkpoint_name(wanted);
    std::string const final_path = root_ + "/" + name;
    std::string const work = root_ + "/" + std::string{detail::unfinished_prefix} + name;

    together([&] {
      if (group_.rank() != 0) return;
      if (files_.look(final_path).kind != FileEntry::Kind::missing && !set_aside(name)) {
        throw StateError{"TACIT-RS67", "exists already; a committed checkpoint is never replaced", final_path, "save under another number, or write to another directory"};
      }
      if (files_.look(work).kind != FileEntry::Kind::missing) files_.remove_tree(work);
      files_.make_directory(work);
    });

    Manifest manifest{.number = wanted, .sequence = newest_.sequence + 1, .forks = newest_.forks, .world_size = group_.world_size(), .metric = metric, .files = {}};
    if (newest_.sequence + newest_.number > 0 && wanted <= newest_.number) {
      while (!manifest.forks.empty() && manifest.forks.back().number >= wanted) manifest.forks.pop_back();
      manifest.forks.push_back({manifest.sequence, wanted});
    }
    bool renamed = false;
    bool committed = false;
    try {
      together([&] { return write_part(work, files); }, &manifest.files);
      together([&] {
        if (group_.rank() != 0) return;
        std::vector<std::string_view> names;
        for (ManifestFile const& one : manifest.files) names.push_back(one.name);
        std::ranges::sort(names);
        if (auto const twice = std::ranges::adjacent_find(names); twice != names.end()) {
          throw StateError{"TACIT-RS66", tacit::detail::message({"two files are named ", json::detail::shown(*twice)}), name,
                           "put the rank into the names of its files"};
        }
        std::string const text = manifest_text(manifest);
        detail::check_can_be_read(text, name);
        files_.write_new(work + "/" + std::string{manifest_name}, text);
        files_.sync_directory(work);
        files_.rename(work, final_path);
        renamed = true;
        files_.sync_directory(root_);
        committed = true;
      });
      note_newest(wanted, manifest);
    } catch (std::exception const&) {
      if (group_.rank() == 0 && !committed) undo(work, final_path, renamed);
      if (committed) note_newest(wanted, manifest);  // a rank failed after the commit: the checkpoint is there
      throw;
    }
    together([&] {
      if (group_.rank() != 0) return;
      try {
        point_to(name);
        leave_damaged(wanted);
        remove_surplus(name);
      } catch (StateError const& error) {
        throw StateError{"TACIT-RS70", tacit::detail::message({name, " is committed, but tidying up failed: ", error.problem()}), error.where(),
                         error.fix()};
      }
    });
    return final_path;
  }

  /// Removes what the retention lets go, without a save; gives the names on rank 0. All ranks call it together.
  /// Throws: StateError on every rank if any failed.
  std::vector<std::string> prune() {
    std::vector<std::string> gone;
    together([&] {
      if (group_.rank() == 0) gone = remove_surplus({});
    });
    return gone;
  }

 private:
  static std::string trimmed(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
  }

  /// Runs `body` on this rank and hears how it went on the others: all return or all throw.
  template <class Body>
  void together(Body&& body, std::vector<ManifestFile>* parts = nullptr) {
    std::exception_ptr mine;
    std::string text{"+"};
    try {
      if constexpr (std::same_as<decltype(body()), std::string>) {
        text += body();
      } else {
        body();
      }
    } catch (std::exception const& error) {
      mine = std::current_exception();
      text = "-" + std::string{error.what()};
    }
    std::vector<std::string> const texts = group_.gather(text);
    if (mine) std::rethrow_exception(mine);
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
      if (!texts[rank].starts_with('+')) {
        throw StateError{"TACIT-RS69", tacit::detail::message({"rank ", rank, " failed: ", texts[rank].substr(texts[rank].empty() ? 0 : 1)}), root_,
                         "see that rank's message"};
      }
      if (parts != nullptr) {
        std::string const from = "rank " + std::to_string(rank);
        json::Value const list = json::parse(std::string_view{texts[rank]}.substr(1), from);
        for (json::Reader const& entry : json::Reader{list, from}.items()) parts->push_back(detail::parse_entry(entry));
      }
    }
  }

  /// Gives a damaged checkpoint another name; false for one that is whole.
  bool set_aside(std::string const& name) {
    if (is_known_whole(name)) return false;
    try {
      Checkpoint<F>{root_ + "/" + name, files_.policy()}.verify();
      remember_whole(name);
      return false;
    } catch (StateError const& error) {
      if (error.code() == "TACIT-RS40" || error.code() == "TACIT-RS53") throw;  // not read, or of a newer version: no sign of damage
    }
    std::string aside = root_ + "/damaged-" + name;
    for (int i = 2; files_.look(aside).kind != FileEntry::Kind::missing; ++i) aside = root_ + "/damaged-" + name + "-" + std::to_string(i);
    files_.rename(root_ + "/" + name, aside);
    files_.sync_directory(root_);
    return true;
  }
  /// As `set_aside`; what cannot be read now counts as not whole and stays where it is.
  bool is_whole(std::string const& name) {
    try {
      return !set_aside(name);
    } catch (StateError const& error) {
      if (error.code() == "TACIT-RS40" || error.code() == "TACIT-RS53") return false;
      throw;
    }
  }
  /// What is newer than `number`, which was just committed, is what the run fell back from: the damaged ones are moved aside, up
  /// to the first whole one.
  void leave_damaged(std::uint64_t number) {
    auto const names = detail::checkpoint_names(files_, root_);
    if (names.back().number <= number) return;
    for (detail::ListedCheckpoint const& one : detail::newest_first(files_, root_)) {
      if (one.name.number > number && is_whole(one.name.name)) return;
    }
  }

  /// When a file of a checkpoint last changed; 0 where the file system does not say.
  std::int64_t last_change(std::string const& name) {
    std::string const directory = root_ + "/" + name + "/";
    std::int64_t latest = files_.look(directory + std::string{manifest_name}).changed;
    for (ManifestFile const& file : detail::read_manifest(files_, root_ + "/" + name).files) {
      std::int64_t const changed = files_.look(directory + file.name).changed;
      latest = changed == 0 || latest == 0 ? 0 : std::max(latest, changed);
    }
    return latest;
  }
  /// Whether a checkpoint was read before, and nothing has changed in it since.
  bool is_known_whole(std::string const& name) {
    auto const known = whole_.find(name);
    if (known == whole_.end()) return false;
    try {
      return last_change(name) == known->second;
    } catch (StateError const&) {
      return false;
    }
  }
  /// Remembered is only what did not change for two seconds: clocks of file systems are coarse.
  void remember_whole(std::string const& name) {
    std::int64_t const changed = last_change(name);
    auto const now = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    if (changed != 0 && changed + 2'000'000'000 < now) whole_[name] = changed;
  }

  std::string write_part(std::string const& work, std::span<CheckpointFile const> files) {
    std::string text{"["};
    for (CheckpointFile const& file : files) {
      if (!safetensors::is_plain_file_name(file.name) || file.name == manifest_name) {
        throw StateError{"TACIT-RS54", tacit::detail::message({json::detail::shown(file.name), " is no name of a file inside the checkpoint"}), work,
                         "give a plain name"};
      }
      detail::Written const written = files_.write_new(work + "/" + file.name, file.pieces);
      if (text.size() > 1) text += ',';
      detail::append_entry(text, {file.name, written.size, written.crc, group_.rank()});
    }
    // Each rank its own: over a network another client's sync does not cover these names.
    if (!files.empty()) files_.sync_directory(work);
    return text + "]";
  }

  void take_lock() {
    std::string holder;
    int const error = lock_.take(root_ + "/lock", holder);
    if (error == EWOULDBLOCK) {
      throw StateError{
          "TACIT-RS68",
          tacit::detail::message({"another process writes checkpoints here", (holder.empty() ? std::string{} : ": " + json::detail::shown(holder))}),
          root_, "wait for it or end it, or give this run a directory of its own"};
    }
    detail::Files<F>::check(error, "lock", root_ + "/lock");
  }

  /// What the next save counts on.
  void note_newest(std::uint64_t number, Manifest& committed) {
    newest_ = {.number = number,
               .sequence = committed.sequence,
               .forks = std::move(committed.forks),
               .world_size = 1,
               .metric = {},
               .files = {}};
  }
  /// After a failure before the commit: takes away what is there, if that can be done at all.
  void undo(std::string const& work, std::string const& final_path, bool renamed) {
    try {
      if (renamed) {
        // It must not come back under its name once files are missing in it.
        files_.rename(final_path, work);
        files_.sync_directory(root_);
      }
      if (files_.look(work).kind != FileEntry::Kind::missing) files_.remove_tree(work);
    } catch (std::exception const&) {
      // The next writer removes it. The first error is the one to tell.
    }
  }

  void point_to(std::string const& name) {
    std::string const work = root_ + "/" + std::string{detail::unfinished_prefix} + "latest";
    if (files_.look(work).kind != FileEntry::Kind::missing) files_.remove_file(work);
    try {
      files_.write_new(work, name + "\n");
      files_.rename(work, root_ + "/latest");
    } catch (StateError const&) {
      detail::remove_quietly(files_, work);
      throw;
    }
    files_.sync_directory(root_);
  }

  std::vector<std::string> remove_surplus(std::string_view written) {
    std::vector<std::string> names = detail::surplus(files_, root_, keep_, written, [this](std::string const& name) { return is_whole(name); });
    for (std::string const& name : names) {
      detail::remove_checkpoint(files_, root_, name);
      whole_.erase(name);
    }
    return names;
  }

  detail::Files<F> files_;
  Group group_;
  std::string root_;
  Retention keep_;
  Manifest newest_{};                            // what was committed last, without its files; on rank 0
  std::map<std::string, std::int64_t> whole_{};  // checkpoints that were read to their end, and when they had changed
  detail::HeldLock<F> lock_;
};

}  // namespace tacit::inline v0
