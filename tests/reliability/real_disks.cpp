// Eight real scenes in which a disk refuses: the error names path, operation and reason, and the checkpoint of before still loads.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <csignal>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/state/checkpoint.hpp"

namespace {

using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

/// An empty folder, unmounted and removed on every path out.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("tacit-disks-" + std::to_string(::getpid()));
  bool mounted = false;

  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
    fs::permissions(path, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec | fs::perms::group_read | fs::perms::others_read);
  }
  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;
  ~Folder() {
    if (mounted) ::umount(path.c_str());
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  void mount(char const* options) {
    if (::mount("tmpfs", path.c_str(), "tmpfs", 0, options) != 0) SKIP("cannot mount a tmpfs: " << std::strerror(errno) << " (wanted: root)");
    mounted = true;
  }
};

template <class Writer>
void save(Writer& writer, std::int64_t number, std::size_t size) {
  std::string const bytes(size, static_cast<char>('a' + number));
  tacit::CheckpointFile file{"data", {std::as_bytes(std::span{bytes})}};
  writer.save(number, std::span{&file, 1});
}
std::string error_of(std::function<void()> const& body) {
  try {
    body();
  } catch (tacit::StateError const& error) {
    return error.what();
  } catch (std::exception const& error) {
    return std::string{"another error: "} + error.what();
  }
  return "no error";
}
/// What `body` throws in a process of its own, whose limits and user it may change.
std::string error_in_child(std::function<void()> const& body) {
  int pipes[2];
  REQUIRE(::pipe(pipes) == 0);
  ::pid_t const child = ::fork();
  if (child == 0) {
    std::string const text = error_of(body);
    ::ssize_t const done = ::write(pipes[1], text.data(), text.size());
    ::_exit(done == static_cast<::ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(pipes[1]);
  std::string text(4000, '\0');
  ::ssize_t const got = ::read(pipes[0], text.data(), text.size());
  ::close(pipes[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  text.resize(static_cast<std::size_t>(got < 0 ? 0 : got));
  return text;
}
void check_first_is_there(fs::path const& directory) {
  auto const found = tacit::find_newest_checkpoint(directory);
  REQUIRE(found.has_value());
  REQUIRE(found->checkpoint.number() == 1);
  REQUIRE(found->skipped.empty());
}

}  // namespace

TEST_CASE("a full disk") {
  Folder folder;
  folder.mount("size=256k");
  {
    tacit::CheckpointWriter writer{folder.path};
    save(writer, 1, 50'000);
    std::string const error = error_of([&] { save(writer, 2, 500'000); });
    REQUIRE_THAT(error, ContainsSubstring("TACIT-RS40") && ContainsSubstring("write to") && ContainsSubstring("checkpoint-0000000002/data") && ContainsSubstring("No space left on device"));
    check_first_is_there(folder.path);
    save(writer, 3, 50'000);  // what the failed one took is free again
  }
  REQUIRE(tacit::list_checkpoints(folder.path).size() == 2);
}

TEST_CASE("a disk that became read-only") {
  Folder folder;
  folder.mount("size=256k");
  std::string error;
  {
    tacit::CheckpointWriter writer{folder.path};
    save(writer, 1, 1000);
  }
  REQUIRE(::mount("tmpfs", folder.path.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=256k") == 0);
  error = error_of([&] { tacit::CheckpointWriter writer{folder.path}; });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS40") && ContainsSubstring("Read-only file system") && ContainsSubstring(folder.path.string()));
  check_first_is_there(folder.path);  // readers ask for nothing that writes
}

TEST_CASE("a directory of somebody else") {
  if (::geteuid() != 0) SKIP("only root can become somebody else");
  Folder const folder;
  {
    tacit::CheckpointWriter writer{folder.path};
    save(writer, 1, 1000);
  }
  fs::permissions(folder.path / "lock", fs::perms::owner_read | fs::perms::owner_write);
  auto const as_nobody = [&](std::function<void()> const& body) {
    return error_in_child([&] {
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) throw std::runtime_error{"setuid"};
      body();
    });
  };
  REQUIRE_THAT(as_nobody([&] { tacit::CheckpointWriter writer{folder.path}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("Permission denied") && ContainsSubstring(folder.path.string()));
  REQUIRE_THAT(as_nobody([&] { tacit::CheckpointWriter writer{folder.path / "inner"}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("Permission denied") && ContainsSubstring("inner"));
  check_first_is_there(folder.path);
}

TEST_CASE("a limit on the size of files") {
  Folder const folder;
  tacit::CheckpointWriter writer{folder.path};
  save(writer, 1, 1000);
  std::string const error = error_in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    ::rlimit const limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    save(writer, 2, 300'000);
  });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS40") && ContainsSubstring("write to") && ContainsSubstring("File too large"));
  check_first_is_there(folder.path);
}

TEST_CASE("a limit on open files") {
  Folder const folder;
  tacit::CheckpointWriter writer{folder.path};
  save(writer, 1, 1000);
  std::string const error = error_in_child([&] {
    ::rlimit const limit{3, 3};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    save(writer, 2, 1000);
  });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS40") && ContainsSubstring("Too many open files"));
  check_first_is_there(folder.path);
}

TEST_CASE("a name that is too long") {
  Folder const folder;
  REQUIRE_THAT(error_of([&] { tacit::CheckpointWriter writer{folder.path / std::string(300, 'x')}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("File name too long"));
  std::string deep = folder.path.string();
  for (int i = 0; i < 30; ++i) deep += "/" + std::string(200, 'y');
  REQUIRE_THAT(error_of([&] { tacit::CheckpointWriter writer{deep}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("File name too long"));
  tacit::CheckpointWriter writer{folder.path / "name with spaces, \xc3\xa4\xe6\x97\xa5 and \"quotes\""};
  save(writer, 1, 1000);
  check_first_is_there(writer.root());
}

TEST_CASE("a path that is a file") {
  Folder const folder;
  std::fclose(std::fopen((folder.path / "file").c_str(), "w"));
  for (fs::path const& path : {folder.path / "file", folder.path / "file/inner"}) {
    REQUIRE_THAT(error_of([&] { tacit::CheckpointWriter writer{path}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("file") &&
                                                                              (ContainsSubstring("Not a directory") || ContainsSubstring("File exists")));
  }
}

TEST_CASE("a path that is a link to nowhere") {
  Folder const folder;
  fs::create_symlink(folder.path / "nowhere", folder.path / "link");
  REQUIRE_THAT(error_of([&] { tacit::CheckpointWriter writer{folder.path / "link"}; }), ContainsSubstring("TACIT-RS40") && ContainsSubstring("link"));
  REQUIRE_FALSE(fs::exists(folder.path / "nowhere"));
}
