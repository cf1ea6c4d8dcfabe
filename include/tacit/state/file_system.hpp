#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tacit/core/error.hpp"
#include "tacit/state/crc32c.hpp"

namespace tacit::inline v0 {

/// What stands under a path; links are not followed.
struct FileEntry {
  enum class Kind { missing, file, directory, other };
  Kind kind = Kind::missing;
  std::uint64_t size = 0;
  std::int64_t changed = 0;  ///< when it last changed, in ns of the file system's clock; 0: not known
};

/// A lock that is held: a descriptor, or where locks are missing a file that names the holder.
struct FileLock {
  int handle = -1;
  std::string owner_file{};
};

/// What checkpoints ask of a file system: system calls, each giving 0 or a number of errno. Files are reached by a handle.
///
/// `write` and `read` may do a part only, and any call may answer EINTR; the caller goes on. No call follows a link in the last
/// part of its path. `rename` replaces a file, never a directory with something in it. A policy may have
/// `int size(int handle, std::uint64_t& size)` of an open file; without it a file is read once more, to count its bytes.
template <class F>
concept file_system = std::copyable<F> && requires(F& fs, std::string const& path, int& handle, std::span<std::byte const> from, std::span<std::byte> into,
                                                   std::size_t& done, FileEntry& entry, std::vector<std::string>& names, FileLock& lock, std::string& holder) {
  { fs.absolute(path) } -> std::same_as<std::string>;
  { fs.open_new(path, handle) } -> std::same_as<int>;      // for writing; EEXIST if there is something
  { fs.open(path, handle) } -> std::same_as<int>;          // for reading, regular files only
  { fs.write(handle, from, done) } -> std::same_as<int>;   // at the end
  { fs.read(handle, std::uint64_t{}, into, done) } -> std::same_as<int>;
  { fs.sync(handle) } -> std::same_as<int>;                // the file's bytes are on the disk
  { fs.close(handle) } -> std::same_as<int>;
  { fs.look(path, entry) } -> std::same_as<int>;           // also 0 where nothing stands
  { fs.list(path, names) } -> std::same_as<int>;
  { fs.make_directory(path) } -> std::same_as<int>;
  { fs.rename(path, path) } -> std::same_as<int>;
  { fs.remove_file(path) } -> std::same_as<int>;
  { fs.remove_directory(path) } -> std::same_as<int>;
  { fs.sync_directory(path) } -> std::same_as<int>;        // the directory's names are on the disk
  { fs.lock(path, lock, holder) } -> std::same_as<int>;    // EWOULDBLOCK if `holder` has it
  { fs.unlock(lock) } -> std::same_as<int>;
};

namespace detail {

/// The host, and the namespace of process numbers in which this process lives: containers may share the name of a host.
inline std::string this_host() {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '?';
  char space[64] = {};
  ::ssize_t const length = ::readlink("/proc/self/ns/pid", space, sizeof space - 1);
  return std::string{host} + (length > 0 ? " " + std::string{space, static_cast<std::size_t>(length)} : std::string{});
}
inline std::string this_process() { return this_host() + " " + std::to_string(::getpid()); }

/// Whether there is surely no process of this number in this namespace.
inline bool is_gone(long process) { return process > 0 && ::kill(static_cast<::pid_t>(process), 0) != 0 && errno == ESRCH; }

inline std::string read_small(int descriptor) {
  char text[300];
  ::ssize_t const count = ::pread(descriptor, text, sizeof text, 0);
  std::string result{text, count > 0 ? static_cast<std::size_t>(count) : 0};
  std::erase_if(result, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  return result;
}

/// The text of a file that names the holder of a lock; nothing, and a number of errno, where it cannot be read.
inline int read_owner(std::string const& path, std::string& holder) {
  int const there = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (there < 0) return errno;
  holder = read_small(there);
  ::close(there);
  return 0;
}
/// Whether a holder is a process that has surely ended: of this host and namespace, and not there. Older versions of Tacit wrote
/// no namespace.
inline bool is_gone(std::string const& holder) {
  auto const space = holder.rfind(' ');
  if (space == std::string::npos) return false;
  std::string const host = this_host();
  std::string const of = holder.substr(0, space);
  return (of == host || of == host.substr(0, host.find(' '))) && is_gone(std::strtol(holder.c_str() + space, nullptr, 10));
}

/// Creates the file that names this process as the holder; EEXIST where there is one.
inline int create_owner(std::string const& path) {
  std::string const me = this_process();
  int const made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (made < 0) return errno;
  bool const written = ::write(made, me.data(), me.size()) == static_cast<::ssize_t>(me.size());
  int const error = written ? 0 : errno == 0 ? EIO : errno;
  ::close(made);
  if (!written) ::unlink(path.c_str());
  return error;
}

/// A lock where the file system has none: a file that one process can create, with its host and process number in it. One
/// left by a process of this host that is gone is taken over.
///
/// Only who has created `path.takeover` may remove another's file, and looks again before: what it removes is then the file of
/// the dead one, and no lock that a third process has taken meanwhile.
inline int lock_by_owner_file(std::string const& path, FileLock& lock, std::string& holder) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    int error = create_owner(path);
    if (error == 0) {
      lock.owner_file = path;
      return 0;
    }
    if (error != EEXIST) return error;
    error = read_owner(path, holder);
    if (error == ENOENT) continue;
    if (error != 0) return error;
    if (!is_gone(holder)) return EWOULDBLOCK;
    std::string const takeover = path + ".takeover";
    if (int const busy = create_owner(takeover); busy != 0) return busy == EEXIST ? EWOULDBLOCK : busy;
    std::string now;
    if (read_owner(path, now) == 0 && is_gone(now)) ::unlink(path.c_str());
    error = create_owner(path);
    ::unlink(takeover.c_str());
    if (error == 0) {
      lock.owner_file = path;
      return 0;
    }
    if (error != EEXIST) return error;
  }
  return EWOULDBLOCK;
}

/// A name that no other writer gives: of this host, process and call. It does not hold the name of the file that it is for, which
/// may be as long as names can be.
inline std::string temporary_prefix(std::string_view prefix) {
  std::string const host = this_host();
  return std::string{prefix} + std::to_string(crc32c(std::as_bytes(std::span{host}))) + "-";
}
inline std::string own_temporary_name(std::string_view prefix) {
  static std::atomic<std::uint64_t> count{0};
  return temporary_prefix(prefix) + std::to_string(::getpid()) + "-" + std::to_string(count++);
}
/// Whether a name was given by `own_temporary_name` of a process of this host that has ended.
inline bool is_left_temporary(std::string_view name, std::string_view prefix) {
  std::string const before = temporary_prefix(prefix);
  return name.starts_with(before) && is_gone(std::strtol(std::string{name.substr(before.size())}.c_str(), nullptr, 10));
}

}  // namespace detail

/// The file system of the machine.
struct PosixFileSystem {
  std::string absolute(std::string const& path) const {
    std::error_code error;
    auto const full = std::filesystem::absolute(path, error);
    return error ? path : full.lexically_normal().string();
  }
  int open_new(std::string const& path, int& handle) const {
    handle = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    return handle < 0 ? errno : 0;
  }
  int open(std::string const& path, int& handle) const {
    handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);  // a pipe would wait
    if (handle < 0) return errno;
    struct ::stat facts {};
    if (::fstat(handle, &facts) == 0 && S_ISREG(facts.st_mode)) return 0;
    ::close(handle);
    handle = -1;
    return EINVAL;
  }
  int write(int handle, std::span<std::byte const> from, std::size_t& done) const {
    ::ssize_t const count = ::write(handle, from.data(), from.size());
    done = count > 0 ? static_cast<std::size_t>(count) : 0;
    return count < 0 ? errno : 0;
  }
  int read(int handle, std::uint64_t offset, std::span<std::byte> into, std::size_t& done) const {
    ::ssize_t const count = ::pread(handle, into.data(), into.size(), static_cast<::off_t>(offset));
    done = count > 0 ? static_cast<std::size_t>(count) : 0;
    return count < 0 ? errno : 0;
  }
  int size(int handle, std::uint64_t& size) const {
    struct ::stat facts {};
    if (::fstat(handle, &facts) != 0) return errno;
    size = static_cast<std::uint64_t>(facts.st_size);
    return 0;
  }
  int sync(int handle) const { return ::fsync(handle) != 0 ? errno : 0; }
  int close(int handle) const { return ::close(handle) != 0 ? errno : 0; }
  int look(std::string const& path, FileEntry& entry) const {
    entry = {};
    struct ::stat facts {};
    if (::lstat(path.c_str(), &facts) != 0) return errno == ENOENT ? 0 : errno;
    entry.kind = S_ISREG(facts.st_mode) ? FileEntry::Kind::file : S_ISDIR(facts.st_mode) ? FileEntry::Kind::directory : FileEntry::Kind::other;
    entry.size = static_cast<std::uint64_t>(facts.st_size);
    entry.changed = std::int64_t{facts.st_ctim.tv_sec} * 1'000'000'000 + facts.st_ctim.tv_nsec;  // also set by a write
    return 0;
  }
  int list(std::string const& path, std::vector<std::string>& names) const {
    names.clear();
    std::unique_ptr<::DIR, int (*)(::DIR*)> const directory{::opendir(path.c_str()), &::closedir};
    if (directory == nullptr) return errno;
    for (;;) {
      errno = 0;
      ::dirent const* const entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      std::string_view const name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    return errno;
  }
  int make_directory(std::string const& path) const { return ::mkdir(path.c_str(), 0755) != 0 ? errno : 0; }
  int rename(std::string const& from, std::string const& to) const { return ::rename(from.c_str(), to.c_str()) != 0 ? errno : 0; }
  int remove_file(std::string const& path) const { return ::unlink(path.c_str()) != 0 ? errno : 0; }
  int remove_directory(std::string const& path) const { return ::rmdir(path.c_str()) != 0 ? errno : 0; }
  int sync_directory(std::string const& path) const {
    int const handle = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) return errno;
    // File systems that cannot sync a directory answer EINVAL; nothing more can be done there.
    int const error = ::fsync(handle) != 0 && errno != EINVAL ? errno : 0;
    ::close(handle);
    return error;
  }
  int lock(std::string const& path, FileLock& lock, std::string& holder) const {
    int const handle = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (handle < 0) return errno;
    if (::flock(handle, LOCK_EX | LOCK_NB) == 0) {
      // For the message of the next one; the lock itself does not depend on it.
      std::string const me = detail::this_process() + "\n";
      if (::ftruncate(handle, 0) == 0 && ::pwrite(handle, me.data(), me.size(), 0) > 0) lock.owner_file.clear();
      lock.handle = handle;
      return 0;
    }
    int const error = errno;
    if (error == EWOULDBLOCK) holder = detail::read_small(handle);
    ::close(handle);
    bool const missing = error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
    return missing ? detail::lock_by_owner_file(path + ".owner", lock, holder) : error;
  }
  int unlock(FileLock& lock) const {
    std::string holder;
    // Not another's, where somebody removed the file by hand and it was made anew.
    if (!lock.owner_file.empty() && detail::read_owner(lock.owner_file, holder) == 0 && holder == detail::this_process()) ::unlink(lock.owner_file.c_str());
    if (lock.handle >= 0) ::close(lock.handle);  // gives flock back
    lock = {};
    return 0;
  }
};

/// Bytes of a file; not set to zero before they are read, as a vector's would be.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : bytes_{std::make_unique_for_overwrite<std::byte[]>(size)}, size_{size} {}

  std::span<std::byte> bytes() & noexcept { return {bytes_.get(), size_}; }
  std::span<std::byte const> bytes() const& noexcept { return {bytes_.get(), size_}; }
  void bytes() const&& = delete;
  std::string_view text() const& noexcept { return {reinterpret_cast<char const*>(bytes_.get()), size_}; }
  std::string text() const&& { return std::string{text()}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
};

namespace detail {

/// A lock that is given back on every path out.
template <file_system F>
class HeldLock {
 public:
  explicit HeldLock(F fs) : fs_{std::move(fs)} {}
  HeldLock(HeldLock const&) = delete;
  HeldLock& operator=(HeldLock const&) = delete;
  ~HeldLock() {
    if (held_) fs_.unlock(lock_);
  }
  int take(std::string const& path, std::string& holder) {
    int const error = fs_.lock(path, lock_, holder);
    held_ = error == 0;
    return error;
  }

 private:
  [[no_unique_address]] F fs_;
  FileLock lock_{};
  bool held_ = false;
};

/// The size and checksum of what was written.
struct Written {
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
};

/// A file system whose failures are exceptions that name operation, path and reason.
template <file_system F>
class Files {
  /// What is written, or read and summed, in one go: stays in the cache.
  static constexpr std::size_t chunk = std::size_t{1} << 20U;

  template <class Call>
  static int again(Call&& call) {
    int error = call();
    for (int attempt = 0; error == EINTR && attempt < 100; ++attempt) error = call();
    return error;
  }

  /// An open file, closed on every path.
  class Handle {
   public:
    Handle(F fs, int number) : fs_{std::move(fs)}, number_{number} {}
    Handle(Handle&& other) noexcept : fs_{other.fs_}, number_{std::exchange(other.number_, -1)} {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(fs_, other.fs_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Handle() {
      if (number_ >= 0) fs_.close(number_);
    }
    F& policy() noexcept { return fs_; }
    int number() const noexcept { return number_; }
    int close() { return fs_.close(std::exchange(number_, -1)); }

   private:
    [[no_unique_address]] F fs_;
    int number_;
  };

 public:
  explicit Files(F fs) : fs_{std::move(fs)} {}

  F const& policy() const noexcept { return fs_; }

  [[noreturn]] static void fail(std::string_view operation, std::string const& path, int error) {
    std::string const reason = error == 0 ? "nothing was done" : std::generic_category().message(error);
    std::string_view fix = "check the path and the rights, and that the disk works";
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) fix = "free space, or keep fewer checkpoints";
    if (error == ENAMETOOLONG) fix = "give a shorter path";
    if (error == EROFS || error == EACCES || error == EPERM) fix = "give a directory that this user may write to";
    if (error == EMFILE || error == ENFILE) fix = "close files, or raise the limit (ulimit -n)";
    throw StateError{"TACIT-RS40", tacit::detail::message({"cannot ", operation, ": ", reason, " (errno ", error, ")"}), path, fix};
  }
  static void check(int error, std::string_view operation, std::string const& path) {
    if (error != 0) fail(operation, path, error);
  }

  FileEntry look(std::string const& path) {
    FileEntry entry;
    check(again([&] { return fs_.look(path, entry); }), "look at", path);
    return entry;
  }
  /// Sorted.
  std::vector<std::string> list(std::string const& path) {
    std::vector<std::string> names;
    check(again([&] { return fs_.list(path, names); }), "list", path);
    std::ranges::sort(names);
    return names;
  }
  void make_directory(std::string const& path) { check(again([&] { return fs_.make_directory(path); }), "make the directory", path); }
  void rename(std::string const& from, std::string const& to) { check(again([&] { return fs_.rename(from, to); }), "rename to " + to, from); }
  void remove_file(std::string const& path) { check(again([&] { return fs_.remove_file(path); }), "remove", path); }
  void remove_directory(std::string const& path) { check(again([&] { return fs_.remove_directory(path); }), "remove the directory", path); }
  void sync_directory(std::string const& path) { check(fs_.sync_directory(path), "sync the directory", path); }

  /// A directory, made with those above it where there is none; its name is on the disk then.
  void make_directories(std::string const& path) {
    FileEntry const entry = look(path);
    if (entry.kind == FileEntry::Kind::directory) return;
    std::string const parent = std::filesystem::path{path}.parent_path().string();
    if (!parent.empty() && parent != path) make_directories(parent);
    int const error = again([&] { return fs_.make_directory(path); });
    if (error == EEXIST) {
      // Another process was faster, or it is a link to a directory; only what is neither is an error.
      std::vector<std::string> names;
      check(again([&] { return fs_.list(path, names); }), "use as a directory", path);
      return;
    }
    check(error, "make the directory", path);
    sync_directory(parent.empty() ? "." : parent);
  }

  /// Removes a directory and what is in it; follows no link.
  void remove_tree(std::string const& path) {
    for (std::string const& name : list(path)) {
      std::string const inner = path + "/" + name;
      if (look(inner).kind == FileEntry::Kind::directory) {
        remove_tree(inner);
      } else {
        remove_file(inner);
      }
    }
    remove_directory(path);
  }

  /// Writes a new file and waits until its bytes are on the disk. After a failure the file is lost, and is not tried again:
  /// the kernel may have dropped the bytes that it could not write.
  Written write_new(std::string const& path, std::span<std::span<std::byte const> const> pieces) {
    int number = -1;
    check(again([&] { return fs_.open_new(path, number); }), "create", path);
    Handle file{fs_, number};
    Written result;
    for (std::span<std::byte const> const piece : pieces) result.size += piece.size();
    auto const sum_up = [&] {
      for (std::span<std::byte const> const piece : pieces) result.crc = crc32c(piece, result.crc);
    };
    {
      // A large file is summed while it is written; where no thread is to be had, before.
      std::jthread summing;
      bool beside = result.size >= 2 * chunk;
      if (beside) {
        try {
          summing = std::jthread{sum_up};
        } catch (std::system_error const&) {
          beside = false;
        }
      }
      if (!beside) sum_up();
      for (std::span<std::byte const> piece : pieces) {
        while (!piece.empty()) {
          std::size_t done = 0;
          int const error = again([&] { return fs_.write(file.number(), piece.first(std::min(piece.size(), chunk)), done); });
          if (error != 0 || done == 0) fail("write to", path, error);
          piece = piece.subspan(done);
        }
      }
    }
    check(fs_.sync(file.number()), "sync", path);
    check(file.close(), "close", path);
    return result;
  }
  Written write_new(std::string const& path, std::string_view text) {
    std::span<std::byte const> const piece = std::as_bytes(std::span{text});
    return write_new(path, std::span{&piece, 1});
  }

  /// A file that is open for reading: its size and all its bytes come from this one handle, whatever is put under its name meanwhile.
  class Input {
   public:
    std::string const& path() const noexcept { return path_; }
    std::uint64_t size() const noexcept { return size_; }

    /// Reads from `offset` on until `into` is full or the file ends. Gives how many bytes there were, and their sum.
    Written read(std::span<std::byte> into, std::uint64_t offset = 0) {
      Written result;
      while (result.size < into.size()) {
        std::span<std::byte> const part = into.subspan(static_cast<std::size_t>(result.size), std::min(into.size() - static_cast<std::size_t>(result.size), chunk));
        std::size_t const done = read_part(part, offset + result.size);
        if (done == 0) break;
        result.crc = crc32c(part.first(done), result.crc);
        result.size += done;
      }
      return result;
    }
    /// The whole file.
    /// Throws: StateError if it became shorter since it was opened.
    Buffer read_all() {
      Buffer buffer{static_cast<std::size_t>(size_)};
      if (std::uint64_t const got = read(buffer.bytes()).size; got != size_) {
        throw StateError{"TACIT-RS43", tacit::detail::message({"had ", size_, " bytes when it was opened, and has ", got, " now"}), path_,
                         "write such a file under another name and rename it, as save_weights does"};
      }
      return buffer;
    }
    /// Reads all of it and keeps nothing.
    Written sum() {
      Buffer buffer{chunk};
      Written result;
      while (std::size_t const done = read_part(buffer.bytes(), result.size)) {
        result.crc = crc32c(buffer.bytes().first(done), result.crc);
        result.size += done;
      }
      return result;
    }

   private:
    friend class Files;
    Input(Handle handle, std::string path) : handle_{std::move(handle)}, path_{std::move(path)} {
      F& fs = handle_.policy();
      if constexpr (requires { { fs.size(0, size_) } -> std::same_as<int>; }) {
        check(again([&] { return fs.size(handle_.number(), size_); }), "look at", path_);
      } else {
        size_ = sum().size;
      }
    }
    std::size_t read_part(std::span<std::byte> part, std::uint64_t offset) {
      std::size_t done = 0;
      check(again([&] { return handle_.policy().read(handle_.number(), offset, part, done); }), "read", path_);
      return done;
    }

    Handle handle_;
    std::string path_;
    std::uint64_t size_ = 0;
  };

  /// Opens a file for reading; nothing where there is none, or no regular file, which `missing` tells apart.
  std::optional<Input> open(std::string const& path, bool& missing) {
    int number = -1;
    int const error = again([&] { return fs_.open(path, number); });
    missing = error == ENOENT || error == ENOTDIR;
    // A link, or what is no file.
    if (missing || error == ELOOP || error == EINVAL || error == ENXIO || error == EISDIR) return std::nullopt;
    check(error, "open", path);
    return Input{Handle{fs_, number}, path};
  }

 private:
  [[no_unique_address]] F fs_;
};

/// Takes a file away after a failure: the first error is the one to tell.
template <class F>
void remove_quietly(Files<F>& files, std::string const& path) noexcept {
  try {
    files.remove_file(path);
  } catch (std::exception const&) {
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
