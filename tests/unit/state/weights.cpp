// needs: libtorch
// Weights of Python programs into a module and back. The golden files are those of weights_golden.py: torch 2.11.0, safetensors 0.8.0.

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/state/torch/tensor.hpp"
#include "tacit/state/weights.hpp"

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
