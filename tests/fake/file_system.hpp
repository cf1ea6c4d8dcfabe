#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/state/file_system.hpp"

namespace fake {

/// A disk in memory that remembers every change in order, and can tell what a power cut may leave of them.
///
/// The model is the strictest that POSIX allows: bytes of a file are safe once the file was synced, names once their directory
/// was synced; everything else may reach the disk or not, each change on its own, and the last write may be torn.
class Disk {
 public:
  struct Operation {
    enum class Kind { create, make_directory, write, rename, remove, sync, sync_directory };
    Kind kind;
    int inode = 0;          // of the file or directory that is made, written or synced
    int directory = 0;      // that holds the name
    std::string name{};
    int to_directory = 0;   // of a rename
    std::string to_name{};
    std::string data{};
  };
  struct Contents {
    std::map<int, std::string> files{};
    std::map<int, std::map<std::string, int>> directories{{0, {}}};
    std::set<int> known_directories{0};
  };

  Disk() = default;
  explicit Disk(Contents contents) : now_{std::move(contents)} {
    for (auto const& [inode, bytes] : now_.files) next_inode_ = std::max(next_inode_, inode + 1);
    for (int inode : now_.known_directories) next_inode_ = std::max(next_inode_, inode + 1);
  }

  std::vector<Operation> const& log() const { return log_; }
  Contents const& contents() const { return now_; }
  std::mutex& mutex() { return mutex_; }
  std::map<int, std::string>& locks() { return locks_; }

  /// What the log's first `count` operations leave if of those that nothing made safe only `survives(k)` do; the last write
  /// that survives is cut to `torn` bytes.
  Contents after_power_cut(std::size_t count, std::function<bool(std::size_t)> const& survives, std::size_t torn = ~std::size_t{0}) const {
    std::vector<std::size_t> const open = unsafe(count);
    std::vector<bool> applied(count, true);
    for (std::size_t k = 0; k < open.size(); ++k) applied[open[k]] = survives(k);
    std::size_t last = count;
    if (torn != ~std::size_t{0}) {
      for (std::size_t k : open) {
        if (applied[k] && log_[k].kind == Operation::Kind::write) last = k;
      }
    }
    Contents contents = start_;
    for (std::size_t i = 0; i < count; ++i) {
      if (!applied[i]) continue;
      if (i == last) {
        Operation cut = log_[i];
        cut.data.resize(std::min(cut.data.size(), torn));
        apply(contents, cut);
      } else {
        apply(contents, log_[i]);
      }
    }
    return contents;
  }
  /// The changes among the first `count` operations that a power cut may undo.
  std::vector<std::size_t> unsafe(std::size_t count) const {
    std::vector<std::size_t> result;
    std::set<int> synced;
    for (std::size_t i = count; i-- > 0;) {
      Operation const& operation = log_[i];
      using Kind = Operation::Kind;
      switch (operation.kind) {
        case Kind::sync:
        case Kind::sync_directory: synced.insert(operation.inode); break;
        case Kind::write:
          if (!synced.contains(operation.inode)) result.push_back(i);
          break;
        case Kind::rename:
          if (!synced.contains(operation.directory) && !synced.contains(operation.to_directory)) result.push_back(i);
          break;
        default:
          if (!synced.contains(operation.directory)) result.push_back(i);
      }
    }
    std::ranges::reverse(result);
    return result;
  }
  /// Forgets the log: what is there now was there before.
  void settle() {
    start_ = now_;
    log_.clear();
  }

  /// The place of a path: its directory and last name; -1 where a directory on the way is missing.
  std::pair<int, std::string> place(std::string_view path) const {
    int directory = 0;
    std::string name;
    while (!path.empty()) {
      std::size_t const slash = path.find('/');
      std::string_view const part = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
      if (part.empty() || part == ".") continue;
      if (!name.empty()) {
        directory = find(directory, name);
        if (!now_.known_directories.contains(directory)) return {-1, {}};
      }
      name = part;
    }
    return {directory, name};
  }
  int find(int directory, std::string const& name) const {
    if (name.empty()) return directory;
    auto const holder = now_.directories.find(directory);
    if (holder == now_.directories.end()) return -1;
    auto const entry = holder->second.find(name);
    return entry == holder->second.end() ? -1 : entry->second;
  }
  int new_inode() { return next_inode_++; }
  void perform(Operation operation) {
    apply(now_, operation);
    log_.push_back(std::move(operation));
  }

 private:
  static void apply(Contents& contents, Operation const& operation) {
    using Kind = Operation::Kind;
    switch (operation.kind) {
      case Kind::create:
        contents.directories[operation.directory][operation.name] = operation.inode;
        contents.files.try_emplace(operation.inode);
        break;
      case Kind::make_directory:
        contents.directories[operation.directory][operation.name] = operation.inode;
        contents.directories.try_emplace(operation.inode);
        contents.known_directories.insert(operation.inode);
        break;
      case Kind::write: contents.files[operation.inode] += operation.data; break;
      case Kind::rename: {
        auto& from = contents.directories[operation.directory];
        auto const entry = from.find(operation.name);
        if (entry == from.end()) break;  // what was to be renamed did not reach the disk
        int const inode = entry->second;
        from.erase(entry);
        contents.directories[operation.to_directory][operation.to_name] = inode;
        break;
      }
      case Kind::remove: contents.directories[operation.directory].erase(operation.name); break;
      case Kind::sync:
      case Kind::sync_directory: break;
    }
  }

  Contents start_{};
  Contents now_{};
  std::vector<Operation> log_{};
  std::map<int, std::string> locks_{};
  std::mutex mutex_{};
  int next_inode_ = 1;
};

/// What is thrown where a rank is to die; no handler for errors of the library may hold it up.
struct Death {};

/// Which call fails, and how.
struct Fault {
  std::int64_t at = -1;        // the number of the call, from 0; -1: none
  int error = 0;
  bool for_good = false;       // all later calls fail too
  bool short_write = false;    // instead of failing, a write does half
  bool death = false;          // the process ends here
  std::int64_t calls = 0;      // counted
  std::vector<std::string> log{};  // the calls' names and paths
};

/// The policy over a Disk; copies share it. Handles are numbers of files, and count as open until closed.
class FileSystem {
 public:
  explicit FileSystem(std::shared_ptr<Disk> disk, std::shared_ptr<Fault> fault = nullptr) : disk_{std::move(disk)}, fault_{std::move(fault)} {}

  Disk& disk() { return *disk_; }
  std::size_t open_handles() const { return open_->size(); }

  std::string absolute(std::string const& path) const { return path; }
  int open_new(std::string const& path, int& handle) {
    if (int const error = call("open_new", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    if (directory < 0) return ENOENT;
    if (disk_->find(directory, name) >= 0) return EEXIST;
    int const inode = disk_->new_inode();
    disk_->perform({.kind = Kind::create, .inode = inode, .directory = directory, .name = name});
    return opened(inode, handle);
  }
  int open(std::string const& path, int& handle) {
    if (int const error = call("open", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    int const inode = directory < 0 ? -1 : disk_->find(directory, name);
    if (inode < 0) return ENOENT;
    if (disk_->contents().known_directories.contains(inode)) return EINVAL;
    return opened(inode, handle);
  }
  int write(int handle, std::span<std::byte const> from, std::size_t& done) {
    done = 0;
    bool half = false;
    if (int const error = call("write", "", &half)) return error;
    std::lock_guard const guard{disk_->mutex()};
    done = half ? (from.size() + 1) / 2 : from.size();
    disk_->perform({.kind = Kind::write, .inode = open_->at(handle), .data = std::string{reinterpret_cast<char const*>(from.data()), done}});
    return 0;
  }
  int read(int handle, std::uint64_t offset, std::span<std::byte> into, std::size_t& done) {
    done = 0;
    bool half = false;
    if (int const error = call("read", "", &half)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const found = disk_->contents().files.find(open_->at(handle));
    std::string_view const data = found == disk_->contents().files.end() ? std::string_view{} : std::string_view{found->second};
    if (offset >= data.size()) return 0;
    done = std::min<std::size_t>(into.size(), data.size() - static_cast<std::size_t>(offset));
    if (half) done = (done + 1) / 2;
    std::copy_n(reinterpret_cast<std::byte const*>(data.data()) + offset, done, into.data());
    return 0;
  }
  int sync(int handle) {
    if (int const error = call("sync", "")) return error;
    std::lock_guard const guard{disk_->mutex()};
    disk_->perform({.kind = Kind::sync, .inode = open_->at(handle)});
    return 0;
  }
  int close(int handle) {
    int const error = call("close", "", nullptr, false);
    open_->erase(handle);
    return error;
  }
  int look(std::string const& path, tacit::FileEntry& entry) {
    entry = {};
    if (int const error = call("look", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    int const inode = directory < 0 ? -1 : disk_->find(directory, name);
    if (inode < 0) return 0;
    bool const is_directory = disk_->contents().known_directories.contains(inode);
    entry.kind = is_directory ? tacit::FileEntry::Kind::directory : tacit::FileEntry::Kind::file;
    auto const found = disk_->contents().files.find(inode);
    if (!is_directory && found != disk_->contents().files.end()) entry.size = found->second.size();
    return 0;
  }
  int list(std::string const& path, std::vector<std::string>& names) {
    names.clear();
    if (int const error = call("list", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    int const inode = directory < 0 ? -1 : disk_->find(directory, name);
    if (inode < 0) return ENOENT;
    if (!disk_->contents().known_directories.contains(inode)) return ENOTDIR;
    auto const entries = disk_->contents().directories.find(inode);
    if (entries != disk_->contents().directories.end()) {
      for (auto const& [entry, number] : entries->second) names.push_back(entry);
    }
    return 0;
  }
  int make_directory(std::string const& path) {
    if (int const error = call("make_directory", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    if (directory < 0) return ENOENT;
    if (disk_->find(directory, name) >= 0) return EEXIST;
    disk_->perform({.kind = Kind::make_directory, .inode = disk_->new_inode(), .directory = directory, .name = name});
    return 0;
  }
  int rename(std::string const& from, std::string const& to) {
    if (int const error = call("rename", from)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(from);
    auto const [to_directory, to_name] = disk_->place(to);
    if (directory < 0 || to_directory < 0 || disk_->find(directory, name) < 0) return ENOENT;
    int const there = disk_->find(to_directory, to_name);
    if (there >= 0 && disk_->contents().known_directories.contains(there)) return ENOTEMPTY;
    disk_->perform({.kind = Kind::rename, .directory = directory, .name = name, .to_directory = to_directory, .to_name = to_name});
    return 0;
  }
  int remove_file(std::string const& path) {
    if (int const error = call("remove_file", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    if (directory < 0 || disk_->find(directory, name) < 0) return ENOENT;
    disk_->perform({.kind = Kind::remove, .directory = directory, .name = name});
    return 0;
  }
  int remove_directory(std::string const& path) {
    if (int const error = call("remove_directory", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    int const inode = directory < 0 ? -1 : disk_->find(directory, name);
    if (inode < 0) return ENOENT;
    auto const entries = disk_->contents().directories.find(inode);
    if (entries != disk_->contents().directories.end() && !entries->second.empty()) return ENOTEMPTY;
    disk_->perform({.kind = Kind::remove, .directory = directory, .name = name});
    return 0;
  }
  int sync_directory(std::string const& path) {
    if (int const error = call("sync_directory", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    auto const [directory, name] = disk_->place(path);
    int const inode = directory < 0 ? -1 : disk_->find(directory, name);
    if (inode < 0) return ENOENT;
    disk_->perform({.kind = Kind::sync_directory, .inode = inode});
    return 0;
  }
  int lock(std::string const& path, tacit::FileLock& lock, std::string& holder) {
    if (int const error = call("lock", path)) return error;
    std::lock_guard const guard{disk_->mutex()};
    for (auto const& [handle, locked] : disk_->locks()) {
      if (locked == path) {
        holder = "this test";
        return EWOULDBLOCK;
      }
    }
    lock.handle = static_cast<int>(disk_->locks().empty() ? 0 : disk_->locks().rbegin()->first + 1);
    disk_->locks()[lock.handle] = path;
    return 0;
  }
  int unlock(tacit::FileLock& lock) {
    std::lock_guard const guard{disk_->mutex()};
    disk_->locks().erase(lock.handle);
    lock = {};
    return 0;
  }

 private:
  using Kind = Disk::Operation::Kind;

  int opened(int inode, int& handle) {
    handle = (*next_handle_)++;
    (*open_)[handle] = inode;
    return 0;
  }
  int call(std::string_view what, std::string const& path, bool* half = nullptr, bool may_die = true) {
    if (fault_ == nullptr) return 0;
    std::int64_t const number = fault_->calls++;
    fault_->log.push_back(std::string{what} + " " + path);
    bool const hit = fault_->at >= 0 && (number == fault_->at || (fault_->for_good && number > fault_->at));
    if (!hit) return 0;
    if (fault_->death) {
      if (may_die) throw Death{};
      return 0;
    }
    if (fault_->short_write) {
      if (half != nullptr) *half = true;
      return 0;
    }
    return fault_->error;
  }

  std::shared_ptr<Disk> disk_;
  std::shared_ptr<Fault> fault_;
  std::shared_ptr<std::map<int, int>> open_ = std::make_shared<std::map<int, int>>();
  std::shared_ptr<int> next_handle_ = std::make_shared<int>(3);
};

}  // namespace fake
