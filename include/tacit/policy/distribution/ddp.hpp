#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"
#include "tacit/launch/world.hpp"
#include "tacit/policy/distribution/process_group.hpp"
#include "tacit/policy/distribution/ranks.hpp"
#include "tacit/task/aten.hpp"
#include "tacit/task/parameter_set.hpp"

namespace tacit::inline v0 {

namespace unit {
struct megabyte {
  static constexpr std::string_view name = "megabytes";
};
}  // namespace unit
using Megabytes = Count<unit::megabyte>;

/// Gradients travel as they are.
struct NoCompression {};
/// Gradients travel in 16 bits: half the bytes, and what FP16 or BF16 make of them. All ranks get the same.
struct Fp16Compression {};
struct Bf16Compression {};

/// How a bucket of gradients becomes its mean over the ranks: `reduce(group, bucket)` returns a future of the tensor, already divided.
template <class Hook>
concept gradient_hook = requires(Hook& hook, c10::intrusive_ptr<c10d::ProcessGroup> const& group, c10d::GradBucket& bucket) {
  { hook.reduce(group, bucket) } -> std::convertible_to<c10::intrusive_ptr<c10::ivalue::Future>>;
};

namespace detail {

/// A hook as the reducer calls it.
template <class Hook>
class ReducerHook : public c10d::CommHookInterface {
 public:
  ReducerHook(Hook hook, c10::intrusive_ptr<c10d::ProcessGroup> group) : hook_{std::move(hook)}, group_{std::move(group)} {}
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override { return hook_.reduce(group_, bucket); }
  at::Tensor parseHookResult(c10::IValue const& result) override { return result.isTensor() ? result.toTensor() : result.toTensorVector().at(0); }

 private:
  Hook hook_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
};

struct Bf16Hook {
  c10::intrusive_ptr<c10::ivalue::Future> reduce(c10::intrusive_ptr<c10d::ProcessGroup> const& group, c10d::GradBucket& bucket) const {
    at::Tensor const whole = bucket.getBuffer();
    std::vector<at::Tensor> small{whole.to(at::kBFloat16).div_(group->getSize())};
    return group->allreduce(small)->getFuture()->then(
        [whole](c10::ivalue::Future& done) {
          at::NoGradGuard const no_graph;
          whole.copy_(done.value().toTensorVector().at(0));
          return c10::IValue{whole};
        },
        c10::TensorType::get());
  }
};

/// What of LibTorch's reducer belongs to the parameters of one phase.
struct PhaseReducer {
  void const* parameters = nullptr;
  std::shared_ptr<c10d::Reducer> reducer{};
  std::shared_ptr<c10d::Logger> logger{};  // without one a changing set of unused parameters would crash
  bool has_begun_forward = false;
  bool has_begun_backward = false;
  bool is_first = true;
};

inline constexpr char const* backward_work = "computing and averaging gradients";

/// The members of `Ddp` of these names.
struct DataParallelOptions {
  Megabytes bucket;
  Megabytes first_bucket;
  bool find_unused;
  bool static_graph;
  bool broadcast_buffers;
};

/// Data parallel training over a group: a reducer for each phase's parameters.
class DataParallel {
 public:
  using parameters_type = basic_parameter_set<at::Tensor>;
  /// Adds a hook to a reducer that was just made.
  using add_hook = std::function<void(c10d::Reducer&, c10::intrusive_ptr<c10d::ProcessGroup> const&)>;

  template <class Backend>
  DataParallel(DataParallelOptions options, add_hook hook, launch::World world, Backend const& backend, c10::Device device, std::chrono::milliseconds timeout, std::chrono::milliseconds start_timeout)
      : options_{options}, hook_{std::move(hook)}, group_{std::move(world), backend, device, timeout, start_timeout} {}

  ProcessGroup& group() noexcept { return group_; }

  /// Gradients stay on this rank while `depth` is above 0.
  int& local_depth() noexcept { return local_depth_; }

  /// Every rank's tensors become rank 0's.
  /// Throws: DistributedError if their names, types or shapes differ.
  void share(NamedTensors const& tensors) {
    std::string description;
    for (auto const& [name, tensor] : tensors) description += describe(name, tensor);
    require_same(description);
    broadcast_all(tensors);
  }
  void broadcast_all(NamedTensors const& tensors) {
    std::vector<at::Tensor> list;
    for (auto const& [name, tensor] : tensors) list.push_back(tensor.detach());
    group_.broadcast_all(list);
  }
  /// Shares parameters that a run trains; whatever was known about them is made anew.
  void prepare_parameters(parameters_type& parameters) {
    std::erase_if(phases_, [&](PhaseReducer const& phase) { return phase.parameters == &parameters; });
    NamedTensors tensors;
    for (auto const& parameter : parameters) tensors.emplace_back(parameter.name, parameter.model);
    share(tensors);
  }

  /// Returns true if this forward pass is the first of a step that reduces: then buffers are to be broadcast.
  bool begin_forward(parameters_type& parameters) {
    if (local_depth_ > 0) return false;
    PhaseReducer& phase = phase_of(parameters);
    if (std::exchange(phase.has_begun_forward, true)) return false;
    group_.guarded("beginning a forward pass", [&] {
      phase.reducer->prepare_for_forward();
      phase.reducer->rebuild_buckets();
    });
    return options_.broadcast_buffers;
  }
  void begin_backward(parameters_type& parameters, at::Tensor const& loss) {
    if (local_depth_ > 0) return;
    PhaseReducer& phase = phase_of(parameters);
    phase.has_begun_backward = true;
    phase.reducer->prepare_for_backward(options_.find_unused ? std::vector<at::Tensor>{loss} : std::vector<at::Tensor>{});
  }
  /// Gradients are whole afterwards, also where this rank had no batch: then zeros went into the mean.
  void prepare_gradients(parameters_type& parameters) {
    PhaseReducer& phase = phase_of(parameters);
    group_.guarded("averaging gradients", [&] {
      if (!phase.has_begun_backward) {
        at::AutoGradMode const graph{true};
        at::Tensor nothing = at::zeros({}, at::kDouble);
        for (auto const& parameter : parameters) {
          if (parameter.model.requires_grad()) nothing = nothing + (parameter.model.sum() * 0).to(nothing.device(), at::kDouble);
        }
        begin_backward(parameters, nothing);
        nothing.backward();
      }
      // The reducer only watches the first backward pass of a static graph.
      if (options_.static_graph && std::exchange(phase.is_first, false)) phase.reducer->delay_all_reduce();
    });
    phase.has_begun_forward = phase.has_begun_backward = false;
  }

 private:
  static std::string describe(std::string_view name, at::Tensor const& tensor) {
    std::string text{name};
    text.append(" ").append(c10::toString(tensor.scalar_type())).append(" [");
    for (std::int64_t size : tensor.sizes()) text.append(text.back() == '[' ? "" : ", ").append(std::to_string(size));
    return text + "]\n";
  }
  /// Throws: DistributedError that shows the first difference to rank 0.
  void require_same(std::string const& description) {
    std::vector<std::string> const all = group_.gather(description);
    for (std::size_t other = 1; other < all.size(); ++other) {
      if (all[other] == all[0]) continue;
      auto const [a, b] = std::mismatch(all[0].begin(), all[0].end(), all[other].begin(), all[other].end());
      auto const line = [](std::string const& text, std::size_t at) {
        std::size_t const first = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
        std::string const found = text.substr(first, text.find('\n', first) - first);
        return found.empty() ? std::string{"nothing more"} : found;
      };
      throw DistributedError{"TACIT-RX19",
                             message({"the ranks have different models: rank 0 has ", line(all[0], static_cast<std::size_t>(a - all[0].begin())), ", rank ", other, " has ",
                                              line(all[other], static_cast<std::size_t>(b - all[other].begin()))}),
                             "Ddp", "make the same model on every rank"};
    }
  }

  PhaseReducer& phase_of(parameters_type& parameters) {
    for (PhaseReducer& phase : phases_) {
      if (phase.parameters == &parameters) return phase;
    }
    std::vector<at::Tensor> tensors;
    std::unordered_map<std::size_t, std::string> names;
    for (auto const& parameter : parameters) {
      names[tensors.size()] = parameter.name;
      tensors.push_back(parameter.model);
    }
    PhaseReducer phase;
    phase.parameters = &parameters;
    group_.guarded("making the reducer", [&] {
      constexpr std::size_t mebibyte = std::size_t{1} << 20;
      std::size_t const bytes = static_cast<std::size_t>(options_.bucket.value()) * mebibyte;
      std::size_t const first_bytes = static_cast<std::size_t>(options_.first_bucket.value()) * mebibyte;
      std::vector<bool> const sparse(tensors.size(), false);
      // Buckets are made anew in the order in which gradients came, unless parameters may stay unused.
      std::vector<std::size_t> const limits = options_.find_unused && !options_.static_graph ? std::vector{first_bytes, bytes} : std::vector{std::size_t{1} << 40};
      auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(tensors, limits, sparse));
      std::ranges::reverse(buckets);
      phase.reducer = make_reducer<c10d::Reducer>(tensors, buckets, sparse, static_cast<std::int64_t>(bytes), static_cast<std::int64_t>(first_bytes), names);
      phase.logger = std::make_shared<c10d::Logger>(phase.reducer);
      phase.reducer->set_logger(phase.logger);
      if (options_.static_graph) phase.reducer->set_static_graph();
      if (hook_) hook_(*phase.reducer, group_.group());
    });
    return phases_.emplace_back(std::move(phase));
  }
  /// LibTorch appends arguments from version to version.
  template <class Reducer>
  std::shared_ptr<Reducer> make_reducer(std::vector<at::Tensor> const& tensors, std::vector<std::vector<std::size_t>> const& buckets, std::vector<bool> const& sparse,
                                        std::int64_t bytes, std::int64_t first_bytes, std::unordered_map<std::size_t, std::string> const& names) {
    auto make = [&]<class... More>(More const&... more) {
      return std::make_shared<Reducer>(tensors, buckets, group_.group(), sparse, bytes, options_.find_unused, /*gradient_as_bucket_view=*/true, names, first_bytes, more...);
    };
    using leading = std::vector<at::Tensor>;
    if constexpr (std::is_constructible_v<Reducer, leading, std::vector<std::vector<std::size_t>>, c10::intrusive_ptr<c10d::ProcessGroup>, std::vector<bool>, std::int64_t, bool,
                                          bool, std::unordered_map<std::size_t, std::string>, std::int64_t, bool, bool, std::vector<std::int64_t>>) {
      return make(false, false, std::vector<std::int64_t>{});
    } else if constexpr (std::is_constructible_v<Reducer, leading, std::vector<std::vector<std::size_t>>, c10::intrusive_ptr<c10d::ProcessGroup>, std::vector<bool>, std::int64_t,
                                                 bool, bool, std::unordered_map<std::size_t, std::string>, std::int64_t, bool, bool>) {
      return make(false, false);
    } else {
      return make();
    }
  }

  DataParallelOptions options_;
  add_hook hook_;
  ProcessGroup group_;
  std::vector<PhaseReducer> phases_{};
  int local_depth_ = 0;
};

}  // namespace detail

/// Data parallel training: each process has the whole model and a part of every batch, gradients are averaged while backward goes on.
///
/// The place of this process comes from the launcher's variables (torchrun, MPI, Slurm), or from `.world`. Each rank's loader yields its
/// own part; a rank without a batch contributes weight 0. One process is a world, too.
/// Throws: DistributedError on binding if the others cannot be reached, or have another model.
/// Example: `tacit::Trainer trainer{model, loss, optimizer, tacit::Ddp<tacit::Gloo>{.bucket = 25}};`
template <class Backend, class Hook = NoCompression>
struct Ddp {
  using slot = slot::distribution;

  Backend backend{};
  Hook hook{};
  Megabytes bucket = 25;           ///< gradients that are reduced together
  Megabytes first_bucket = 1;      ///< the first of them, so that reducing begins early; with `find_unused` only
  bool find_unused = false;        ///< some parameters get no gradient in some steps
  bool static_graph = false;       ///< the same parameters get one in every step; allows parameters that are used several times
  bool broadcast_buffers = true;   ///< running statistics are rank 0's before each window's last step
  std::chrono::milliseconds timeout = std::chrono::seconds{30};       ///< of one collective: when a rank is missing that long, the others fail
  std::chrono::milliseconds start_timeout = std::chrono::minutes{5};  ///< for all ranks to arrive
  std::optional<launch::World> world{};                               ///< where not given, what the launcher says

  template <class Parameters>
  class bound;

  template <class Parameters, class Device>
    requires(Backend::template serves<Device>)
  bound<Parameters> bind(Device const& device) const {
    return bound<Parameters>{join(detail::place_of(device))};
  }

  /// For policies that are made of this one: joins the other ranks.
  std::unique_ptr<detail::DataParallel> join(c10::Device device) const {
    return std::make_unique<detail::DataParallel>(detail::DataParallelOptions{bucket, first_bucket, find_unused, static_graph, broadcast_buffers}, add_hook(),
                                                  world ? *world : launch::world(), backend, device, timeout, start_timeout);
  }

  static void visit_config(auto& self, auto&& visit) {
    visit("bucket", self.bucket);
    visit("first_bucket", self.first_bucket);
    visit("find_unused", self.find_unused);
    visit("static_graph", self.static_graph);
    visit("broadcast_buffers", self.broadcast_buffers);
  }

 private:
  detail::DataParallel::add_hook add_hook() const {
    if constexpr (std::same_as<Hook, NoCompression>) {
      return {};
    } else if constexpr (std::same_as<Hook, Fp16Compression>) {
      return [](c10d::Reducer& reducer, auto const&) { reducer.register_builtin_comm_hook(c10d::BuiltinCommHookType::FP16_COMPRESS); };
    } else if constexpr (std::same_as<Hook, Bf16Compression>) {
      return [](c10d::Reducer& reducer, auto const& group) {
        reducer.register_comm_hook(std::make_unique<detail::ReducerHook<detail::Bf16Hook>>(detail::Bf16Hook{}, group));
      };
    } else {
      static_assert(gradient_hook<Hook>);
      return [hook = hook](c10d::Reducer& reducer, auto const& group) { reducer.register_comm_hook(std::make_unique<detail::ReducerHook<Hook>>(hook, group)); };
    }
  }
};

template <class Backend, class Hook>
template <class Parameters>
class Ddp<Backend, Hook>::bound {
 public:
  using tensor_type = typename Parameters::tensor_type;
  static constexpr bool is_single = false;

  explicit bound(std::unique_ptr<detail::DataParallel> ranks) : ranks_{std::move(ranks)} {}

  int rank() const noexcept { return group().rank(); }
  int local_rank() const noexcept { return group().local_rank(); }
  int world_size() const noexcept { return group().world_size(); }
  std::string name() const { return "ddp over " + std::string{Backend::name} + ", rank " + std::to_string(rank()) + " of " + std::to_string(world_size()); }

  void reduce_sum(std::span<double> numbers) { group().reduce_sum(numbers); }
  void begin_sum(std::span<double const> numbers) { group().begin_sum(numbers); }
  void end_sum(std::span<double> numbers) { group().end_sum(numbers); }
  void reduce_max(at::Tensor& tensor) { group().reduce_max(tensor); }
  std::int64_t agree(std::int64_t wish) { return group().agree(wish); }
  std::vector<std::string> gather(std::string_view text) { return group().gather(text); }
  at::Tensor gather(at::Tensor const& tensor) { return group().gather(tensor); }
  void broadcast(at::Tensor& tensor, int root) { group().broadcast(tensor, root); }
  void barrier() { group().barrier(); }

  detail::LocalScope no_sync() { return detail::LocalScope{&ranks_->local_depth()}; }

  bool needs_every_rank() const noexcept { return !members_.is_empty(); }
  detail::LocalScope absent() { return members_.absent(); }

  template <class Model>
  void prepare_model(Model& model) {
    ranks_->share(detail::untrained_of(model));
    members_.join(model, [ranks = ranks_.get()](at::Tensor& tensor) { ranks->group().reduce_sum(tensor); }, world_size());
  }
  void prepare_parameters(Parameters& parameters) { ranks_->prepare_parameters(parameters); }
  template <class Model>
  void begin_forward(Parameters& parameters, Model& model) {
    if (ranks_->begin_forward(parameters)) ranks_->broadcast_all(detail::buffers_of(model));
  }
  template <class Backward>
  void during_backward(Parameters& parameters, at::Tensor const& loss, Backward const& backward) {
    if (ranks_->local_depth() > 0) return backward();
    group().guarded(detail::backward_work, [&] {
      ranks_->begin_backward(parameters, loss);
      backward();
    });
  }
  void prepare_gradients(Parameters& parameters) { ranks_->prepare_gradients(parameters); }

 private:
  detail::ProcessGroup& group() const noexcept { return ranks_->group(); }

  std::unique_ptr<detail::DataParallel> ranks_;  // in its place: a bound policy is moved
  detail::Members members_{};
};

}  // namespace tacit::inline v0
