// Power cuts on real file systems: an image is mounted, checkpoints are saved on it, and the file system's own shutdown call drops
// everything that no sync has made safe, at any instant. After the next mount every acknowledged checkpoint must be there.

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <new>
#include <random>
#include <span>
#include <string>
#include <thread>

#include <csignal>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "tacit/state/checkpoint.hpp"

namespace {

namespace fs = std::filesystem;

/// The machine's file system, in which no byte and no name is ever made safe.
struct UnsafeFileSystem : tacit::PosixFileSystem {
  int sync(int) const { return 0; }
  int sync_directory(std::string const&) const { return 0; }
};

bool run(std::string const& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

/// An image of a file system that is mounted, cut off and mounted again.
class Disk {
 public:
  Disk(std::string const& type, std::uint64_t size) : type_{type} {
    fs::remove_all(root_);
    fs::create_directories(mount_point());
    std::ofstream{image()}.close();
    fs::resize_file(image(), size);
    if (::geteuid() != 0) SKIP("only root can mount " << type);
    if (!run("mkfs." + type + " -q " + image())) SKIP("no mkfs." << type << " that works (apt: e2fsprogs xfsprogs)");
    if (!mount()) SKIP("cannot mount an image of " << type << " here");
  }
  Disk(Disk const&) = delete;
  Disk& operator=(Disk const&) = delete;
  ~Disk() {
    if (mounted_) run("umount -l " + mount_point().string());
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  fs::path mount_point() const { return root_ / "disk"; }
  bool mount() { return mounted_ = run("mount -t " + type_ + " -o loop " + image() + " " + mount_point().string()); }
  bool unmount() {
    mounted_ = !run("umount " + mount_point().string());
    return !mounted_;
  }
  /// The power goes: nothing is written any more, not even the journal.
  int cut() const {
    constexpr unsigned long shutdown_call = _IOR('X', 125, std::uint32_t);  // FS_IOC_SHUTDOWN
    std::uint32_t without_flushing_the_log = 2;
    int const handle = ::open(mount_point().c_str(), O_RDONLY | O_DIRECTORY);
    int const result = handle < 0 || ::ioctl(handle, shutdown_call, &without_flushing_the_log) != 0 ? errno : 0;
    if (handle >= 0) ::close(handle);
    return result;
  }

 private:
  std::string image() const { return (root_ / "image").string(); }

  std::string type_;
  fs::path root_ = fs::temp_directory_path() / ("tacit-power-" + std::to_string(::getpid()));
  bool mounted_ = false;
};

template <class FileSystem>
void save(tacit::CheckpointWriter<FileSystem>& writer, std::int64_t number) {
  std::string const model(20'000, static_cast<char>(number));
  std::string const state(300, static_cast<char>(number + 1));
  tacit::CheckpointFile const files[] = {{"model", {std::as_bytes(std::span{model})}}, {"state", {std::as_bytes(std::span{state})}}};
  writer.save(number, files);
}

struct Counts {
  int cuts = 0;
  int inside_a_save = 0;
  int lost = 0;
  std::int64_t acknowledged = 0;
};

/// What child and parent see of each other.
struct Shared {
  std::atomic<std::int64_t> acknowledged{0};
  std::atomic<std::int64_t> begun{0};
};

/// Cuts the power `cuts` times, every other time after a save has returned, else at any instant of a process that saves on and on.
template <class FileSystem>
Counts cut_power(std::string const& type, std::uint64_t size, int cuts) {
  Disk disk{type, size};
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto* const shared = new (memory) Shared;
  auto const seed = std::random_device{}();
  CAPTURE(type, seed);
  std::mt19937 draw{seed};
  fs::path const directory = disk.mount_point() / "checkpoints";
  Counts counts;
  std::int64_t next = 1;
  for (; counts.cuts < cuts; ++counts.cuts) {
    bool const anywhere = counts.cuts % 2 == 1;
    shared->begun = next;
    shared->acknowledged = next - 1;
    ::pid_t const child = ::fork();
    if (child == 0) {
      try {
        tacit::CheckpointWriter<FileSystem> writer{directory, {.last = 3}};
        for (std::int64_t number = next; anywhere || number == next; ++number) {
          shared->begun = number;
          save(writer, number);
          shared->acknowledged = number;
        }
        ::_exit(0);
      } catch (std::exception const&) {
        ::_exit(1);  // the power is gone
      }
    }
    int status = 0;
    if (anywhere) {
      std::this_thread::sleep_for(std::chrono::microseconds{draw() % 20'000});
    } else {
      REQUIRE(::waitpid(child, &status, 0) == child);
      REQUIRE(status == 0);
    }
    int const cut = disk.cut();
    std::int64_t const acknowledged = shared->acknowledged;
    if (anywhere) {
      ::kill(child, SIGKILL);
      REQUIRE(::waitpid(child, &status, 0) == child);
    }
    if (cut != 0) SKIP(type << " has no call that cuts it off: " << std::strerror(cut));
    counts.inside_a_save += shared->begun > acknowledged ? 1 : 0;
    counts.acknowledged += acknowledged - (next - 1);
    REQUIRE(disk.unmount());
    REQUIRE(disk.mount());

    std::int64_t newest = 0;
    try {
      if (auto const found = tacit::find_newest_checkpoint(directory)) newest = static_cast<std::int64_t>(found->checkpoint.number());
    } catch (tacit::StateError const&) {
      // There are some, and none is whole.
    }
    if (newest < acknowledged) {
      ++counts.lost;
      fs::remove_all(directory);
    }
    next = std::max(newest, acknowledged) + 1;
  }
  ::munmap(memory, sizeof(Shared));
  REQUIRE(disk.unmount());
  return counts;
}

void check(std::string const& type, std::uint64_t size) {
  Counts const safe = cut_power<tacit::PosixFileSystem>(type, size, 100);
  std::printf("%s: %d power cuts, %d of them inside a save; %lld checkpoints acknowledged, %d cuts that lost one\n", type.c_str(), safe.cuts, safe.inside_a_save,
              static_cast<long long>(safe.acknowledged), safe.lost);
  REQUIRE(safe.lost == 0);
  REQUIRE(safe.inside_a_save > 20);
  // The test of the test.
  Counts const unsafe = cut_power<UnsafeFileSystem>(type, size, 10);
  std::printf("%s without a sync: %d power cuts, %d of them lost a checkpoint\n", type.c_str(), unsafe.cuts, unsafe.lost);
  REQUIRE(unsafe.lost > 0);
}

}  // namespace

TEST_CASE("100 power cuts on ext4 lose no acknowledged checkpoint", "[long]") { check("ext4", std::uint64_t{32} << 20U); }
TEST_CASE("100 power cuts on xfs lose no acknowledged checkpoint", "[long]") { check("xfs", std::uint64_t{320} << 20U); }
