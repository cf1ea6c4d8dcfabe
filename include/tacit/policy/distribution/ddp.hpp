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
  Megabytes first_bucket = 1;      ///< the first of them, so that reducing begins early
  bool find_unused = false;        ///< some parameters get no gradient in some steps
  bool static_graph = false;       ///< the same parameters get one in every step; allows parameters that are used several times
  bool broadcast_buffers = true;   ///< running statistics are rank 0's before each window's last step
  std::chrono::milliseconds timeout = std::chrono::seconds{30};         ///< of one collective: when a rank is missing that long, the others fail
  std::chrono::milliseconds start_timeout = std::chrono::minutes{5};    ///< for all ranks to arrive
  std::optional<launch::World> world{};  ///< where not given, what the launcher says

  template <class Parameters>
  class bound;

  template <class Parameters, class Device>
    requires(Backend::template serves<Device>)
  bound<Parameters> bind(Device const&) const {
    return bound<Parameters>{*this};
  }
};

template <class Backend, class Hook>
template <class Parameters>
class Ddp<Backend, Hook>::bound {
 public:
  using tensor_type = typename Parameters::tensor_type;
  static constexpr bool is_single = false;

  explicit bound(Ddp const& config)
      : config_{config},
        group_{std::make_unique<detail::ProcessGroup>(config.world ? *config.world : launch::world(), config_.backend, config_.timeout, config_.start_timeout)} {}

  int rank() const noexcept { return group_->rank(); }
  int local_rank() const noexcept { return group_->local_rank(); }
  int world_size() const noexcept { return group_->world_size(); }
  std::string name() const { return "ddp over " + std::string{Backend::name} + ", rank " + std::to_string(rank()) + " of " + std::to_string(world_size()); }

  void reduce_sum(std::span<double> numbers) { group_->reduce_sum(numbers); }
  void reduce_max(at::Tensor& tensor) { group_->reduce_max(tensor); }
  std::int64_t agree(std::int64_t wish) { return group_->agree(wish); }
  std::vector<std::string> gather(std::string_view text) { return group_->gather(text); }
  at::Tensor gather(at::Tensor const& tensor) { return group_->gather(tensor); }
  void broadcast(at::Tensor& tensor, int root) { group_->broadcast(tensor, root); }
  void barrier() { group_->barrier(); }

  /// While it lives, backward passes leave gradients on this rank.
  class no_sync_scope {
   public:
    explicit no_sync_scope(int& depth) : depth_{&depth} { ++*depth_; }
    no_sync_scope(no_sync_scope&& other) noexcept : depth_{std::exchange(other.depth_, nullptr)} {}
    no_sync_scope& operator=(no_sync_scope&&) = delete;
    ~no_sync_scope() {
      if (depth_ != nullptr) --*depth_;
    }

   private:
    int* depth_;
  };
  no_sync_scope no_sync() { return no_sync_scope{local_depth_}; }

  /// Every rank's model becomes rank 0's: parameters, frozen ones too, and buffers.
  /// Throws: DistributedError if the models are not of one shape.
  template <class Model>
  void prepare_model(Model& model) {
    std::string description;
    std::vector<at::Tensor> tensors;
    auto add = [&](auto const& items) {
      for (auto const& item : items) {
        description += describe(item.key(), item.value());
        tensors.push_back(item.value().detach());
      }
    };
    add(model.named_parameters());
    add(model.named_buffers());
    require_same(description);
    group_->broadcast_all(tensors);
  }
  /// The same for parameters that a run trains; whatever was known about them is made anew.
  void prepare_parameters(Parameters& parameters) {
    std::erase_if(phases_, [&](detail::PhaseReducer const& phase) { return phase.parameters == &parameters; });
    std::string description;
    std::vector<at::Tensor> tensors;
    for (auto const& parameter : parameters) {
      description += describe(parameter.name, parameter.model);
      tensors.push_back(parameter.model.detach());
    }
    require_same(description);
    group_->broadcast_all(tensors);
  }

  /// Before the forward pass whose backward pass reduces; nothing under `no_sync`.
  template <class Model>
  void begin_forward(Parameters& parameters, Model& model) {
    if (local_depth_ > 0) return;
    detail::PhaseReducer& phase = phase_of(parameters);
    if (std::exchange(phase.has_begun_forward, true)) return;
    group_->guarded("beginning a forward pass", [&] {
      phase.reducer->prepare_for_forward();
      phase.reducer->rebuild_buckets();
    });
    if (!config_.broadcast_buffers) return;
    std::vector<at::Tensor> buffers;
    for (auto const& item : model.named_buffers()) buffers.push_back(item.value().detach());
    group_->broadcast_all(buffers);
  }
  /// Runs the backward pass; the last one of a window reduces gradients meanwhile.
  template <class Backward>
  void during_backward(Parameters& parameters, at::Tensor const& loss, Backward const& backward) {
    group_->guarded("computing and averaging gradients", [&] {
      if (local_depth_ == 0) {
        detail::PhaseReducer& phase = phase_of(parameters);
        phase.has_begun_backward = true;
        phase.reducer->prepare_for_backward(config_.find_unused ? std::vector<at::Tensor>{loss} : std::vector<at::Tensor>{});
      }
      backward();
    });
  }
  /// Gradients are whole afterwards, also where this rank had no batch: then zeros went into the mean.
  void prepare_gradients(Parameters& parameters) {
    detail::PhaseReducer& phase = phase_of(parameters);
    if (!phase.has_begun_backward) {
      at::AutoGradMode const graph{true};
      at::Tensor nothing = at::zeros({}, at::kDouble);
      for (auto const& parameter : parameters) {
        if (parameter.model.requires_grad()) nothing = nothing + (parameter.model.sum() * 0).to(nothing.device(), at::kDouble);
      }
      during_backward(parameters, nothing, [&] { nothing.backward(); });
    }
    if (config_.static_graph && std::exchange(phase.is_first, false)) {
      // The reducer only watches the first backward pass of a static graph.
      group_->guarded("averaging gradients", [&] { phase.reducer->delay_all_reduce(); });
    }
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
    std::vector<std::string> const all = group_->gather(description);
    for (std::size_t other = 1; other < all.size(); ++other) {
      if (all[other] == all[0]) continue;
      auto const [a, b] = std::mismatch(all[0].begin(), all[0].end(), all[other].begin(), all[other].end());
      auto const line = [](std::string const& text, std::size_t at) {
        std::size_t const first = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
        std::string const found = text.substr(first, text.find('\n', first) - first);
        return found.empty() ? std::string{"nothing more"} : found;
      };
      throw DistributedError{"TACIT-RX19",
                             detail::message({"the ranks have different models: rank 0 has ", line(all[0], static_cast<std::size_t>(a - all[0].begin())), ", rank ", other, " has ",
                                              line(all[other], static_cast<std::size_t>(b - all[other].begin()))}),
                             "Ddp", "make the same model on every rank"};
    }
  }

  detail::PhaseReducer& phase_of(Parameters& parameters) {
    for (detail::PhaseReducer& phase : phases_) {
      if (phase.parameters == &parameters) return phase;
    }
    std::vector<at::Tensor> tensors;
    std::unordered_map<std::size_t, std::string> names;
    for (auto const& parameter : parameters) {
      names[tensors.size()] = parameter.name;
      tensors.push_back(parameter.model);
    }
    detail::PhaseReducer phase;
    phase.parameters = &parameters;
    group_->guarded("making the reducer", [&] {
      constexpr std::size_t mebibyte = std::size_t{1} << 20;
      std::size_t const bytes = static_cast<std::size_t>(config_.bucket.value()) * mebibyte;
      std::size_t const first_bytes = static_cast<std::size_t>(config_.first_bucket.value()) * mebibyte;
      std::vector<bool> const sparse(tensors.size(), false);
      // Buckets are made anew in the order in which gradients came, unless parameters may stay unused.
      std::vector<std::size_t> const limits = config_.find_unused && !config_.static_graph ? std::vector{first_bytes, bytes} : std::vector{std::size_t{1} << 40};
      auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(tensors, limits, sparse));
      std::ranges::reverse(buckets);
      phase.reducer = make_reducer<c10d::Reducer>(tensors, buckets, sparse, static_cast<std::int64_t>(bytes), static_cast<std::int64_t>(first_bytes), names);
      phase.logger = std::make_shared<c10d::Logger>(phase.reducer);
      phase.reducer->set_logger(phase.logger);
      if (config_.static_graph) phase.reducer->set_static_graph();
      add_hook(*phase.reducer);
    });
    return phases_.emplace_back(std::move(phase));
  }
  /// LibTorch appends arguments from version to version.
  template <class Reducer>
  std::shared_ptr<Reducer> make_reducer(std::vector<at::Tensor> const& tensors, std::vector<std::vector<std::size_t>> const& buckets, std::vector<bool> const& sparse,
                                        std::int64_t bytes, std::int64_t first_bytes, std::unordered_map<std::size_t, std::string> const& names) {
    auto make = [&]<class... More>(More const&... more) {
      return std::make_shared<Reducer>(tensors, buckets, group_->group(), sparse, bytes, config_.find_unused, /*gradient_as_bucket_view=*/true, names, first_bytes, more...);
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
  void add_hook(c10d::Reducer& reducer) {
    if constexpr (std::same_as<Hook, Fp16Compression>) {
      reducer.register_builtin_comm_hook(c10d::BuiltinCommHookType::FP16_COMPRESS);
    } else if constexpr (std::same_as<Hook, Bf16Compression>) {
      reducer.register_comm_hook(std::make_unique<detail::ReducerHook<detail::Bf16Hook>>(detail::Bf16Hook{}, group_->group()));
    } else if constexpr (!std::same_as<Hook, NoCompression>) {
      static_assert(gradient_hook<Hook>);
      reducer.register_comm_hook(std::make_unique<detail::ReducerHook<Hook>>(config_.hook, group_->group()));
    }
  }

  Ddp config_;
  std::unique_ptr<detail::ProcessGroup> group_;  // in its place: a bound policy is moved
  std::vector<detail::PhaseReducer> phases_{};
  int local_depth_ = 0;
};

}  // namespace tacit::inline v0
