#include "tacit/train/choices.hpp"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

// faults C29, T16: a policy that is chosen at run time is asked what the compiler asks of the one that it stands for.

namespace choices_tests {
namespace {

/// Excludes the host, as Tf32 does.
struct Narrow {
  using slot = tacit::slot::precision;
  using excludes = tacit::list<tacit::Cpu>;
  template <class P>
  struct bound : tacit::precision_archetype::bound<P> {};
  template <class P, class Device>
  bound<P> bind(Device const&) const {
    return {};
  }
};
/// Scales losses, as Fp16 does.
struct Scaling {
  using slot = tacit::slot::precision;
  template <class P>
  struct bound : tacit::precision_archetype::bound<P> {
    struct Scaler {};
    Scaler scaler() const { return {}; }
  };
  template <class P, class Device>
  bound<P> bind(Device const&) const {
    return {};
  }
};
struct ChosenDevice {
  using slot = tacit::slot::device;
  bool host = true;
  template <class T>
  struct bound : fake::Gpu::bound<T> {
    bool host = true;
    T to(T const& tensor) const { return tensor; }
    template <class Visit>
    void visit_chosen(Visit const& visit) const {
      if (host) return visit(tacit::type<tacit::Cpu>{});
      visit(tacit::type<fake::Gpu>{});
    }
  };
  template <class T>
  bound<T> bind() const {
    bound<T> result;
    result.host = host;
    return result;
  }
};
struct ChosenPrecision {
  using slot = tacit::slot::precision;
  int choice = 0;
  template <class P>
  struct bound : tacit::precision_archetype::bound<P> {
    int choice = 0;
    template <class Visit>
    void visit_chosen(Visit const& visit) const {
      if (choice == 0) return visit(tacit::type<tacit::Fp32>{});
      if (choice == 1) return visit(tacit::type<Narrow>{});
      visit(tacit::type<Scaling>{});
    }
  };
  template <class P, class Device>
  bound<P> bind(Device const&) const {
    bound<P> result;
    result.choice = choice;
    return result;
  }
};

/// Computes the loss as often as it likes.
struct Search {
  struct bound {
    static constexpr bool maskable = false;
    static constexpr bool takes_closure = true;
    template <class Closure>
    void step(auto&, Closure const& closure) {
      (void)closure()->values;
    }
    void parameters_changed(auto&) {}
  };
  template <class Parameters>
  bound bind(Parameters&) const {
    return {};
  }
};

template <class Optimizer>
std::string made(Optimizer optimizer, auto... policies) {
  try {
    tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, optimizer, policies...,
                           tacit::CallbackPack{}};
  } catch (tacit::ConfigError const& error) {
    return error.code();
  }
  return "made";
}

}  // namespace

TEST_CASE("C29, T16: what two named policies exclude, chosen ones exclude when the trainer is made") {
  CHECK(made(fake::Sgd{}, ChosenDevice{.host = true}) == "made");
  CHECK(made(fake::Sgd{}, ChosenDevice{.host = true}, Narrow{}) == "TACIT-RC130");
  CHECK(made(fake::Sgd{}, ChosenDevice{.host = false}, Narrow{}) == "made");
  CHECK(made(fake::Sgd{}, ChosenPrecision{0}) == "made");
  CHECK(made(fake::Sgd{}, ChosenPrecision{1}) == "TACIT-RC130");
  CHECK(made(fake::Sgd{}, ChosenPrecision{2}) == "made");
  CHECK(made(fake::Sgd{}, fake::Gpu{}, ChosenPrecision{1}) == "made");
  CHECK(made(fake::Sgd{}, ChosenDevice{.host = true}, ChosenPrecision{1}) == "TACIT-RC130");
  CHECK(made(fake::Sgd{}, ChosenDevice{.host = false}, ChosenPrecision{1}) == "made");
}

TEST_CASE("C29, T16: a closure is refused beside a scaling precision that was chosen at run time") {
  CHECK(made(Search{}, ChosenPrecision{0}) == "made");
  CHECK(made(Search{}, ChosenPrecision{2}) == "TACIT-RC132");
}

}  // namespace choices_tests
