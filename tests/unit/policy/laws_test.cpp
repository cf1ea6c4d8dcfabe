#include "laws/policy_laws.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/distribution/single_process.hpp"
#include "tacit/policy/precision/fp32.hpp"
#include "tacit/policy/precision/fp64.hpp"

namespace laws_tests {
namespace {

using fake::Tensor;
using laws::Broken;

Tensor make(std::vector<double> values, bool requires_grad) { return Tensor{std::move(values), requires_grad}; }

TEST_CASE("device policies keep their laws") {
  CHECK(laws::check_device<Tensor>(tacit::Cpu{}, make) == Broken{});
  CHECK(laws::check_device<Tensor>(tacit::device_archetype{}, make) == Broken{});
  CHECK(laws::check_device<Tensor>(fake::Gpu{}, make) == Broken{});
}

TEST_CASE("precision policies keep their laws") {
  CHECK(laws::check_precision<Tensor>(tacit::Fp32{}, tacit::Cpu{}, make) == Broken{});
  CHECK(laws::check_precision<Tensor>(tacit::Fp32{}, fake::Gpu{}, make) == Broken{});
  CHECK(laws::check_precision<Tensor>(tacit::Fp64{}, tacit::Cpu{}, make) == Broken{});
  CHECK(laws::check_precision<Tensor>(tacit::Fp64{}, fake::Gpu{}, make) == Broken{});
  CHECK(laws::check_precision<Tensor>(tacit::precision_archetype{}, tacit::device_archetype{}, make) == Broken{});
}

TEST_CASE("distribution policies keep their laws") {
  CHECK(laws::check_distribution<Tensor>(tacit::SingleProcess{}, tacit::Cpu{}, make) == Broken{});
  CHECK(laws::check_distribution<Tensor>(tacit::SingleProcess{}, fake::Gpu{}, make) == Broken{});
  CHECK(laws::check_distribution<Tensor>(tacit::distribution_archetype{}, tacit::device_archetype{}, make) == Broken{});
}

TEST_CASE("the tests' group of ranks keeps them too") {
  for (int const size : {1, 2, 3}) {
    std::vector<Broken> broken(static_cast<std::size_t>(size));
    fake::run_ranks(size, [&](fake::Rank const& rank) {
      broken[static_cast<std::size_t>(rank.number)] = laws::check_distribution<Tensor>(rank, tacit::Cpu{}, make);
    });
    for (Broken const& sentences : broken) CHECK(sentences == Broken{});
  }
}

// The laws bite: each of these breaks one.

struct Halving : fake::Gpu {
  template <class T>
  struct bound : fake::Gpu::bound<T> {
    T to(T const& tensor) const { return fake::Gpu::bound<T>::to(tensor * Tensor{{0.5}}); }
  };
  template <class T>
  bound<T> bind() const {
    return {};
  }
};
struct Copying : tacit::Cpu {
  template <class T>
  struct bound : tacit::Cpu::bound<T> {
    T to(T const& tensor) const { return T{tensor->values}; }
  };
  template <class T>
  bound<T> bind() const {
    return {};
  }
};
struct Scaling : tacit::Fp32 {
  template <class Parameters>
  struct bound : tacit::Fp32::bound<Parameters> {
    void backward(Tensor const& loss, double factor) const { loss.backward(8.0 * factor); }  // and never undone
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};
struct Deaf : tacit::distribution_archetype {
  template <class Parameters>
  struct bound : tacit::distribution_archetype::bound<Parameters> {
    std::int64_t agree(std::int64_t) { return 1; }
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

TEST_CASE("a broken policy is told which law it breaks") {
  CHECK(laws::check_device<Tensor>(Halving{}, make) ==
        Broken{"to() keeps the values", "to() takes what is there already", "synchronize() changes nothing"});
  CHECK(laws::check_device<Tensor>(Copying{}, make) == Broken{"a host device gives the very tensor"});
  CHECK(laws::check_precision<Tensor>(Scaling{}, tacit::Cpu{}, make) ==
        Broken{"after backward and unscale the gradient is the loss's own", "backward multiplies by its factor",
               "an update leaves the next one its size"});
  CHECK(laws::check_distribution<Tensor>(Deaf{}, tacit::Cpu{}, make) ==
        Broken{"agree() gives the largest request", "agree() on nothing is nothing"});
}

}  // namespace

}  // namespace laws_tests
