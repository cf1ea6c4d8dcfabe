// needs: NCCL
#include "tacit/policy/distribution/auto_nccl.hpp"

#include <ATen/ops/arange.h>

#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "gpu/need_cuda.hpp"
#include "gpu/small_problem.hpp"
#include "laws/policy_laws.hpp"
#include "tacit/auto.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/device/cuda.hpp"
#include "thrown.hpp"

// Last: LibTorch has a macro CHECK, too, and the later one counts.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Matchers::ContainsSubstring;
using tacit::Cuda;
using tacit::Ddp;
using tacit::Nccl;

namespace {

/// This process alone, at a port of its own.
tacit::launch::World alone() {
  static int port = 21'000 + static_cast<int>(::getpid() % 1'000) * 7;
  return {.port = ++port};
}

}  // namespace

TEST_CASE("NCCL of another version than the header's is refused") {
  tacit::detail::require_nccl(22'809, 22'809);
  tacit::detail::require_nccl(22'809, 22'803);
  auto const error = thrown<tacit::DistributedError>([] { tacit::detail::require_nccl(22'809, 22'705); });
  CHECK(error.code() == "TACIT-RX27");
  CHECK_THAT(error.what(), ContainsSubstring("header of NCCL 2.28.9, but NCCL 2.27.5 runs"));
}

TEST_CASE("NCCL serves GPUs alone, and Auto knows of it") {
  CHECK_FALSE(Nccl::serves<tacit::Cpu::bound<at::Tensor>>);
  CHECK(Nccl::serves<tacit::detail::CudaDevice>);
  auto const error = thrown<tacit::DistributedError>([] { Nccl{}.connect({}, alone(), std::chrono::seconds{1}, c10::Device{c10::DeviceType::CPU}); });
  CHECK(error.code() == "TACIT-RX21");
  REQUIRE(tacit::detail::data_parallel_tables.cuda != nullptr);
  CHECK(tacit::detail::data_parallel_tables.cuda->name == "nccl");
  CHECK(tacit::detail::data_parallel_tables.host->name == "gloo");
}

TEST_CASE("Ddp over NCCL keeps the laws of a distribution") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  CHECK(laws::check_distribution<at::Tensor>(Ddp<Nccl>{.world = alone()}, Cuda{}, small::make) == laws::Broken{});
}

TEST_CASE("one process over NCCL trains as one without") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  small::Trained const single = small::train(Cuda{});
  Ddp<Nccl> find{.world = alone()};
  find.find_unused = true;
  Ddp<Nccl> behind{.world = alone()};
  behind.overlap = false;
  CHECK(small::same_bits(single, small::train(Cuda{}, Ddp<Nccl>{.world = alone()})));
  CHECK(small::same_bits(single, small::train(Cuda{}, find)));
  CHECK(small::same_bits(single, small::train(Cuda{}, behind)));
  CHECK(small::same_bits(single, small::train(Cuda{}, Ddp<Nccl>{.backend = {.on_failure = tacit::NcclFailure::throw_error, .high_priority_stream = true}, .world = alone()})));
  CHECK(small::difference(single, small::train(Cuda{}, Ddp<Nccl, tacit::Fp16Compression>{.world = alone()})) < 1e-2);
  CHECK(small::difference(single, small::train(Cuda{}, Ddp<Nccl, tacit::Bf16Compression>{.world = alone()})) < 5e-2);
}

TEST_CASE("tensors of the GPU and numbers of the host go through one group") {
  if (std::string const why = gpu::missing(); !why.empty()) SKIP(why);
  auto const device = Cuda{}.bind<at::Tensor>();
  auto bound = Ddp<Nccl>{.world = alone()}.bind<tacit::ParameterSet>(device);
  CHECK(bound.name() == "ddp over nccl, rank 0 of 1");
  double numbers[2] = {1.5, -2.0};
  bound.reduce_sum(numbers);
  CHECK(numbers[0] == 1.5);
  CHECK(bound.agree(3) == 3);
  CHECK(bound.gather("text") == std::vector<std::string>{"text"});
  at::Tensor there = at::arange(6, at::TensorOptions{device.device()}.dtype(at::kFloat)).reshape({3, 2});
  at::Tensor const before = there.clone();
  bound.reduce_max(there);
  bound.broadcast(there, 0);
  CHECK(there.equal(before));
  CHECK(bound.gather(there).equal(before));
  CHECK(bound.gather(there).is_cuda());
  bound.barrier();
}
