// A program that looks at checkpoints: list, show, verify, diff, prune. It needs no LibTorch.
// needs: no LibTorch
// name: tacit-checkpoint
// test: --help
// expect: ^usage: tacit-checkpoint

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tacit/state/state.hpp>

namespace fs = std::filesystem;
namespace st = tacit::safetensors;
namespace json = tacit::json;

namespace {

constexpr char const* help =
    "usage: tacit-checkpoint COMMAND ...\n"
    "\n"
    "  list DIRECTORY [--quick]   the checkpoints of a directory, by number; --quick reads manifests only\n"
    "  show PATH                  what a checkpoint, or a .safetensors file, holds\n"
    "  verify PATH                reads every byte and compares it with its sum\n"
    "  diff PATH PATH             what differs between two checkpoints or files\n"
    "  prune DIRECTORY [--last N] [--best N [--higher]] [--every N] [--dry-run]\n"
    "                             removes what these rules do not keep; the newest always stays,\n"
    "                             and so does a higher number that a later run left behind\n"
    "\n"
    "PATH is a checkpoint, or a directory of checkpoints, of which the newest whole one is taken.\n"
    "\n"
    "exit status: 0 all is well, or equal; 1 damaged, or different; 2 used wrongly; 3 cannot be read or written\n";

struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// --- text -------------------------------------------------------------------------------------------------------------------

std::string human_size(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double size = static_cast<double>(bytes);
  char const* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  for (size /= 1024.0; size >= 1024.0 && unit < 5; ++unit) size /= 1024.0;
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << size << " " << units[unit];
  return text.str();
}
std::string number_text(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return text.str();
}
/// Text of a file made fit for a terminal, and short.
std::string shortened(std::string const& text, std::size_t most = 60) {
  std::string clean;
  for (char const c : text) clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (clean.size() <= most) return clean;
  std::size_t end = most - 3;
  while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xc0U) == 0x80U) --end;  // not inside a character
  return clean.substr(0, end) + "...";
}
std::string time_text(fs::path const& path) {
  std::error_code error;
  auto const written = fs::last_write_time(path, error);
  if (error) return "?";
  std::time_t const seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(std::chrono::file_clock::to_sys(written)));
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

/// Rows with aligned columns; the last one is as long as it is. `right` says which columns hold numbers.
void print_table(std::vector<std::vector<std::string>> const& rows, std::vector<bool> const& right) {
  std::vector<std::size_t> widths(right.size(), 0);
  for (auto const& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (auto const& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string const space(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (right[i] ? space + row[i] : row[i] + space);
    }
    while (line.ends_with(' ')) line.pop_back();
    std::cout << line << "\n";
  }
}

// --- tensors ----------------------------------------------------------------------------------------------------------------

double half_value(std::uint16_t bits) {
  int const exponent = (bits >> 10U) & 0x1f;
  double const fraction = bits & 0x3ffU;
  double const sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) return fraction == 0.0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return sign * std::ldexp(1024.0 + fraction, exponent - 25);
}
template <class T>
T read_as(std::span<std::byte const> bytes, std::size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}
/// The number at place i; nothing for types that are not one number each in whole bytes.
std::optional<double> number_at(st::Dtype dtype, std::span<std::byte const> bytes, std::size_t i) {
  switch (dtype) {
    case st::Dtype::boolean: case st::Dtype::u8: return read_as<std::uint8_t>(bytes, i);
    case st::Dtype::i8: return read_as<std::int8_t>(bytes, i);
    case st::Dtype::i16: return read_as<std::int16_t>(bytes, i);
    case st::Dtype::u16: return read_as<std::uint16_t>(bytes, i);
    case st::Dtype::i32: return read_as<std::int32_t>(bytes, i);
    case st::Dtype::u32: return read_as<std::uint32_t>(bytes, i);
    case st::Dtype::i64: return static_cast<double>(read_as<std::int64_t>(bytes, i));
    case st::Dtype::u64: return static_cast<double>(read_as<std::uint64_t>(bytes, i));
    case st::Dtype::f16: return half_value(read_as<std::uint16_t>(bytes, i));
    case st::Dtype::bf16: {
      std::uint32_t const wide = std::uint32_t{read_as<std::uint16_t>(bytes, i)} << 16U;
      float value = 0.0F;
      std::memcpy(&value, &wide, 4);
      return value;
    }
    case st::Dtype::f32: return read_as<float>(bytes, i);
    case st::Dtype::f64: return read_as<double>(bytes, i);
    default: return std::nullopt;
  }
}

struct Tensor {
  st::Dtype dtype{};
  st::Shape shape{};
  std::span<std::byte const> bytes{};

  std::size_t count() const { return bytes.size() * 8 / st::bits_of(dtype); }
  std::string kind() const { return std::string{st::name_of(dtype)} + " " + st::detail::shape_text(shape); }
  /// Smallest, largest and mean of the finite elements, and how many are not finite.
  std::string statistics() const {
    std::size_t finite = 0;
    std::size_t nans = 0;
    std::size_t infinite = 0;
    double least = 0.0;
    double most = 0.0;
    double mean = 0.0;
    for (std::size_t i = 0; i < count(); ++i) {
      auto const value = number_at(dtype, bytes, i);
      if (!value) return {};
      if (std::isnan(*value)) {
        ++nans;
      } else if (std::isinf(*value)) {
        ++infinite;
      } else {
        least = finite == 0 ? *value : std::min(least, *value);
        most = finite == 0 ? *value : std::max(most, *value);
        ++finite;
        mean += (*value - mean) / static_cast<double>(finite);
      }
    }
    std::string text;
    if (finite == 1) {
      text = number_text(mean);
    } else if (finite > 1) {
      text = number_text(least) + " to " + number_text(most) + ", mean " + number_text(mean);
    }
    if (nans != 0) text += (text.empty() ? "" : ", ") + std::to_string(nans) + " NaN";
    if (infinite != 0) text += (text.empty() ? "" : ", ") + std::to_string(infinite) + " infinite";
    return text;
  }
};

/// In which way two tensors differ; empty where they are equal to the last bit.
std::string difference(Tensor const& a, Tensor const& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return a.kind() + " against " + b.kind();
  if (std::ranges::equal(a.bytes, b.bytes)) return {};
  std::size_t differing = 0;
  double largest = 0.0;
  bool numbers = true;
  std::size_t const size = st::bits_of(a.dtype) / 8;
  for (std::size_t i = 0; size != 0 && i < a.count(); ++i) {
    if (std::memcmp(a.bytes.data() + i * size, b.bytes.data() + i * size, size) == 0) continue;
    ++differing;
    auto const x = number_at(a.dtype, a.bytes, i);
    auto const y = number_at(b.dtype, b.bytes, i);
    numbers = numbers && x && y;
    if (numbers && !(std::abs(*x - *y) <= largest)) largest = std::abs(*x - *y);
  }
  if (size == 0) return "other bytes";
  return std::to_string(differing) + " of " + std::to_string(a.count()) + " elements differ" + (numbers ? ", by " + number_text(largest) + " at most" : "");
}

// --- what a checkpoint or a file holds --------------------------------------------------------------------------------------

/// Everything by name: values as text, and tensors.
struct Content {
  std::string path{};
  std::string title{};
  std::map<std::string, std::string> values{};
  std::map<std::string, Tensor> tensors{};
  std::vector<tacit::Buffer> buffers{};
};

void add_tensors(Content& content, tacit::Buffer buffer, std::string const& file, std::string const& prefix) {
  content.buffers.push_back(std::move(buffer));
  std::span<std::byte const> const bytes = std::as_const(content.buffers.back()).bytes();
  st::Header const header = st::parse(bytes, file);
  for (st::TensorInfo const& info : header.tensors) {
    content.tensors[prefix + info.name] = {info.dtype, info.shape, st::tensor_bytes(bytes, header, info, file)};
  }
  for (auto const& [key, value] : header.metadata) content.values["metadata." + key] = value;
}

void add_members(Content& content, json::Value const& members, std::string const& path) {
  auto const* object = members.get<json::Value::Object>();
  if (object == nullptr) return;
  for (json::Member const& member : *object) {
    json::Value const* const value = member.value.find("value");
    json::Value const* const type = member.value.find("type");
    if (value == nullptr || type == nullptr || type->get<std::string>() == nullptr) continue;
    std::string const name = path + "." + member.key;
    if (*type->get<std::string>() == "object") {
      add_members(content, *value, name);
      continue;
    }
    auto const* shared = *type->get<std::string>() == "tensor" ? value->get<std::string>() : nullptr;
    if (shared != nullptr && *shared == name) continue;  // the tensor itself says more
    std::string text;
    if (shared != nullptr) {
      text = "the tensor " + *shared;
    } else {
      json::append(text, *value);
    }
    content.values[name] = text;
  }
}

Content read_checkpoint(tacit::Checkpoint<> const& checkpoint) {
  Content content{.path = checkpoint.directory()};
  tacit::Manifest const& manifest = checkpoint.manifest();
  std::uint64_t size = 0;
  for (tacit::ManifestFile const& file : manifest.files) size += file.size;
  content.title = content.path + ": update " + std::to_string(manifest.number) + ", " + std::to_string(manifest.files.size()) + " files, " + human_size(size) +
                  (manifest.world_size > 1 ? ", " + std::to_string(manifest.world_size) + " ranks" : "") +
                  (manifest.metric ? ", metric " + number_text(*manifest.metric) : "") + ", saved " + time_text(content.path);
  for (tacit::ManifestFile const& file : manifest.files) {
    std::string const prefix = manifest.world_size > 1 ? "rank " + std::to_string(file.rank) + ": " : "";
    std::string const path = content.path + "/" + file.name;
    if (file.name.ends_with(".safetensors")) {
      add_tensors(content, checkpoint.read(file.name), path, prefix);
    } else if (file.name.ends_with(".json")) {
      tacit::Buffer const text = checkpoint.read(file.name);
      json::Value const root = json::parse(text.text(), path, json::limits_of(text.text()));
      json::Reader const reader{root, path};
      for (json::Member const& part : reader["parts"].object()) {
        content.values[prefix + part.key + " (version)"] = std::to_string(reader["parts"][part.key]["version"].whole());
        if (json::Value const* members = part.value.find("members")) add_members(content, *members, prefix + part.key);
      }
    } else {
      content.values[prefix + "file " + file.name] = human_size(file.size);
    }
  }
  return content;
}

tacit::Checkpoint<> open_checkpoint(fs::path const& path) {
  if (fs::exists(path / tacit::manifest_name) || !fs::is_directory(path)) return tacit::Checkpoint<>{path};
  auto found = tacit::find_newest_checkpoint(path);
  if (!found) throw tacit::StateError{"TACIT-RS60", "holds no checkpoint", path.string(), "give a checkpoint, or a directory of checkpoints"};
  std::cerr << found->note();
  return std::move(found->checkpoint);
}

Content read_content(fs::path const& path) {
  if (!fs::exists(path)) throw tacit::StateError{"TACIT-RS60", "does not exist", path.string(), "check the path"};
  if (!fs::is_regular_file(path)) return read_checkpoint(open_checkpoint(path));
  Content content{.path = path.string()};
  std::ifstream file{path, std::ios::binary};
  std::string const text{std::istreambuf_iterator<char>{file}, {}};
  tacit::Buffer buffer{text.size()};
  if (!text.empty()) std::memcpy(buffer.bytes().data(), text.data(), text.size());
  content.title = content.path + ": " + human_size(text.size());
  add_tensors(content, std::move(buffer), content.path, "");
  return content;
}

// --- commands ---------------------------------------------------------------------------------------------------------------

using Arguments = std::vector<std::string>;

/// Takes a flag out of the arguments.
bool flag(Arguments& arguments, std::string const& name) {
  auto const at = std::ranges::find(arguments, name);
  if (at == arguments.end()) return false;
  arguments.erase(at);
  return true;
}
std::optional<std::int64_t> number(Arguments& arguments, std::string const& name) {
  auto const at = std::ranges::find(arguments, name);
  if (at == arguments.end()) return std::nullopt;
  auto const value = std::next(at);
  bool const digits = value != arguments.end() && !value->empty() && value->size() < 19 && value->find_first_not_of("0123456789") == std::string::npos;
  if (!digits) throw usage_error{name + " needs a whole number"};
  std::int64_t const result = std::stoll(*value);
  arguments.erase(at, std::next(value));
  return result;
}
std::vector<fs::path> paths(Arguments const& arguments, std::size_t count, std::string const& command) {
  for (std::string const& one : arguments) {
    if (one.starts_with("--")) throw usage_error{command + " knows no " + one};
  }
  if (arguments.size() != count) throw usage_error{command + " takes " + (count == 1 ? "one path" : std::to_string(count) + " paths")};
  return {arguments.begin(), arguments.end()};
}
fs::path directory_of(fs::path const& path) {
  if (!fs::is_directory(path)) throw tacit::StateError{"TACIT-RS60", "is no directory", path.string(), "give a directory of checkpoints"};
  return path;
}

int list(Arguments arguments) {
  bool const quick = flag(arguments, "--quick");
  fs::path const root = directory_of(paths(arguments, 1, "list")[0]);
  std::string latest;
  std::ifstream{root / "latest"} >> latest;
  std::vector<std::vector<std::string>> rows{{"update", "saved", "size", "ranks", "metric", ""}};
  bool good = true;
  for (std::string const& name : tacit::list_checkpoints(root)) {
    std::string state = name == latest ? "latest" : "";
    std::vector<std::string> row{std::to_string(std::stoull(name.substr(name.rfind('-') + 1))), time_text(root / name), "", "", "", ""};
    try {
      tacit::Checkpoint<> const checkpoint{root / name};
      std::uint64_t size = 0;
      for (auto const& file : checkpoint.manifest().files) size += file.size;
      row[2] = human_size(size);
      row[3] = std::to_string(checkpoint.manifest().world_size);
      row[4] = checkpoint.manifest().metric ? number_text(*checkpoint.manifest().metric) : "-";
      if (!quick) checkpoint.verify();
    } catch (tacit::StateError const& error) {
      good = false;
      state += (state.empty() ? "" : ", ") + std::string{"DAMAGED: "} + error.what();
    }
    row[5] = state;
    rows.push_back(std::move(row));
  }
  if (rows.size() == 1) {
    std::cout << "no checkpoints in " << root.string() << "\n";
  } else {
    print_table(rows, {true, false, true, true, true, false});
  }
  for (auto const& entry : fs::directory_iterator{root}) {
    std::string const name = entry.path().filename().string();
    if (name.starts_with(".tmp-")) std::cout << name << " is unfinished: the next writer removes it\n";
    if (name.starts_with("damaged-")) std::cout << name << " was moved aside by a writer\n";
  }
  return good ? 0 : 1;
}

int show(Arguments const& arguments) {
  Content const content = read_content(paths(arguments, 1, "show")[0]);
  std::cout << content.title << "\n";
  if (!content.values.empty()) std::cout << "\n";
  std::vector<std::vector<std::string>> rows;
  for (auto const& [name, value] : content.values) rows.push_back({shortened(name, 100), shortened(value)});
  print_table(rows, {false, false});
  rows.clear();
  std::uint64_t total = 0;
  for (auto const& [name, tensor] : content.tensors) {
    rows.push_back({shortened(name, 100), std::string{st::name_of(tensor.dtype)}, st::detail::shape_text(tensor.shape), tensor.statistics()});
    total += tensor.bytes.size();
  }
  std::cout << "\n" << rows.size() << (rows.size() == 1 ? " tensor, " : " tensors, ") << human_size(total) << "\n";
  print_table(rows, {false, false, false, false});
  return 0;
}

int verify(Arguments const& arguments) {
  fs::path const path = paths(arguments, 1, "verify")[0];
  std::vector<fs::path> all{path};
  if (fs::is_directory(path) && !fs::exists(path / tacit::manifest_name)) {
    all.clear();
    for (std::string const& name : tacit::list_checkpoints(path)) all.push_back(path / name);
    if (all.empty()) throw tacit::StateError{"TACIT-RS60", "holds no checkpoint", path.string(), "give a checkpoint, or a directory of checkpoints"};
  }
  bool good = true;
  for (fs::path const& one : all) {
    try {
      if (fs::is_regular_file(one)) {
        read_content(one);
        std::cout << one.string() << ": a whole safetensors file, without a sum to compare\n";
      } else {
        tacit::Checkpoint<> const checkpoint{one};
        checkpoint.verify();
        std::cout << one.string() << ": whole, " << checkpoint.manifest().files.size() << " files\n";
      }
    } catch (tacit::StateError const& error) {
      if (error.code() == "TACIT-RS40" || error.code() == "TACIT-RS60") throw;
      good = false;
      std::cout << one.string() << ": DAMAGED: " << error.what() << "\n";
    }
  }
  return good ? 0 : 1;
}

int diff(Arguments const& arguments) {
  auto const both = paths(arguments, 2, "diff");
  Content const a = read_content(both[0]);
  Content const b = read_content(both[1]);
  std::vector<std::vector<std::string>> rows;
  auto const compare = [&](auto const& left, auto const& right, auto const& difference_of) {
    for (auto const& [name, value] : left) {
      auto const other = right.find(name);
      std::string const text = other == right.end() ? "only in " + a.path : difference_of(value, other->second);
      if (!text.empty()) rows.push_back({shortened(name, 100), text});
    }
    for (auto const& [name, value] : right) {
      if (!left.contains(name)) rows.push_back({shortened(name, 100), "only in " + b.path});
    }
  };
  compare(a.values, b.values, [](std::string const& x, std::string const& y) { return x == y ? std::string{} : shortened(x, 40) + " against " + shortened(y, 40); });
  compare(a.tensors, b.tensors, difference);
  if (rows.empty()) {
    std::cout << "equal: " << a.values.size() << " values, " << a.tensors.size() << " tensors\n";
    return 0;
  }
  print_table(rows, {false, false});
  std::cout << rows.size() << (rows.size() == 1 ? " difference" : " differences") << " in " << std::max(a.values.size(), b.values.size()) << " values and "
            << std::max(a.tensors.size(), b.tensors.size()) << " tensors\n";
  return 1;
}

int prune(Arguments arguments) {
  bool const dry_run = flag(arguments, "--dry-run");
  tacit::Retention keep;
  keep.higher_is_better = flag(arguments, "--higher");
  auto const last = number(arguments, "--last");
  auto const best = number(arguments, "--best");
  auto const every = number(arguments, "--every");
  fs::path const root = directory_of(paths(arguments, 1, "prune")[0]);
  if (!last && !best && !every) throw usage_error{"prune needs --last, --best or --every"};
  if (last) keep.last = tacit::Checkpoints{*last};
  if (best) keep.best = tacit::Checkpoints{*best};
  if (every) keep.every = tacit::Updates{*every};
  if (keep.higher_is_better && !best) throw usage_error{"--higher says what --best means"};
  std::vector<std::string> gone;
  if (dry_run) {
    gone = tacit::surplus_checkpoints(root, keep);
  } else {
    tacit::CheckpointWriter<> writer{root, keep};  // takes the lock: nobody saves meanwhile
    gone = writer.prune();
  }
  for (std::string const& name : gone) std::cout << name << (dry_run ? " would be removed\n" : " removed\n");
  std::cout << tacit::list_checkpoints(root).size() - (dry_run ? gone.size() : 0) << (dry_run ? " would stay\n" : " stay\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  Arguments arguments{argv + 1, argv + argc};
  if (arguments.empty()) throw usage_error{"a command is missing"};
  if (arguments[0] == "--help" || arguments[0] == "help") {
    std::cout << help;
    return 0;
  }
  std::string const command = arguments[0];
  arguments.erase(arguments.begin());
  int status = 0;
  if (command == "list") status = list(arguments);
  else if (command == "show") status = show(arguments);
  else if (command == "verify") status = verify(arguments);
  else if (command == "diff") status = diff(arguments);
  else if (command == "prune") status = prune(arguments);
  else throw usage_error{"there is no command " + command};
  std::cout.flush();
  if (!std::cout) throw std::runtime_error{"the output cannot be written"};
  return status;
} catch (usage_error const& error) {
  std::cerr << "tacit-checkpoint: " << error.what() << "\n\n" << help;
  return 2;
} catch (tacit::ConfigError const& error) {
  std::cerr << "tacit-checkpoint: " << error.what() << "\n";
  return 2;
} catch (std::exception const& error) {
  std::cerr << "tacit-checkpoint: " << error.what() << "\n";
  return 3;
}
