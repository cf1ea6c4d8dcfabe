// needs: libtorch
// The optimizers and the clipping against Python's torch.optim: 50 updates in float64, see optim_parity.py.
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tacit/task/optim/adagrad.hpp"
#include "tacit/task/optim/adam.hpp"
#include "tacit/task/optim/adamw.hpp"
#include "tacit/task/optim/rmsprop.hpp"
#include "tacit/task/optim/sgd.hpp"

namespace optim_parity_tests {
namespace {

using tacit::Parameter;
using tacit::ParameterSet;
using tacit::optim::Adagrad;
using tacit::optim::Adam;
using tacit::optim::AdamW;
using tacit::optim::RMSprop;
using tacit::optim::Sgd;
using traits = tacit::tensor_traits<at::Tensor>;

template <class Recipe>
struct parity_case {
  char const* name;
  Recipe recipe;
  bool missing;  // the second parameter has no gradient in some updates, the first among them
  bool masked;   // updates 0 and 3 are masked
  std::vector<std::vector<double>> snapshots;
};

struct clip_case {
  at::ScalarType type;
  double max;
  double norm;
  std::vector<double> gradients;
};

std::vector<parity_case<Sgd>> sgd_cases() {
  return {
#define TACIT_PARITY_SGD
#include "optim_parity.inc"
#undef TACIT_PARITY_SGD
  };
}

std::vector<parity_case<AdamW>> adamw_cases() {
  return {
#define TACIT_PARITY_ADAMW
#include "optim_parity.inc"
#undef TACIT_PARITY_ADAMW
  };
}

std::vector<parity_case<Adam>> adam_cases() {
  return {
#define TACIT_PARITY_ADAM
#include "optim_parity.inc"
#undef TACIT_PARITY_ADAM
  };
}

std::vector<parity_case<Adagrad>> adagrad_cases() {
  return {
#define TACIT_PARITY_ADAGRAD
#include "optim_parity.inc"
#undef TACIT_PARITY_ADAGRAD
  };
}

std::vector<parity_case<RMSprop>> rmsprop_cases() {
  return {
#define TACIT_PARITY_RMSPROP
#include "optim_parity.inc"
#undef TACIT_PARITY_RMSPROP
  };
}

std::vector<clip_case> clip_cases() {
  return {
#define TACIT_PARITY_CLIP
#include "optim_parity.inc"
#undef TACIT_PARITY_CLIP
  };
}

template <class Formula>
at::Tensor tensor_of(int count, Formula formula) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(formula(i));
  return at::tensor(values, at::kDouble);
}

at::Tensor initial(int count, int k) {
  return tensor_of(count, [k](int i) { return ((5 * i + 3 * k) % 11 - 5) / 8.0; });
}

ParameterSet parameters() {
  ParameterSet set;
  set.add("a", initial(6, 0).reshape({2, 3}));
  set.add("b", initial(5, 1));
  set.add("c", initial(6, 2).reshape({3, 2}).t());
  return set;
}

at::Tensor gradient(at::Tensor const& p, int k, int t) {
  auto const count = static_cast<int>(p.numel());
  at::Tensor const base = tensor_of(count, [k, t](int i) { return ((7 * i + 13 * t + 5 * k) % 29 - 14) / 16.0; });
  // Contiguous, also where the parameter is not.
  return base.reshape(p.sizes()).add(p.detach(), 0.25).contiguous();
}

std::vector<double> values_of(ParameterSet const& set, std::string const& leave_out) {
  std::vector<double> values;
  auto const append = [&](at::Tensor const& t) {
    at::Tensor const flat = t.detach().to(at::kDouble).contiguous();
    auto const* const data = tacit::detail::host_data<double>(flat);
    values.insert(values.end(), data, data + flat.numel());
  };
  for (Parameter const& p : set) {
    append(p.master);
    for (std::size_t s = 0; s < p.slots.size(); ++s) {
      if (set.slot_names()[s] != leave_out) append(p.slots[s]);
    }
  }
  return values;
}

double worst_difference(std::vector<double> const& is, std::vector<double> const& wanted) {
  if (is.size() != wanted.size()) return std::numeric_limits<double>::infinity();
  double worst = 0.0;
  for (std::size_t i = 0; i < is.size(); ++i) {
    double const difference = std::abs(is[i] - wanted[i]) / std::max(1e-3, std::abs(wanted[i]));
    worst = std::isfinite(difference) ? std::max(worst, difference) : difference;
  }
  return worst;
}

enum class masking { by_absence, read_on_host, on_device };

/// 50 updates; where the case has masks, the gradients of the masked updates are infinite.
template <class Recipe>
void compare(parity_case<Recipe> const& c, masking how) {
  INFO(c.name << ", masking " << static_cast<int>(how));
  ParameterSet set = parameters();
  auto bound = c.recipe.bind(set);
  std::size_t snapshot = 0;
  for (int t = 0; t < 50; ++t) {
    bool const off = c.masked && (t == 0 || t == 3);
    if (off && how == masking::by_absence) continue;
    int k = 0;
    for (Parameter& p : set) {
      p.model.mutable_grad() = gradient(p.model, k, t);
      if (off) p.model.mutable_grad() = at::full_like(p.model, std::numeric_limits<double>::infinity());
      if (c.missing && k == 1 && (t == 0 || t % 3 == 1)) p.model.mutable_grad().reset();
      ++k;
    }
    auto const before = values_of(set, "");
    at::Tensor const mask = traits::flag_like(off ? 1.0 : 0.0, set.begin()->master);
    switch (how) {
      case masking::by_absence:
        bound.step(set);
        break;
      case masking::read_on_host:
        bound.step(set, {&mask});
        break;
      case masking::on_device:
        bound.step_on_device(set, &mask);
        break;
    }
    if (off) REQUIRE(values_of(set, "") == before);
    if (t + 1 == 5 || t + 1 == 50) {
      REQUIRE(snapshot < c.snapshots.size());
      CHECK(worst_difference(values_of(set, "started"), c.snapshots[snapshot++]) < 1e-12);
    }
  }
  CHECK(snapshot == 2);
}

template <class Recipe>
void compare_all(std::vector<parity_case<Recipe>> const& cases) {
  for (auto const& c : cases) {
    compare(c, masking::by_absence);
    compare(c, masking::read_on_host);
    compare(c, masking::on_device);
  }
}

TEST_CASE("Sgd gives torch.optim.SGD's numbers, masked or not") { compare_all(sgd_cases()); }

TEST_CASE("AdamW gives torch.optim.AdamW's numbers, masked or not") { compare_all(adamw_cases()); }

TEST_CASE("Adam gives torch.optim.Adam's numbers, masked or not") { compare_all(adam_cases()); }

TEST_CASE("Adagrad gives torch.optim.Adagrad's numbers, masked or not") { compare_all(adagrad_cases()); }

TEST_CASE("RMSprop gives torch.optim.RMSprop's numbers, masked or not") { compare_all(rmsprop_cases()); }

TEST_CASE("clip_norm_ gives clip_grad_norm_'s numbers") {
  for (clip_case const& c : clip_cases()) {
    ParameterSet set = parameters();
    std::vector<at::Tensor> gradients;
    int k = 0;
    for (Parameter const& p : set) gradients.push_back(gradient(p.model, k++, 3).to(c.type));
    double const tolerance = c.type == at::kFloat ? 1e-6 : 1e-14;
    CHECK(std::abs(traits::read(traits::clip_norm_(gradients, c.max)) / c.norm - 1.0) < tolerance);
    std::vector<double> clipped;
    for (at::Tensor const& g : gradients) {
      at::Tensor const flat = g.to(at::kDouble).contiguous();
      auto const* const data = tacit::detail::host_data<double>(flat);
      clipped.insert(clipped.end(), data, data + flat.numel());
    }
    CHECK(worst_difference(clipped, c.gradients) < tolerance);
  }
}

}  // namespace

}  // namespace optim_parity_tests
