// A policy without parameters takes no space, bound or not, and what the plain ones do is nothing.

#include <concepts>
#include <type_traits>
#include <utility>

#include "fake/tensor.hpp"
#include "tacit/policy/compatibility.hpp"
#include "tacit/policy/precision/fp64.hpp"
#include "tacit/train/trainer.hpp"

namespace {

using fake::Tensor;
using Parameters = tacit::basic_parameter_set<Tensor>;

template <class Policy>
using BoundDevice = decltype(std::declval<Policy const&>().template bind<Tensor>());
template <class Policy>
using Bound =
    decltype(std::declval<Policy const&>().template bind<Parameters>(std::declval<BoundDevice<tacit::Cpu> const&>()));

static_assert(tacit::device_policy<tacit::Cpu, Tensor>);
static_assert(tacit::device_policy<tacit::device_archetype, Tensor>);
static_assert(tacit::precision_policy<tacit::Fp32, Parameters, BoundDevice<tacit::Cpu>>);
static_assert(tacit::precision_policy<tacit::Fp64, Parameters, BoundDevice<tacit::Cpu>>);
static_assert(tacit::precision_policy<tacit::precision_archetype, Parameters, BoundDevice<tacit::device_archetype>>);
static_assert(tacit::distribution_policy<tacit::SingleProcess, Parameters, BoundDevice<tacit::Cpu>>);
static_assert(
    tacit::distribution_policy<tacit::distribution_archetype, Parameters, BoundDevice<tacit::device_archetype>>);

template <class... Types>
constexpr bool all_empty = (std::is_empty_v<Types> && ...);
static_assert(all_empty<tacit::Cpu, tacit::Fp32, tacit::Fp64, tacit::SingleProcess>);
static_assert(all_empty<BoundDevice<tacit::Cpu>, Bound<tacit::Fp32>, Bound<tacit::Fp64>, Bound<tacit::SingleProcess>>);
static_assert(all_empty<decltype(std::declval<Bound<tacit::Fp32>&>().autocast()),
                        decltype(std::declval<Bound<tacit::SingleProcess>&>().no_sync())>);

// Nothing is moved and nothing is cast: the argument itself comes back.
static_assert(std::same_as<decltype(std::declval<BoundDevice<tacit::Cpu> const&>().to(std::declval<Tensor const&>())),
                           Tensor const&>);
static_assert(
    std::same_as<decltype(std::declval<Bound<tacit::Fp32>&>().cast(std::declval<Tensor const&>())), Tensor const&>);
static_assert(BoundDevice<tacit::Cpu>::is_host && !Bound<tacit::Fp32>::casts && Bound<tacit::SingleProcess>::is_single);

// And so the trainer's core is as large as without them, and has no code for a transfer.
template <class Device, class Precision, class Distribution>
using CoreOf = tacit::Core<tacit::Composition<tacit::Supervised<fake::Linear, fake::MeanSquaredError, fake::Sgd>,
                                              Device, Precision, Distribution, tacit::CallbackPack<>>>;
using Plain = CoreOf<tacit::Cpu, tacit::Fp32, tacit::SingleProcess>;
static_assert(!Plain::transfers && Plain::is_single);
static_assert(CoreOf<tacit::Cpu, tacit::Fp64, tacit::SingleProcess>::transfers);
static_assert(CoreOf<fake::Gpu, tacit::Fp32, tacit::SingleProcess>::transfers);
static_assert(sizeof(Plain) == sizeof(CoreOf<tacit::Cpu, tacit::Fp64, tacit::SingleProcess>));

// Pair rules hold from either side.
struct OnlyWithoutCpu : tacit::Fp32 {
  using excludes = tacit::list<tacit::Cpu>;
};
static_assert(tacit::compatible<tacit::Cpu, tacit::Fp32>);
static_assert(!tacit::compatible<OnlyWithoutCpu, tacit::Cpu>);

}  // namespace
