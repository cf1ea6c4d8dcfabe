#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/state/file_system.hpp"
#include "tacit/state/module_state.hpp"
#include "tacit/state/safetensors.hpp"
#include "tacit/state/state.hpp"

/// Weights of other programs: safetensors files into a module by name, and back.
namespace tacit::inline v0 {

/// Every match of the regular expression `pattern` (ECMAScript) in a name becomes `replacement`, in which $1 is the first group.
struct Rename {
  std::string pattern{};
  std::string replacement{};
};

/// The module's tensor `name` takes what the file has as `as`, after renaming, where the file has nothing of its own name.
struct WeightAlias {
  std::string name{};
  std::string as{};
};

struct LoadWeightsOptions {
  std::vector<Rename> rename{};                 ///< of the file's names, all in this order
  std::vector<WeightAlias> alias{};
  std::vector<std::string> allow_missing{};     ///< patterns of the module's names that may keep their values
  std::vector<std::string> allow_unexpected{};  ///< patterns of the file's names, after renaming, that are passed over
  bool cast = false;                            ///< to the module's types: between floating ones, and between integers
  bool follow_links = false;                    ///< of the files of a sharded set; the path itself may always be a link
};

/// A tensor of a file and the one of the module that takes it.
struct WeightMatch {
  std::string name{};       ///< in the module
  std::string file_name{};  ///< in the file
  safetensors::Dtype dtype{};
  safetensors::Dtype file_dtype{};
  safetensors::Shape shape{};
};

/// What of a file fits a module, and what does not.
struct WeightsReport {
  std::string path{};
  std::vector<WeightMatch> matched{};
  std::vector<std::pair<std::string, std::string>> tied{};  ///< names that are one tensor of the module with another name
  std::vector<std::string> kept{};                          ///< missing in the file, as allowed
  std::vector<std::string> passed_over{};                   ///< not in the module, as allowed
  std::vector<std::string> differences{};                   ///< a line each; none of them is allowed

  bool fits() const noexcept { return differences.empty(); }
  /// A line for all that fits as it is, and one for everything else: renamed, cast, tied, kept, passed over, different.
  std::string text() const {
    std::string text = path + ": " + std::to_string(matched.size()) + " tensors fit\n";
    for (WeightMatch const& one : matched) {
      if (one.name == one.file_name && one.dtype == one.file_dtype) continue;
      text += "  " + one.name;
      if (one.name != one.file_name) text += ", in the file " + one.file_name;
      if (one.dtype != one.file_dtype) text.append(", cast from ").append(safetensors::name_of(one.file_dtype)).append(" to ").append(safetensors::name_of(one.dtype));
      text += "\n";
    }
    for (auto const& [name, other] : tied) text += "  " + name + ", tied to " + other + "\n";
    for (std::string const& name : kept) text += "  " + name + " keeps its values\n";
    for (std::string const& name : passed_over) text += "  " + name + " of the file is passed over\n";
    for (std::string const& line : differences) text += "  " + line + "\n";
    return text;
  }
};

struct SaveWeightsOptions {
  safetensors::Metadata metadata{{"format", "pt"}};  ///< what transformers asks for
  std::uint64_t max_file_bytes = 0;                  ///< 0: one file; else the path is a directory of a sharded set with an index
  bool tied_once = false;  ///< true: as safetensors' `save_model`; false: under every name, as a strict `load_state_dict` wants it
};

namespace detail {

/// The files of a path: one, or the set that an index names.
template <class F>
class WeightFiles {
 public:
  struct File {
    typename Files<F>::Input data;  // open until the end: header and bytes are of one file, whatever is renamed over it meanwhile
    safetensors::Header header;
  };

  WeightFiles(std::filesystem::path const& given, bool follow_links, F fs) : files_{std::move(fs)}, follow_{follow_links} {
    std::string name = given.string();
    // The path itself is the user's word; what stands in a directory or an index is not.
    std::string path = followed(name);
    std::optional<typename Files<F>::Input> file;
    if (files_.look(path).kind == FileEntry::Kind::directory) {
      std::string const inner = name + "/model.safetensors";
      name = inner + ".index.json";
      path = link_inside(name);
      bool missing = false;
      file = files_.open(path, missing);
      if (missing) {
        name = inner;
        path = link_inside(name);
      } else if (!file) {
        throw_no_file(path);
      }
    }
    if (!file) file = open(path);
    if (!name.ends_with(".json")) {
      add(*std::move(file));
      return;
    }
    if (file->size() > safetensors::max_header) throw_no_file(path);
    Buffer const buffer = file->read_all();
    safetensors::ShardIndex const index = safetensors::parse_index(buffer.text(), path);
    std::string const directory = std::filesystem::path{name}.parent_path().string();
    safetensors::check_index(index, path, [&](std::string const& one) {
      std::string const start = directory.empty() ? std::string{} : directory + "/";
      // A directory on the way that is a link would lead out of the set.
      for (std::size_t slash = one.find('/'); slash != std::string::npos && !follow_; slash = one.find('/', slash + 1)) {
        if (files_.look(start + one.substr(0, slash)).kind != FileEntry::Kind::directory) throw_no_file(start + one);
      }
      add(open(link_inside(start + one)));
      return all.back().header;
    });
  }

  std::vector<File> all{};

 private:
  static std::string followed(std::string const& path) {
    std::error_code error;
    std::filesystem::path const real = std::filesystem::canonical(path, error);
    return error ? path : real.string();
  }
  std::string link_inside(std::string const& path) const { return follow_ ? followed(path) : path; }

  typename Files<F>::Input open(std::string const& path) {
    bool missing = false;
    auto file = files_.open(path, missing);
    if (!file) throw_no_file(path);
    return *std::move(file);
  }
  void add(typename Files<F>::Input data) {
    Buffer first{static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), safetensors::first_bytes))};
    auto const got = static_cast<std::size_t>(data.read(first.bytes()).size);
    std::uint64_t const length = safetensors::read_header_length(first.bytes().first(got), data.size(), data.path());
    Buffer head{static_cast<std::size_t>(length)};
    if (data.read(head.bytes(), 8).size != length) throw_no_file(data.path());
    safetensors::Header header = safetensors::parse_header(head.text(), data.size(), data.path());
    all.push_back({std::move(data), std::move(header)});
  }
  [[noreturn]] static void throw_no_file(std::string const& path) {
    throw StateError{"TACIT-RS98", "is no file of weights, or cannot be read as one", path,
                     "give a .safetensors file, an index (.safetensors.index.json), or a directory with model.safetensors; a set whose files are "
                     "links, as in Hugging Face's cache, is read with .follow_links = true"};
  }

  Files<F> files_;
  bool follow_;
};

/// A pattern of the user's.
class NamePattern {
 public:
  explicit NamePattern(std::string const& text) {
    try {
      pattern_.assign(text);
    } catch (std::regex_error const& error) {
      throw StateError{"TACIT-RS99", message({json::detail::shown(text), " is no regular expression: ", error.what()}), "LoadWeightsOptions",
                       "write it as ECMAScript does; a dot that means a dot is \\\\."};
    }
  }
  bool matches(std::string const& name) const { return is_short(name) && std::regex_search(name, pattern_); }
  std::string replaced(std::string const& name, std::string const& by) const { return is_short(name) ? std::regex_replace(name, pattern_, by) : name; }

 private:
  /// The library's matcher goes as deep as a name is long, and names of files from elsewhere have any length.
  static bool is_short(std::string const& name) { return name.size() <= 1024; }

  std::regex pattern_;
};

inline bool any_matches(std::vector<NamePattern> const& patterns, std::string const& name) {
  return std::ranges::any_of(patterns, [&](NamePattern const& pattern) { return pattern.matches(name); });
}
inline std::vector<NamePattern> patterns_of(std::vector<std::string> const& texts) {
  std::vector<NamePattern> patterns;
  for (std::string const& text : texts) patterns.emplace_back(text);
  return patterns;
}

/// Whether values of one type may become the other's on request: floating ones, or whole ones.
inline bool may_cast(safetensors::Dtype from, safetensors::Dtype to) {
  auto const kind = [](safetensors::Dtype dtype) {
    std::string_view const name = safetensors::name_of(dtype);
    return name.starts_with("F") || name.starts_with("BF") ? 'f' : name.starts_with("C") ? 'c' : 'i';
  };
  return kind(from) == kind(to);
}

inline std::string described(safetensors::Dtype dtype, safetensors::Shape const& shape) {
  return std::string{safetensors::name_of(dtype)} + " " + safetensors::detail::shape_text(shape);
}

/// Which tensor of which file goes where.
struct WeightPlan {
  struct Move {
    std::size_t file;
    safetensors::TensorInfo const* info;
    std::size_t into;  // of the module's tensors
  };
  WeightsReport report{};
  std::vector<Move> moves{};
};

template <class Tensors, class F>
WeightPlan plan(Tensors const& tensors, WeightFiles<F> const& files, std::string path, LoadWeightsOptions const& options) {
  using Traits = state_tensor<std::remove_cvref_t<decltype(tensors.front().second)>>;
  struct Offered {
    std::size_t file;
    safetensors::TensorInfo const* info;
    bool used = false;
  };
  WeightPlan plan;
  WeightsReport& report = plan.report;
  report.path = std::move(path);

  std::vector<std::pair<NamePattern, std::string>> renames;
  for (Rename const& one : options.rename) renames.emplace_back(NamePattern{one.pattern}, one.replacement);
  std::map<std::string, Offered> offered;
  for (std::size_t file = 0; file < files.all.size(); ++file) {
    for (safetensors::TensorInfo const& info : files.all[file].header.tensors) {
      std::string name = info.name;
      for (auto const& [pattern, by] : renames) name = pattern.replaced(name, by);
      auto const [at, fresh] = offered.emplace(name, Offered{file, &info});
      if (!fresh) report.differences.push_back("two of the file are named " + json::detail::shown(name) + ": " + json::detail::shown(at->second.info->name) + " and " + json::detail::shown(info.name));
    }
  }

  std::map<std::string, std::string> filled;  // identity of a tensor that the file fills, and its name
  std::vector<std::size_t> without;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    auto const& [name, tensor] = tensors[i];
    auto from = offered.find(name);
    if (from == offered.end()) {
      auto const alias = std::ranges::find(options.alias, name, &WeightAlias::name);
      if (alias != options.alias.end()) from = offered.find(alias->as);
    }
    if (from == offered.end()) {
      without.push_back(i);
      continue;
    }
    from->second.used = true;
    safetensors::TensorInfo const& info = *from->second.info;
    safetensors::Dtype const dtype = placed(name, [&] { return Traits::dtype(tensor); });
    safetensors::Shape const shape = Traits::shape(tensor);
    if (info.shape != shape || (info.dtype != dtype && !(options.cast && may_cast(info.dtype, dtype)))) {
      bool const by_cast = info.shape == shape && !options.cast && may_cast(info.dtype, dtype);
      report.differences.push_back("other tensor: " + name + " is " + described(info.dtype, info.shape) + " in the file, " + described(dtype, shape) + " in the module" +
                                   (by_cast ? "; .cast = true converts it" : ""));
    } else {
      report.matched.push_back({name, info.name, dtype, info.dtype, shape});
      plan.moves.push_back({from->second.file, &info, i});
    }
    filled.emplace(Traits::identity(tensor), name);
  }
  auto const allowed_missing = patterns_of(options.allow_missing);
  for (std::size_t const i : without) {
    auto const& [name, tensor] = tensors[i];
    auto const twin = filled.find(Traits::identity(tensor));
    if (twin != filled.end() && !twin->first.empty()) {
      report.tied.emplace_back(name, twin->second);
    } else if (any_matches(allowed_missing, name)) {
      report.kept.push_back(name);
    } else {
      report.differences.push_back("missing in the file: " + name + ", " + described(Traits::dtype(tensor), Traits::shape(tensor)));
    }
  }
  auto const allowed_unexpected = patterns_of(options.allow_unexpected);
  for (auto const& [name, one] : offered) {
    if (one.used) continue;
    std::string const shown = json::detail::shown(name);
    if (any_matches(allowed_unexpected, name)) {
      report.passed_over.push_back(shown.substr(1, shown.size() - 2));
    } else {
      report.differences.push_back("not in the module: " + shown.substr(1, shown.size() - 2) + ", " + described(one.info->dtype, one.info->shape));
    }
  }
  return plan;
}

[[noreturn]] inline void throw_differences(WeightsReport const& report) {
  std::size_t const count = report.differences.size();
  std::string list;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, 20); ++i) list += "\n  " + report.differences[i];
  if (count > 20) list += "\n  and " + std::to_string(count - 20) + " more";
  throw StateError{"TACIT-RS97", message({"does not fit the module, ", count, (count == 1 ? " difference:" : " differences:"), list, "\n"}), report.path,
                   "rename, allow what may differ, or take another file; plan_weights(...).text() shows all"};
}

}  // namespace detail

/// In their place where the header that says how the module's tensors are saved is not included.
template <class Model, file_system F = PosixFileSystem>
  requires(!detail::saved_tensor<detail::tensor_of_model<Model>>)
WeightsReport plan_weights(std::filesystem::path const&, Model&, LoadWeightsOptions const& = {}, F = {}) {
  detail::report(bad<misuse::ES15, detail::tensor_of_model<Model>>{});
  return {};
}
template <class Model, file_system F = PosixFileSystem>
  requires(!detail::saved_tensor<detail::tensor_of_model<Model>>)
WeightsReport load_weights(std::filesystem::path const&, Model&, LoadWeightsOptions const& = {}, F = {}) {
  detail::report(bad<misuse::ES15, detail::tensor_of_model<Model>>{});
  return {};
}
template <class Model, file_system F = PosixFileSystem>
  requires(!detail::saved_tensor<detail::tensor_of_model<Model>>)
void save_weights(std::filesystem::path const&, Model&, SaveWeightsOptions const& = {}, F = {}) {
  detail::report(bad<misuse::ES15, detail::tensor_of_model<Model>>{});
}

/// What `load_weights` would do: reads the headers of the files and changes nothing.
/// Throws: StateError for files that are no safetensors files, or damaged.
/// Example: std::cout << plan_weights("model.safetensors", *net, {.rename = {{"^backbone\\.", ""}}}).text();
template <class Model, file_system F = PosixFileSystem>
WeightsReport plan_weights(std::filesystem::path const& path, Model& model, LoadWeightsOptions const& options = {}, F fs = {}) {
  auto const tensors = detail::named_tensors(model);
  detail::WeightFiles<F> const files{path, options.follow_links, std::move(fs)};
  return detail::plan(tensors, files, path.string(), options).report;
}

/// Puts the tensors of a safetensors file, or of a sharded set, into the module's parameters and buffers of their names, all
/// of them or, where anything does not fit, none.
///
/// `path` is a file, an index, or a directory with `model.safetensors` or its index. Tied tensors may be there under one of
/// their names. Cost: memory for the files, and once more for what is cast.
/// Throws: StateError as `plan_weights`, and (TACIT-RS97) with all differences at once, the first 20 printed.
/// Example: load_weights("resnet18.safetensors", *net, {.allow_missing = {"^head\\."}, .allow_unexpected = {"^fc\\."}});
template <class Model, file_system F = PosixFileSystem>
WeightsReport load_weights(std::filesystem::path const& path, Model& model, LoadWeightsOptions const& options = {}, F fs = {}) {
  using Tensor = detail::tensor_of_model<Model>;
  using Traits = state_tensor<Tensor>;
  auto tensors = detail::named_tensors(model);
  detail::WeightFiles<F> files{path, options.follow_links, std::move(fs)};
  detail::WeightPlan plan = detail::plan(tensors, files, path.string(), options);
  if (!plan.report.fits()) detail::throw_differences(plan.report);

  std::vector<Buffer> buffers;  // staged tensors borrow of them
  std::vector<std::pair<Tensor*, Tensor>> staged;
  std::map<std::string, std::pair<std::string, std::uint64_t>> taken;  // identity: name and hash of what a tied tensor takes
  for (std::size_t file = 0; file < files.all.size(); ++file) {
    Buffer const& buffer = buffers.emplace_back(files.all[file].data.read_all());
    for (auto const& move : plan.moves) {
      if (move.file != file) continue;
      auto& [name, tensor] = tensors[move.into];
      auto const bytes = safetensors::tensor_bytes(buffer.bytes(), files.all[file].header, *move.info, files.all[file].data.path());
      std::string const identity = Traits::identity(tensor);
      HashingVisitor hash;
      if (!identity.empty()) {
        hash("", std::string_view{reinterpret_cast<char const*>(bytes.data()), bytes.size()});
        auto const [known, fresh] = taken.emplace(identity, std::pair{name, hash.hash()});
        if (!fresh && known->second.second != hash.hash()) {
          plan.report.differences.push_back("tied tensors: " + known->second.first + " and " + name + " are one in the module, in the file they have other values");
          continue;
        }
      }
      staged.emplace_back(&tensor, detail::placed(name, [&] {
                            Tensor made = detail::to_write_into(tensor, move.info->dtype, move.info->shape, bytes);
                            safetensors::Dtype const dtype = Traits::dtype(tensor);
                            return dtype == move.info->dtype ? made : Traits::cast(made, dtype);
                          }));
    }
  }
  if (!plan.report.fits()) detail::throw_differences(plan.report);
  for (auto& [into, made] : staged) Traits::commit(*into, std::move(made));
  return std::move(plan.report);
}

/// Writes a module's parameters and buffers as Python's `save_file(module.state_dict(), path, {"format": "pt"})` of
/// safetensors.torch does, byte for byte; with `tied_once` as its `save_model`. A file of that name is replaced once the new one is safe.
/// Several processes may save one name: it is the file of one of them, whole.
/// Throws: StateError if it cannot be written; what was there before is as it was. Of a sharded set the index comes last; a set that
/// is written over another of the same names is replaced file by file.
/// Example: save_weights("model.safetensors", *net);
template <class Model, file_system F = PosixFileSystem>
void save_weights(std::filesystem::path const& path, Model& model, SaveWeightsOptions const& options = {}, F fs = {}) {
  using Traits = state_tensor<detail::tensor_of_model<Model>>;
  auto const tensors = detail::named_tensors(model);
  std::vector<Buffer> copies;
  std::vector<safetensors::TensorView> views;
  safetensors::Metadata metadata = options.metadata;
  std::map<std::string, std::string> first;  // of the names of one tensor
  for (auto const& [name, tensor] : tensors) {
    std::string& known = first[Traits::identity(tensor)];
    if (known.empty() || name < known) known = name;
  }
  for (auto const& [name, tensor] : tensors) {
    std::string const identity = Traits::identity(tensor);
    if (options.tied_once && !identity.empty() && first[identity] != name) {
      metadata.emplace(name, first[identity]);
      continue;
    }
    safetensors::TensorView view = detail::placed(name, [&] { return safetensors::TensorView{name, Traits::dtype(tensor), Traits::shape(tensor), {}}; });
    if (auto const borrowed = Traits::borrow(tensor)) {
      view.bytes = *borrowed;
    } else {
      copies.emplace_back(static_cast<std::size_t>(safetensors::bytes_of(view.dtype, view.shape).value_or(0)));
      Traits::copy_to(tensor, copies.back().bytes());
      view.bytes = copies.back().bytes();
    }
    views.push_back(std::move(view));
  }

  detail::Files<F> files{std::move(fs)};
  bool const sharded = options.max_file_bytes != 0;
  std::filesystem::path const parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
  std::string const directory = (sharded ? path : parent).string();
  if (sharded) files.make_directories(directory);
  constexpr std::string_view prefix = ".tmp-weights-";
  struct Written {
    std::string work;  // where it lies until it is renamed; a name of this call's own, for others may save the same file
    std::string name;
  };
  std::vector<Written> written;
  auto const write = [&](std::string const& name, std::span<std::span<std::byte const> const> pieces) {
    std::string work;
    do {
      work = directory + "/" + detail::own_temporary_name(prefix);
    } while (files.look(work).kind != FileEntry::Kind::missing);
    written.push_back({work, name});
    files.write_new(work, pieces);
  };
  auto const write_part = [&](std::string const& name, std::span<safetensors::TensorView const> part) {
    safetensors::Layout const layout = safetensors::lay_out(part, metadata);
    std::vector<std::span<std::byte const>> pieces{std::as_bytes(std::span{layout.head})};
    for (std::size_t const i : layout.order) pieces.push_back(part[i].bytes);
    write(name, pieces);
  };
  try {
    if (!sharded) {
      write_part(path.filename().string(), views);
    } else {
      safetensors::Shards const shards = safetensors::shard(views, options.max_file_bytes);
      for (std::size_t i = 0; i < shards.names.size(); ++i) write_part(shards.names[i], shards.tensors[i]);
      if (!shards.index.empty()) {
        std::span<std::byte const> const text = std::as_bytes(std::span{shards.index});
        write("model.safetensors.index.json", std::span{&text, 1});
      }
    }
    for (Written& one : written) {
      files.rename(one.work, directory + "/" + one.name);
      one.work.clear();
    }
  } catch (std::exception const&) {
    for (Written const& one : written) {
      if (!one.work.empty()) detail::remove_quietly(files, one.work);
    }
    throw;
  }
  if (sharded && written.size() == 1) {
    std::string const old_index = directory + "/model.safetensors.index.json";
    if (files.look(old_index).kind != FileEntry::Kind::missing) files.remove_file(old_index);
  }
  files.sync_directory(directory);
  // What programs of this host that were killed have left.
  try {
    for (std::string const& name : files.list(directory)) {
      if (detail::is_left_temporary(name, prefix)) detail::remove_quietly(files, directory + "/" + name);
    }
  } catch (StateError const&) {
    // It is saved; a directory that may not be listed is no failure.
  }
}

}  // namespace tacit::inline v0
