// needs: libtorch
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones.h>
#include <c10/core/DefaultDtype.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/sgd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tacit/auto.hpp"
#include "tacit/callbacks/auto_threads.hpp"
#include "tacit/data/tensor_dataset.hpp"
#include "tacit/policy/precision/autocast.hpp"
#include "tacit/policy/precision/bf16.hpp"
#include "tacit/policy/precision/fp16.hpp"
#include "tacit/policy/precision/tf32.hpp"
#include "tacit/task/optim/sgd.hpp"
#include "tacit/task/optim/torch_optim.hpp"
#include "tacit/train/trainer.hpp"

// Kind O: whatever is the whole process's is after a run as it was before, also after an exception, and in a second
// run.

namespace event = tacit::event;
namespace optim = tacit::optim;
using tacit::CallbackPack;

namespace process_settings_tests {
namespace {

/// All that a policy or callback could leave behind.
auto settings() {
  auto& c = at::globalContext();
  using P = at::Float32Precision;
  using B = at::Float32Backend;
  using O = at::Float32Op;
  std::vector<std::int64_t> all{at::get_num_threads(),
                                c.deterministicAlgorithms(),
                                c.deterministicAlgorithmsWarnOnly(),
                                c.deterministicCuDNN(),
                                c.benchmarkCuDNN(),
                                c.userEnabledCuDNN(),
                                c.userEnabledMkldnn(),
                                at::GradMode::is_enabled(),
                                static_cast<std::int64_t>(c10::get_default_dtype_as_scalartype()),
                                at::autocast::is_autocast_enabled(at::kCPU),
                                static_cast<std::int64_t>(at::autocast::get_autocast_dtype(at::kCPU)),
                                at::autocast::is_autocast_enabled(at::kCUDA)};
  // What is stored shows in how narrow switches follow the wide one.
  P const before = c.float32Precision(B::GENERIC, O::ALL);
  for (P const wide : {P::IEEE, P::TF32, P::NONE}) {
    c.setFloat32Precision(B::GENERIC, O::ALL, wide);
    for (B const where : {B::CUDA, B::MKLDNN}) {
      for (O const what : {O::ALL, O::CONV, O::RNN, O::MATMUL})
        all.push_back(static_cast<std::int64_t>(c.float32Precision(where, what)));
    }
    // The older switches, or that they contradict the newer ones.
    for (auto const& ask : {+[] { return static_cast<std::int64_t>(at::globalContext().float32MatmulPrecision()); },
                            +[] { return std::int64_t{at::globalContext().allowTF32CuBLAS()}; },
                            +[] { return std::int64_t{at::globalContext().allowTF32CuDNN()}; }}) {
      try {
        all.push_back(ask());
      } catch (c10::Error const&) {
        all.push_back(-1);
      }
    }
  }
  c.setFloat32Precision(B::GENERIC, O::ALL, before);
  return all;
}

struct FailAt {
  std::int64_t update;
  void on(event::UpdateStart const& event, auto&) {
    if (event.update.value() == update) throw std::runtime_error{"no"};
  }
};
/// Asks in a run what LibTorch's CUDA library asks.
struct Ask {
  bool* allowed;
  void on(event::UpdateEnd const&, auto&) {
    *allowed = at::globalContext().allowTF32CuBLAS() && at::globalContext().allowTF32CuDNN();
  }
};

/// A device that is no host for the compiler, with tensors on the host.
struct Elsewhere {
  using slot = tacit::slot::device;
  template <class T>
  struct bound {
    static constexpr bool is_host = false;
    T to(T const& tensor) const { return tensor; }
    bool host_reads_free() const { return true; }
    char const* name() const { return "elsewhere"; }
    void synchronize() const {}
  };
  template <class T>
  bound<T> bind() const {
    return {};
  }
};

std::vector<tacit::data::Batch> batches() {
  return std::vector<tacit::data::Batch>(4, tacit::data::Batch{at::ones({4, 2}), at::ones({4, 2})});
}
struct SquaredError {
  at::Tensor operator()(at::Tensor const& p, at::Tensor const& t) const { return (p - t).square().mean(); }
};

template <class... Parts>
void check_kept(Parts... parts) {
  auto const before = settings();
  tacit::Trainer trainer{torch::nn::Linear(2, 2), SquaredError{}, optim::Sgd{.lr = 0.01}, std::move(parts)...};
  CHECK(settings() == before);
  for (int run = 0; run < 2; ++run) {
    CHECK_THROWS(trainer.train(batches(), {.epochs = 3, .sink = tacit::Sink::none()}));
    CHECK(settings() == before);
    trainer.train(batches(), batches(), {.epochs = 1, .limit = {.updates = 2}, .sink = tacit::Sink::none()});
    CHECK(settings() == before);
    trainer.evaluate(batches(), {.sink = tacit::Sink::none()});
    CHECK(settings() == before);
  }
}

}  // namespace

TEST_CASE("C30: what is the whole process's is as before after runs, evaluations and exceptions") {
  bool allowed = false;
  at::globalContext().setFloat32MatmulPrecision("highest");
  check_kept(CallbackPack{FailAt{2}});
  check_kept(tacit::Bf16{}, CallbackPack{FailAt{2}});
  check_kept(tacit::Fp16{}, CallbackPack{FailAt{2}});
  check_kept(CallbackPack{tacit::AutoThreads{}, FailAt{2}});
  using P = at::Float32Precision;
  for (char const* const matmul : {"highest", "high", "medium"}) {
    for (P const wide : {P::NONE, P::IEEE, P::TF32}) {
      at::globalContext().setFloat32MatmulPrecision(matmul);
      at::globalContext().setFloat32Precision(at::Float32Backend::GENERIC, at::Float32Op::ALL, wide);
      at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::CONV, wide);
      allowed = false;
      check_kept(Elsewhere{}, tacit::Tf32{}, CallbackPack{Ask{&allowed}, FailAt{2}});
      CHECK(allowed);
    }
  }
  at::globalContext().setFloat32Precision(at::Float32Backend::GENERIC, at::Float32Op::ALL, P::NONE);
  at::globalContext().setFloat32MatmulPrecision("highest");
  at::globalContext().setAllowTF32CuDNN(true);
}

TEST_CASE("C30: after a run with Tf32 the generic setting is followed as if there had been none") {
  auto& c = at::globalContext();
  using P = at::Float32Precision;
  auto const matmul = [&] { return c.float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL); };
  auto const generic = [&](P value) { c.setFloat32Precision(at::Float32Backend::GENERIC, at::Float32Op::ALL, value); };
  c.setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL, P::NONE);
  generic(P::TF32);
  { tacit::detail::Tf32Scope const run; }
  generic(P::IEEE);
  CHECK(matmul() == P::IEEE);
  generic(P::NONE);
}

namespace {

std::string refused(auto const& make) {
  try {
    make();
  } catch (tacit::ConfigError const& error) {
    return error.code() + " " + error.problem();
  }
  return "accepted";
}
auto lbfgs() { return optim::from_torch<torch::optim::LBFGS>(torch::optim::LBFGSOptions(0.1)); }
auto make_lbfgs(auto... policies) {
  tacit::Trainer trainer{torch::nn::Linear(2, 2), SquaredError{}, lbfgs(), policies..., CallbackPack{}};
  trainer.train(batches(), {.epochs = 1, .sink = tacit::Sink::none()});
}

}  // namespace

TEST_CASE("C29, T16: a precision chosen at run time is asked what excludes the one that it stands for") {
  std::string const words =
      "TACIT-RC132 an optimizer with a closure computes the loss several times in one update, and the precision is "
      "Fp16";
  CHECK(refused([] { make_lbfgs(tacit::AutoPrecision{"fp16"}); }) == words);
  char const* const arguments[] = {"program", "--device", "cpu", "--precision", "fp16"};
  CHECK(refused([&] { make_lbfgs(tacit::Auto{5, arguments, tacit::Sink::none()}); }) == words);
  for (std::string const choice : {"auto", "fp32", "bf16"})
    CHECK(refused([&] { make_lbfgs(tacit::AutoPrecision{choice}); }) == "accepted");

  auto const tf32 = [](std::string const& device) {
    return refused([&] {
      tacit::Trainer{torch::nn::Linear(2, 2),   SquaredError{}, optim::Sgd{},
                     tacit::AutoDevice{device}, tacit::Tf32{},  CallbackPack{}};
    });
  };
  CHECK(tf32("cpu") == "TACIT-RC130 two policies exclude each other: Cpu and Tf32");
}

}  // namespace process_settings_tests
