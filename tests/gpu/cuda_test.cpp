// needs: libtorch
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <optional>
#include <string>
#include <vector>

#include "gpu/need_cuda.hpp"
#include "gpu/small_problem.hpp"
#include "laws/policy_laws.hpp"
#include "tacit/auto.hpp"
#include "tacit/policy/device/cuda.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/fp64.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>

namespace {

using laws::Broken;
using tacit::AutoDevice;
using tacit::AutoPrecision;
using tacit::Cuda;

TEST_CASE("policies keep their laws on a GPU") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  CHECK(laws::check_device<at::Tensor>(Cuda{}, small::make) == Broken{});
  CHECK(laws::check_device<at::Tensor>(AutoDevice{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Fp32{}, Cuda{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Fp64{}, Cuda{}, small::make) == Broken{});
  CHECK(laws::check_precision<at::Tensor>(tacit::Bf16{}, Cuda{}, small::make) == Broken{});
  for (char const* choice : {"fp32", "fp64", "bf16"}) {
    CHECK(laws::check_precision<at::Tensor>(AutoPrecision{.choice = choice}, AutoDevice{}, small::make) == Broken{});
  }
  CHECK(laws::check_distribution<at::Tensor>(tacit::SingleProcess{}, Cuda{}, small::make) == Broken{});
}

TEST_CASE("the device tells its name") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  auto const device = Cuda{}.bind<at::Tensor>();
  CAPTURE(device.name());
  CHECK(device.name().starts_with("cuda:0 ("));
  CHECK(device.name().find("NVIDIA") != std::string::npos);
  CHECK(AutoDevice{.choice = "cuda"}.bind<at::Tensor>().name() == device.name());
  CHECK_THROWS_AS(Cuda{.index = 100}.bind<at::Tensor>(), tacit::ConfigError);
}

/// Moved there and back it is what it was, in type, sizes, strides and values.
bool survives(at::Tensor const& tensor) {
  auto const device = Cuda{}.bind<at::Tensor>();
  at::Tensor const there = device.to(tensor);
  if (!there.is_cuda() || there.scalar_type() != tensor.scalar_type() || there.sizes() != tensor.sizes()) return false;
  if (tensor.is_non_overlapping_and_dense() && there.strides() != tensor.strides()) return false;
  return there.cpu().equal(tensor);
}

TEST_CASE("every kind of host tensor reaches the device") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  at::Tensor const plain = small::spread(8, 6, 0.5);
  CHECK(survives(plain));
  CHECK(survives(plain.pin_memory()));
  CHECK(survives(plain.t()));
  CHECK(survives(plain.narrow(1, 1, 3)));                 // with gaps
  CHECK(survives(plain.narrow(0, 0, 1).expand({5, 6})));  // rows that share memory cannot be staged
  CHECK(survives(at::zeros({0, 3})));
  CHECK(survives(at::full({}, 7, at::kLong)));
  CHECK(survives(plain.to(at::kBFloat16)));
  CHECK(survives(plain.gt(0)));
  CHECK(survives(at::zeros({std::int64_t{20} << 20}).add_(1)));  // 80 MiB: goes directly
  auto const device = Cuda{}.bind<at::Tensor>();
  at::Tensor const there = device.to(plain);
  CHECK(device.to(there).is_same(there));
  CHECK_FALSE(device.to(at::Tensor{}).defined());
}

TEST_CASE("a batch may be dropped as soon as it was handed over") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  auto const device = Cuda{}.bind<at::Tensor>();
  // Copies in flight while their sources are freed and used again.
  std::vector<at::Tensor> there;
  for (int i = 0; i < 200; ++i) there.push_back(device.to(at::full({64, 784}, i)));
  device.synchronize();
  for (int i = 0; i < 200; ++i) REQUIRE(there[static_cast<std::size_t>(i)].eq(i).all().item<bool>());
}

TEST_CASE("a short run on the GPU is the run on the CPU within rounding") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  small::Trained const cpu = small::train();
  small::Trained const cuda = small::train(Cuda{});
  CHECK(cuda.device.starts_with("cuda:0"));
  for (auto& item : cuda.net->named_parameters()) CHECK(item.tensor.is_cuda());
  for (auto& item : cuda.net->named_buffers()) CHECK(item.tensor.is_cuda());
  CHECK(small::difference(cuda, cpu) < 1e-4);
  CHECK(std::abs(cuda.train_loss - cpu.train_loss) < 1e-4);
  CHECK(std::abs(cuda.eval_loss - cpu.eval_loss) < 1e-4);
  CHECK(small::difference(small::train(Cuda{}, tacit::Fp64{}), small::train(tacit::Fp64{})) < 1e-11);
}

TEST_CASE("bf16 on the GPU") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  small::Trained const plain = small::train(Cuda{});
  small::Trained const mixed = small::train(Cuda{}, tacit::Bf16{});
  for (at::Tensor const& output : mixed.net->outputs) CHECK(output.scalar_type() == at::kBFloat16);
  for (at::Tensor const& parameter : mixed.parameters()) CHECK(parameter.scalar_type() == at::kFloat);
  CHECK(small::difference(mixed, plain) < 0.05);
  CHECK(small::difference(mixed, plain) > 0.0);
}

TEST_CASE("what is chosen at run time computes what is named at compile time") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  CHECK(small::same_bits(small::train(AutoDevice{.choice = "cuda"}), small::train(Cuda{})));
  CHECK(small::same_bits(small::train(AutoDevice{.choice = "cuda:0"}, AutoPrecision{.choice = "bf16"}),
                         small::train(Cuda{}, tacit::Bf16{})));
  CHECK(small::train(tacit::Auto{0, nullptr, tacit::Sink::none()}).device.starts_with("cuda:0"));
}

/// Forbids waiting from the end of the first update to the end of the last but one: fetch, transfer, forward, backward,
/// clipping and update of every step between log points.
struct NoWaiting {
  std::int64_t last;
  std::optional<gpu::WaitingIsAnError>* scope;

  void on(tacit::event::UpdateEnd const& event, auto&) {
    if (event.update.value() == 0) scope->emplace();
    if (event.update.value() == last - 1) scope->reset();
  }
};

template <class... Policies>
void train_without_waiting(Policies const&... policies) {
  std::optional<gpu::WaitingIsAnError> scope;
  tacit::Trainer trainer{std::make_shared<small::Net>(), tacit::loss::Mse{},
                         tacit::optim::Sgd{.lr = 0.1, .momentum = 0.9}, policies...,
                         tacit::CallbackPack{NoWaiting{23, &scope}}};
  auto const result = trainer.train(small::Data{96}, {.epochs = 1,
                                                      .per_device_batch_size = 2,
                                                      .gradient_accumulation = 2,
                                                      .clip = {.norm = 1.0},
                                                      .sink = tacit::Sink::none()});
  CHECK(result.updates == tacit::Updates{24});
  CHECK_FALSE(scope.has_value());
}

TEST_CASE("no step between log points makes the host wait") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  if (!gpu::WaitingIsAnError::is_possible()) SKIP("this LibTorch's sync-debug mode is not found");
  {
    at::Tensor const there = Cuda{}.bind<at::Tensor>().to(at::ones({}));
    gpu::WaitingIsAnError const scope;
    CHECK_THROWS_AS(there.item<double>(), c10::Error);  // the mode bites
  }
  train_without_waiting(Cuda{});
  train_without_waiting(Cuda{}, tacit::Bf16{});
  train_without_waiting(Cuda{}, tacit::Fp64{});
  train_without_waiting(AutoDevice{.choice = "cuda"}, AutoPrecision{.choice = "bf16"});
}

}  // namespace
