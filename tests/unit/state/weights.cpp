// needs: libtorch
// Weights of Python programs into a module and back. The golden files are those of weights_golden.py: torch 2.11.0, safetensors 0.8.0.

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/state/checkpoint.hpp"
#include "tacit/state/torch/tensor.hpp"
#include "tacit/state/weights.hpp"

namespace weights_tests {
namespace {

using Catch::Matchers::ContainsSubstring;
using at::Tensor;
namespace fs = std::filesystem;

fs::path const golden = fs::path{TACIT_TESTS_DIRECTORY} / "unit/state/weights";

struct Tied : torch::nn::Module {
  explicit Tied(Tensor const& shared) : weight{register_parameter("weight", shared)} {}
  Tensor weight;
};
struct Net : torch::nn::Module {
  torch::nn::Conv2d conv{register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 3, 2)))};
  torch::nn::BatchNorm2d norm{register_module("norm", torch::nn::BatchNorm2d(3))};
  torch::nn::Linear body{register_module("body", torch::nn::Linear(6, 4))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
  std::shared_ptr<Tied> twin{register_module("twin", std::make_shared<Tied>(head->weight))};
};

/// What weights_golden.py writes into a tensor of that name.
Tensor wanted(std::string const& name, Tensor const& like) {
  if (!like.is_floating_point()) return torch::full_like(like, 7);
  return (torch::arange(like.numel()) * 0.25 + static_cast<double>(name.starts_with("head") ? std::string_view{"twin.weight"}.size() : name.size())).reshape(like.sizes());
}
void check_all(Net& net) {
  for (auto const& [name, tensor] : tacit::detail::named_tensors(net)) {
    CAPTURE(name);
    REQUIRE(tensor.equal(wanted(name, tensor)));
  }
}

std::string bytes_of(fs::path const& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// An empty folder for a test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("tacit-weights-" + std::to_string(::getpid()));
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
};
template <class Body>
std::string error_of(Body const& body) {
  try {
    body();
  } catch (tacit::StateError const& error) {
    return error.what();
  }
  return "no error";
}
std::uint64_t hash_of(Net& net) { return tacit::state_hash(tacit::ModuleState{net}); }

tacit::LoadWeightsOptions const from_half{.rename = {{"^backbone\\.", ""}}, .allow_unexpected = {"^fc\\."}, .cast = true};

}  // namespace

TEST_CASE("weights that Python wrote are loaded by name, and written back byte for byte") {
  Net net;
  void const* const data = net.body->weight.data_ptr();
  tacit::WeightsReport const report = tacit::load_weights(golden / "model.safetensors", net);
  check_all(net);
  REQUIRE(report.matched.size() == 11);
  REQUIRE(net.body->weight.data_ptr() == data);
  REQUIRE(net.body->weight.requires_grad());

  Folder const folder;
  tacit::save_weights(folder.path / "model.safetensors", net);
  REQUIRE((bytes_of(folder.path / "model.safetensors") == bytes_of(golden / "model.safetensors")));
  tacit::save_weights(folder.path / "tied.safetensors", net, {.metadata = {}, .tied_once = true});
  REQUIRE((bytes_of(folder.path / "tied.safetensors") == bytes_of(golden / "tied_once.safetensors")));
  // Strides are the module's affair.
  net.conv->weight.set_data(net.conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  tacit::save_weights(folder.path / "model.safetensors", net);
  REQUIRE((bytes_of(folder.path / "model.safetensors") == bytes_of(golden / "model.safetensors")));
  REQUIRE(std::distance(fs::directory_iterator{folder.path}, {}) == 2);
}

TEST_CASE("a tied tensor may be there under one of its names") {
  Net net;
  tacit::WeightsReport const report = tacit::load_weights(golden / "tied_once.safetensors", net);
  check_all(net);
  REQUIRE(report.tied == std::vector<std::pair<std::string, std::string>>{{"twin.weight", "head.weight"}});

  SECTION("two values for one tensor are a difference") {
    Tensor const a = torch::zeros({4, 4});
    Tensor const b = torch::ones({4, 4});
    struct Apart : torch::nn::Module {
      torch::nn::Linear head{register_module("head", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
      torch::nn::Linear twin{register_module("twin", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
    } apart;
    struct Together : torch::nn::Module {
      torch::nn::Linear head{register_module("head", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
      std::shared_ptr<Tied> twin{register_module("twin", std::make_shared<Tied>(head->weight))};
    } together;
    Folder const folder;
    tacit::save_weights(folder.path / "apart.safetensors", apart);
    auto const before = tacit::state_hash(tacit::ModuleState{together});
    REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path / "apart.safetensors", together); }),
                 ContainsSubstring("TACIT-RS97") && ContainsSubstring("tied tensors: head.weight and twin.weight are one in the module"));
    REQUIRE(tacit::state_hash(tacit::ModuleState{together}) == before);
  }
  SECTION("an alias fills a tensor that is not tied here") {
    struct Untied : torch::nn::Module {
      torch::nn::Linear head{register_module("head", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
      torch::nn::Linear other{register_module("other", torch::nn::Linear(torch::nn::LinearOptions(4, 4).bias(false)))};
    } untied;
    tacit::load_weights(golden / "tied_once.safetensors", untied, {.alias = {{"other.weight", "head.weight"}}, .allow_unexpected = {"^(conv|norm|body)\\."}});
    REQUIRE(untied.other->weight.equal(wanted("head.weight", untied.head->weight)));
    REQUIRE_FALSE(untied.other->weight.is_same(untied.head->weight));
  }
}

TEST_CASE("names are changed, types cast and tensors passed over as asked; a dry run says so") {
  Net net;
  auto const before = hash_of(net);
  std::string const text = tacit::plan_weights(golden / "half.safetensors", net, from_half).text();
  REQUIRE(hash_of(net) == before);
  REQUIRE_THAT(text, ContainsSubstring("half.safetensors: 10 tensors fit\n") && ContainsSubstring("  conv.weight, in the file backbone.conv.weight, cast from F16 to F32\n") &&
                         ContainsSubstring("  norm.num_batches_tracked, in the file backbone.norm.num_batches_tracked\n") && ContainsSubstring("  twin.weight, tied to head.weight\n") &&
                         ContainsSubstring("  fc.weight of the file is passed over\n"));
  tacit::WeightsReport const report = tacit::load_weights(golden / "half.safetensors", net, from_half);
  REQUIRE(report.text() == text);
  check_all(net);
}

TEST_CASE("what does not fit is listed at once, and nothing is changed") {
  Net net;
  auto const before = hash_of(net);
  std::string const error = error_of([&] { tacit::load_weights(golden / "half.safetensors", net); });
  REQUIRE_THAT(error, ContainsSubstring("TACIT-RS97") && ContainsSubstring("22 differences") && ContainsSubstring("missing in the file: body.bias, F32 [4]") && ContainsSubstring("and 2 more"));
  std::string const types = error_of([&] { tacit::load_weights(golden / "half.safetensors", net, {.rename = {{"^backbone\\.", ""}}}); });
  REQUIRE_THAT(types, ContainsSubstring("other tensor: conv.weight is F16 [3, 2, 2, 2] in the file, F32 [3, 2, 2, 2] in the module; .cast = true converts it") &&
                          ContainsSubstring("not in the module: fc.weight, F16 [10, 4]"));
  // Renamed into one: neither is taken silently.
  std::string const clash = error_of([&] { tacit::load_weights(golden / "model.safetensors", net, {.rename = {{"^(conv|norm)\\.weight", "x.weight"}}}); });
  REQUIRE_THAT(clash, ContainsSubstring("two of the file are named \"x.weight\": \"conv.weight\" and \"norm.weight\"") || ContainsSubstring("\"norm.weight\" and \"conv.weight\""));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(golden / "model.safetensors", net, {.rename = {{"(", ""}}}); }), ContainsSubstring("TACIT-RS99"));
  REQUIRE(hash_of(net) == before);

  // Whole numbers do not become fractions silently, nor fractions whole numbers.
  Folder const folder;
  net.norm->running_mean.set_data(torch::zeros({3}, torch::kLong));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(golden / "model.safetensors", net, {.cast = true}); }),
               ContainsSubstring("other tensor: norm.running_mean is F32 [3] in the file, I64 [3] in the module"));
}

TEST_CASE("missing tensors keep their values where that is allowed") {
  struct More : Net {
    torch::nn::Linear extra{register_module("extra", torch::nn::Linear(4, 2))};
  } net;
  Tensor const before = net.extra->weight.clone();
  REQUIRE_THAT(error_of([&] { tacit::load_weights(golden / "model.safetensors", net); }), ContainsSubstring("2 differences") && ContainsSubstring("missing in the file: extra.weight"));
  tacit::WeightsReport const report = tacit::load_weights(golden / "model.safetensors", net, {.allow_missing = {"^extra\\."}});
  REQUIRE(report.kept == std::vector<std::string>{"extra.weight", "extra.bias"});
  REQUIRE(net.extra->weight.equal(before));
}

TEST_CASE("sharded sets are written and read, by directory and by index") {
  Net net;
  tacit::load_weights(golden / "model.safetensors", net);
  Folder const folder;
  tacit::save_weights(folder.path / "set", net, {.max_file_bytes = 200});
  REQUIRE(fs::exists(folder.path / "set/model-00001-of-00003.safetensors"));
  for (fs::path const& path : {folder.path / "set", folder.path / "set/model.safetensors.index.json"}) {
    Net other;
    REQUIRE(tacit::load_weights(path, other).matched.size() == 11);
    check_all(other);
  }
  // Smaller again: no index of the old set stays to be read in its place.
  tacit::save_weights(folder.path / "set", net, {.max_file_bytes = 1U << 20U});
  REQUIRE_FALSE(fs::exists(folder.path / "set/model.safetensors.index.json"));
  Net other;
  tacit::load_weights(folder.path / "set", other);
  check_all(other);
}

TEST_CASE("links: the path may be one; files of a set only where that is asked for") {
  Net net;
  tacit::load_weights(golden / "model.safetensors", net);
  Folder const folder;
  tacit::save_weights(folder.path / "blobs", net, {.max_file_bytes = 200});
  fs::create_directories(folder.path / "snapshot");
  for (auto const& entry : fs::directory_iterator{folder.path / "blobs"}) fs::create_symlink(entry.path(), folder.path / "snapshot" / entry.path().filename());
  fs::create_symlink(golden / "model.safetensors", folder.path / "one");
  Net other;
  tacit::load_weights(folder.path / "one", other);
  check_all(other);
  REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path / "snapshot", other); }), ContainsSubstring("TACIT-RS98") && ContainsSubstring(".follow_links = true"));
  Net third;
  tacit::load_weights(folder.path / "snapshot", third, {.follow_links = true});
  check_all(third);
  Net fourth;
  tacit::load_weights(folder.path / "snapshot/model.safetensors.index.json", fourth, {.follow_links = true});
  check_all(fourth);
}

TEST_CASE("files that are no weights are refused with the way out") {
  Net net;
  Folder const folder;
  auto const before = hash_of(net);
  auto const write = [&](std::string const& name, std::string const& bytes) {
    std::ofstream{folder.path / name, std::ios::binary} << bytes;
    return folder.path / name;
  };
  REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path / "nowhere.safetensors", net); }), ContainsSubstring("TACIT-RS98"));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path, net); }), ContainsSubstring("TACIT-RS98"));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(write("model.pt", std::string("PK\x03\x04", 4) + std::string(60, 'x')), net); }),
               ContainsSubstring("TACIT-RS10") && ContainsSubstring("weights_only=True"));
  std::string whole = bytes_of(golden / "model.safetensors");
  REQUIRE_THAT(error_of([&] { tacit::load_weights(write("cut.safetensors", whole.substr(0, whole.size() - 1)), net); }), ContainsSubstring("TACIT-RS26"));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(write("x.index.json", R"({"weight_map": {"a": "../model.safetensors"}})"), net); }), ContainsSubstring("TACIT-RS35"));
  // A name as long as a header allows, under patterns that the library's matcher would follow to any depth.
  std::string const name(200'000, 'a');
  tacit::safetensors::TensorView const view{name, tacit::safetensors::Dtype::u8, {0}, {}};
  fs::path const long_name = write("long.safetensors", tacit::safetensors::serialize(std::span{&view, 1}));
  REQUIRE_THAT(error_of([&] { tacit::load_weights(long_name, net, {.rename = {{"(a|b)*c", ""}}, .allow_missing = {".*"}}); }), ContainsSubstring("TACIT-RS97") && ContainsSubstring("not in the module: aaa"));
  REQUIRE(hash_of(net) == before);
}

TEST_CASE("a failed save leaves the file of before") {
  Net net;
  Folder const folder;
  tacit::save_weights(folder.path / "model.safetensors", net);
  std::string const before = bytes_of(folder.path / "model.safetensors");
  net.norm->running_mean.set_data(torch::zeros({3}, torch::kComplexDouble));
  REQUIRE_THAT(error_of([&] { tacit::save_weights(folder.path / "model.safetensors", net); }), ContainsSubstring("[TACIT-RS91] norm.running_mean"));
  REQUIRE((bytes_of(folder.path / "model.safetensors") == before));
  Net other;
  REQUIRE_THAT(error_of([&] { tacit::save_weights(folder.path / "missing/model.safetensors", other); }), ContainsSubstring("TACIT-RS40"));
}

namespace {

/// A module of one buffer.
struct Holder : torch::nn::Module {
  explicit Holder(Tensor const& tensor) { register_buffer("held", tensor); }
  Tensor held() { return named_buffers()["held"]; }
};
/// A tensor of every kind of strides, with the values 1, 2, 3 where each element has a place of its own.
std::vector<std::pair<std::string, Tensor>> strided_tensors() {
  Tensor const t = torch::arange(24.0).reshape({2, 3, 4}) + 1;
  return {{"plain", t.clone()},
          {"transposed", t.clone().transpose(0, 2)},
          {"every second", t.clone().slice(2, 0, 4, 2)},
          {"channels last", torch::rand({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast)},
          {"expanded", torch::ones({1, 3}).expand({4, 3})},
          {"a scalar, expanded", torch::ones({1}).expand({4})},
          {"expanded in the middle", torch::rand({2, 1, 3}).expand({2, 5, 3})},
          {"expanded and transposed", torch::rand({2, 1, 3}).expand({2, 5, 3}).transpose(0, 2)},
          {"overlapping windows", torch::arange(6.0).as_strided({4, 3}, {1, 1})},
          {"empty", torch::empty({0, 3})},
          {"empty, expanded", torch::empty({1, 0}).expand({4, 0})},
          {"no dimension", torch::tensor(3.0)},
          {"with an offset", t.clone().select(0, 1)},
          {"conjugated", torch::view_as_complex(torch::rand({3, 2})).conj()},
          {"bools, expanded", torch::ones({1}, torch::kBool).expand({4})}};
}

}  // namespace

TEST_CASE("C20, F1: what was saved can be loaded, whatever its strides, and the commit does not throw") {
  Folder const folder;
  for (auto const& [name, tensor] : strided_tensors()) {
    CAPTURE(name);
    Holder holder{tensor};
    Tensor const before = tensor.clone();
    fs::path const file = folder.path / "one.safetensors";
    REQUIRE_NOTHROW(tacit::save_weights(file, holder));
    if (tensor.numel() != 0) tacit::detail::each_once(tensor).zero_();
    REQUIRE_NOTHROW(tacit::load_weights(file, holder));
    REQUIRE(holder.held().equal(before));
    REQUIRE(holder.held().strides() == tensor.strides());  // its memory is what it was
    REQUIRE(holder.held().data_ptr() == tensor.data_ptr());

    // The same through checkpoints.
    tacit::ModuleState state{holder};
    tacit::SavedState const saved = tacit::snapshot_state(state);
    if (tensor.numel() != 0) tacit::detail::each_once(tensor).zero_();
    std::string bytes = saved.layout.head;
    for (std::size_t const i : saved.layout.order) bytes.append(reinterpret_cast<char const*>(saved.tensors[i].view.bytes.data()), saved.tensors[i].view.bytes.size());
    tacit::stage_state(saved.text, "t", std::as_bytes(std::span{bytes}), "b", {}, state).commit();
    REQUIRE(holder.held().equal(before));
  }
}

TEST_CASE("C20, F1: a tensor that cannot take what the file has is named before anything changes") {
  Folder const folder;
  fs::path const file = folder.path / "one.safetensors";
  struct Two : torch::nn::Module {
    Two(Tensor const& first, Tensor const& held) {
      register_parameter("first", first);
      register_buffer("held", held);
    }
  };
  auto const refused = [&](Tensor const& saved, Tensor const& held) {
    Two from{torch::ones({2}), saved};
    Two into{torch::zeros({2}), held};
    tacit::save_weights(file, from);
    std::string const error = error_of([&] { tacit::load_weights(file, into); });
    REQUIRE(into.parameters()[0].equal(torch::zeros({2})));
    return error;
  };
  REQUIRE_THAT(refused(torch::arange(4.0), torch::ones({1}).expand({4})), ContainsSubstring("[TACIT-RS46] held"));
  REQUIRE_THAT(refused(torch::rand({4, 3}), torch::arange(6.0).as_strided({4, 3}, {1, 1})), ContainsSubstring("[TACIT-RS46] held"));
  Tensor inference;
  {
    c10::InferenceMode const mode;
    inference = torch::ones({4});
  }
  REQUIRE_THAT(refused(torch::rand({4}), inference), ContainsSubstring("[TACIT-RS93] held"));
  REQUIRE_THAT(refused(torch::rand({4}), torch::empty({4}, torch::kMeta)), ContainsSubstring("[TACIT-RS45] held"));
  REQUIRE_THAT(refused(torch::rand({4}), at::_efficientzerotensor({4}, torch::kFloat)), ContainsSubstring("[TACIT-RS45] held"));
  Tensor freed = torch::ones({4});
  freed.storage().unsafeGetStorageImpl()->set_nbytes(0);
  REQUIRE_THAT(refused(torch::rand({4}), freed), ContainsSubstring("[TACIT-RS45] held"));
  REQUIRE_THAT(refused(torch::rand({4}), torch::ones({4}).to_sparse()), ContainsSubstring("[TACIT-RS91] held"));
  // What is not there cannot be saved either, and is no exception of LibTorch.
  Holder meta{torch::empty({4}, torch::kMeta)};
  REQUIRE_THAT(error_of([&] { tacit::save_weights(file, meta); }), ContainsSubstring("[TACIT-RS45] held"));
}

namespace {

/// Another program saves over the file before the n-th call that names it.
struct Between : tacit::PosixFileSystem {
  fs::path from{}, to{};
  int* left = nullptr;

  void step() const {
    if (left != nullptr && (*left)-- == 0) fs::rename(from, to);
  }
  int look(std::string const& path, tacit::FileEntry& entry) const {
    step();
    return tacit::PosixFileSystem::look(path, entry);
  }
  int open(std::string const& path, int& handle) const {
    step();
    return tacit::PosixFileSystem::open(path, handle);
  }
  int read(int handle, std::uint64_t offset, std::span<std::byte> into, std::size_t& done) const {
    step();
    return tacit::PosixFileSystem::read(handle, offset, into, done);
  }
  int size(int handle, std::uint64_t& size) const {
    step();
    return tacit::PosixFileSystem::size(handle, size);
  }
};

}  // namespace

TEST_CASE("C9: a file that is replaced while it is loaded is the old one or the new one") {
  Folder const folder;
  Holder ones{torch::ones({40})};
  Holder twos{torch::full({40}, 2.0)};
  int seen_old = 0;
  int seen_new = 0;
  for (int call = 0; call < 20; ++call) {
    CAPTURE(call);
    fs::path const file = folder.path / "model.safetensors";
    tacit::save_weights(file, ones);
    tacit::save_weights(folder.path / "next", twos, {.metadata = {{"a longer", "header"}}});
    int left = call;
    Between between;
    between.from = folder.path / "next";
    between.to = file;
    between.left = &left;
    Holder into{torch::zeros({40})};
    tacit::load_weights(file, into, {}, between);
    bool const old = into.held().equal(ones.held());
    REQUIRE((old || into.held().equal(twos.held())));
    (old ? seen_old : seen_new) += 1;
  }
  REQUIRE(seen_old > 0);
  REQUIRE(seen_new > 0);
}

TEST_CASE("C19: several processes save one name; it is a whole file at all times, and nothing else is left") {
  Folder const folder;
  fs::path const file = folder.path / "model.safetensors";
  std::vector<::pid_t> children;
  Holder mine{torch::ones({5000})};
  tacit::save_weights(file, mine);
  for (int k = 0; k < 3; ++k) {
    ::pid_t const child = ::fork();
    if (child == 0) {
      int status = 0;
      try {
        for (int i = 0; i < (k < 2 ? 100 : 300); ++i) {
          if (k < 2) tacit::save_weights(file, mine);
          if (k == 2) tacit::load_weights(file, mine);
        }
      } catch (std::exception const&) {
        status = 1;
      }
      ::_exit(status);
    }
    children.push_back(child);
  }
  for (::pid_t const child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    REQUIRE(status == 0);
  }
  REQUIRE(std::distance(fs::directory_iterator{folder.path}, {}) == 1);

  // A living program's temporary file stays; one of a dead program of this host goes with the next save.
  fs::path const living = folder.path / tacit::detail::own_temporary_name(".tmp-weights-");
  fs::path const dead = folder.path / (tacit::detail::temporary_prefix(".tmp-weights-") + std::to_string(children[0]) + "-0");
  std::ofstream{living} << "half";
  std::ofstream{dead} << "half";
  tacit::save_weights(file, mine);
  REQUIRE(fs::exists(living));
  REQUIRE_FALSE(fs::exists(dead));
  { tacit::CheckpointWriter const writer{folder.path}; }
  REQUIRE(fs::exists(living));
  fs::remove(living);

  // A rename that fails leaves nothing behind.
  fs::create_directories(folder.path / "taken" / "x");
  REQUIRE_THAT(error_of([&] { tacit::save_weights(folder.path / "taken", mine); }), ContainsSubstring("TACIT-RS40"));
  for (auto const& entry : fs::directory_iterator{folder.path}) REQUIRE_FALSE(entry.path().filename().string().starts_with(".tmp-"));
  // Names may be as long as names can be.
  REQUIRE_NOTHROW(tacit::save_weights(folder.path / std::string(255, 'n'), mine));
}

TEST_CASE("F26: sets that other programs read are read: shards below, sizes that are wrong, tensors that the index lacks") {
  Net net;
  tacit::load_weights(golden / "model.safetensors", net);
  Folder const folder;
  tacit::save_weights(folder.path, net, {.max_file_bytes = 200});
  fs::path const index = folder.path / "model.safetensors.index.json";
  std::string text = bytes_of(index);
  fs::create_directories(folder.path / "parts" / "one");
  for (int i = 1; i <= 3; ++i) fs::rename(folder.path / ("model-0000" + std::to_string(i) + "-of-00003.safetensors"), folder.path / ("parts/one/m" + std::to_string(i)));
  for (int i = 1; i <= 3; ++i) {
    std::string const from = "model-0000" + std::to_string(i) + "-of-00003.safetensors";
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from)) text.replace(at, from.size(), "parts/one/m" + std::to_string(i));
  }
  text.replace(text.find("\"total_size\": "), 14, "\"total_size\": \"many\", \"x\": ");
  std::size_t const bias = text.find("\"body.bias\"");
  text.erase(bias, text.find('\n', bias) - bias);
  std::ofstream{index} << text;
  Net other;
  REQUIRE(tacit::load_weights(folder.path, other).matched.size() == 11);
  check_all(other);
  // A directory on the way that is a link leads out of the set.
  fs::rename(folder.path / "parts", folder.path / "elsewhere");
  fs::create_directory_symlink(folder.path / "elsewhere", folder.path / "parts");
  REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path, other); }), ContainsSubstring("TACIT-RS98"));
  REQUIRE_NOTHROW(tacit::load_weights(folder.path, other, {.follow_links = true}));
  std::ofstream{index} << "version https:" "//git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 437\n";
  REQUIRE_THAT(error_of([&] { tacit::load_weights(folder.path, other); }), ContainsSubstring("TACIT-RS10") && ContainsSubstring("git lfs pull"));
}

}  // namespace weights_tests
