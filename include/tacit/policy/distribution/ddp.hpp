#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
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
/// Gradients travel in 16 bits: half the bytes, and what FP16 or BF16 make of them, scaled so that none overflows. All ranks get the same.
struct Fp16Compression {};
struct Bf16Compression {};

/// How a bucket of gradients becomes its mean over the ranks: `reduce(group, bucket)` returns a future of the tensor, already divided.
///
/// Gradients of any magnitude come: multiplied by the weights that a step states and by a loss scale. A hook that stores them in a type of
/// smaller range scales them before.
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

/// Gradients travel in 16 bits, scaled by a power of two that all ranks have alike: what the largest of them is does not matter, and no
/// sum overflows. Infinite gradients make the whole bucket NaN.
/// Cost: one reduction of a single number before each bucket's. No host read.
template <at::ScalarType Small>
struct SmallHook {
  c10::intrusive_ptr<c10::ivalue::Future> reduce(c10::intrusive_ptr<c10d::ProcessGroup> const& group, c10d::GradBucket& bucket) const {
    at::NoGradGuard const no_graph;
    at::Tensor const whole = bucket.getBuffer();
    auto const ranks = static_cast<double>(group->getSize());
    bool const is_wide = whole.scalar_type() != Small;  // bfloat16 reaches further than float16
    at::Tensor const wide = is_wide && at::isReducedFloatingType(whole.scalar_type()) ? whole.to(at::kFloat) : whole;
    at::Tensor unit;
    double margin = 1.0;  // a power of two
    std::vector<at::Tensor> small;
    if (is_wide) {
      std::vector<at::Tensor> most{at::linalg_vector_norm(wide, std::numeric_limits<double>::infinity()).reshape({1})};
      c10d::AllreduceOptions largest;
      largest.reduceOp = c10d::ReduceOp::MAX;
      group->allreduce(most, largest)->wait();
      unit = power_below(most[0]);
      // The sum of all ranks stays below 2^15.
      margin = 16384.0;
      for (double sum = 1.0; sum < ranks; sum *= 2.0) margin /= 2.0;
      small.push_back(wide.div(unit).mul_(margin).to(Small));
    } else {
      small.push_back(whole.div(ranks).to(Small));
    }
    return group->allreduce(small)->getFuture()->then(
        [whole, unit, factor = is_wide ? 1.0 / (margin * ranks) : 1.0](c10::ivalue::Future& done) {
          at::NoGradGuard const no_graph_here;
          whole.copy_(done.value().toTensorVector().at(0));
          if (unit.defined()) whole.mul_(factor).mul_(unit);  // in this order nothing overflows
          return c10::IValue{whole};
        },
        c10::TensorType::get());
  }

 private:
  /// The largest power of two that is not above x, exactly: its exponent alone. At least 2^-100, so that nothing is divided by 0.
  static at::Tensor power_below(at::Tensor const& x) {
    at::Tensor const some = x.clamp_min(0x1p-100);
    return some.scalar_type() == at::kDouble ? some.view(at::kLong).bitwise_and(std::int64_t{0x7ff0000000000000}).view(at::kDouble)
                                             : some.view(at::kInt).bitwise_and(std::int64_t{0x7f800000}).view(at::kFloat);
  }
};

/// A loss that reaches every parameter and gives none of them a gradient. (LibTorch sees the tensors of a `TensorList`,
/// not of a vector.)
struct NoGradients : torch::autograd::Function<NoGradients> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList parameters) {
    context->saved_data["count"] = static_cast<std::int64_t>(parameters.size());
    return at::zeros({}, parameters.at(0).options());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list const&) {
    return torch::autograd::variable_list(static_cast<std::size_t>(context->saved_data["count"].toInt()));
  }
};

/// Which parameters a backward pass reached: a flag each, set by a hook behind its gradient. Hooks share the flags, and go with this.
class ReachedParameters {
 public:
  enum state : char { not_reached, without_gradient, with_gradient };

  explicit ReachedParameters(std::vector<at::Tensor> const& parameters) : flags_{std::make_shared<std::vector<char>>(parameters.size(), char{not_reached})} {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      std::shared_ptr<torch::autograd::Node> const node = torch::autograd::impl::grad_accumulator(parameters[i]);
      if (node == nullptr) continue;
      auto hook = std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [flags = flags_, i](torch::autograd::variable_list const& outputs, torch::autograd::variable_list const& inputs) {
            (*flags)[i] = std::max((*flags)[i], !inputs.empty() && inputs[0].defined() ? char{with_gradient} : char{without_gradient});
            return outputs;
          });
      hooks_.emplace_back(node->add_post_hook(std::move(hook)), node);
    }
  }
  ReachedParameters(ReachedParameters const&) = delete;
  ReachedParameters& operator=(ReachedParameters const&) = delete;
  ~ReachedParameters() {
    for (auto& [key, node] : hooks_) node->del_post_hook(key);
  }
  void reset() { std::ranges::fill(*flags_, char{not_reached}); }
  state of(std::size_t parameter) const { return static_cast<state>((*flags_)[parameter]); }

 private:
  std::shared_ptr<std::vector<char>> flags_;
  std::vector<std::pair<std::uintptr_t, std::shared_ptr<torch::autograd::Node>>> hooks_{};
};

/// What of LibTorch's reducer belongs to the parameters of one phase.
struct PhaseReducer {
  void const* parameters = nullptr;
  std::shared_ptr<c10d::Reducer> reducer{};
  std::shared_ptr<c10d::Logger> logger{};  // without one a changing set of unused parameters would crash
  std::shared_ptr<ReachedParameters> reached{};
  std::vector<bool> had_gradient{};  // before the window's last backward pass
  bool has_begun_forward = false;
  bool has_begun_backward = false;
};

inline constexpr char const* backward_work = "computing and averaging gradients";

/// The members of `Ddp` of these names.
struct DataParallelOptions {
  Megabytes bucket;
  Megabytes first_bucket;
  bool find_unused;
  bool overlap;
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

  /// Where there are others, and buffers are to be rank 0's.
  bool shares_buffers() const noexcept { return options_.broadcast_buffers && group_.world_size() > 1; }
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
  /// Before a run, on every rank: nothing is left of one that ended in the middle of a step. Reducers are made anew.
  void begin_run() {
    group_.begin_run();
    phases_.clear();
    local_depth_ = 0;
  }
  void begin_backward(parameters_type& parameters, at::Tensor const& loss) {
    if (local_depth_ > 0) return;
    if (!options_.overlap) return;
    PhaseReducer& phase = phase_of(parameters);
    phase.has_begun_backward = true;
    phase.reached->reset();
    phase.had_gradient.clear();
    for (auto const& parameter : parameters) phase.had_gradient.push_back(parameter.model.grad().defined());
    phase.reducer->prepare_for_backward(options_.find_unused ? std::vector<at::Tensor>{loss} : std::vector<at::Tensor>{});
  }
  /// Gradients are whole afterwards, also where this rank had no batch: then zeros went into the mean.
  void prepare_gradients(parameters_type& parameters) {
    PhaseReducer& phase = phase_of(parameters);
    group_.guarded("averaging gradients", [&] {
      bool const requires_all = !options_.find_unused;
      if (phase.has_begun_backward) {
        if (requires_all) require_gradients(phase, parameters);
      } else {
        // What the window has so far stayed here; a rank without any batch has nothing at all.
        if (requires_all && std::ranges::any_of(parameters, [](auto const& parameter) { return parameter.model.grad().defined(); })) {
          require_all(parameters, [&](std::size_t, auto const& parameter) { return parameter.model.grad().defined(); });
        }
        reduce_what_is_there(phase, parameters);
      }
    });
    phase.has_begun_forward = phase.has_begun_backward = false;
  }

 private:
  /// A backward pass of its own, which brings no gradient: the reducer takes those that the window has, and zeros for
  /// the others.
  void reduce_what_is_there(PhaseReducer& phase, parameters_type& parameters) {
    at::AutoGradMode const graph{true};
    std::vector<at::Tensor> all;
    for (auto const& parameter : parameters) all.push_back(parameter.model);
    at::Tensor const nothing = NoGradients::apply(at::TensorList{all});
    phase.reducer->prepare_for_backward(options_.find_unused ? std::vector<at::Tensor>{nothing}
                                                             : std::vector<at::Tensor>{});
    nothing.backward();
  }
  /// A parameter that the last backward pass of the window did not reach has kept the reducer, and with it the other ranks, waiting.
  /// One with a gradient of an earlier step of the window is given to it now.
  /// Throws: DistributedError that names those without any; the optimizer has not stepped, here or elsewhere.
  void require_gradients(PhaseReducer& phase, parameters_type& parameters) {
    require_all(parameters, [&](std::size_t at, auto const&) { return phase.had_gradient[at] || phase.reached->of(at) == ReachedParameters::with_gradient; });
    std::vector<at::Tensor> late;
    std::size_t at = 0;
    for (auto const& parameter : parameters) {
      if (parameter.model.requires_grad() && phase.reached->of(at) == ReachedParameters::not_reached) late.push_back(parameter.model);
      ++at;
    }
    if (late.empty()) return;
    at::AutoGradMode const graph{true};
    NoGradients::apply(at::TensorList{late}).backward();
  }
  template <class HasGradient>
  void require_all(parameters_type& parameters, HasGradient const& has_gradient) {
    std::string missing;
    std::size_t count = 0;
    std::size_t at = 0;
    for (auto const& parameter : parameters) {
      if (bool const has = has_gradient(at++, parameter); has || !parameter.model.requires_grad()) continue;
      if (++count <= 5) missing.append(missing.empty() ? "'" : ", '").append(parameter.name).append("'");
    }
    if (count == 0) return;
    if (count > 5) missing.append(" and ").append(std::to_string(count - 5)).append(" more");
    std::string const what = message({"rank ", group_.rank(), " of ", group_.world_size(), " has no gradient for ", missing, " in this update"});
    phases_.clear();  // they hold the group, whose connections are to close: the other ranks wait in their backward passes
    group_.leave_word(what);
    throw DistributedError{"TACIT-RX32", what, "Ddp", "freeze what the loss does not depend on, or set `.find_unused = true`"};
  }

  static std::string describe(std::string_view name, at::Tensor const& tensor) {
    return message({name, " ", c10::toString(tensor.scalar_type()), " ", sizes_text(tensor.sizes()), "\n"});
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
      std::vector<std::size_t> const limits =
          options_.find_unused ? std::vector{first_bytes, bytes} : std::vector{std::size_t{1} << 40};
      auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(tensors, limits, sparse));
      std::ranges::reverse(buckets);
      phase.reducer = make_reducer<c10d::Reducer>(tensors, buckets, sparse, static_cast<std::int64_t>(bytes), static_cast<std::int64_t>(first_bytes), names);
      phase.logger = std::make_shared<c10d::Logger>(phase.reducer);
      phase.reducer->set_logger(phase.logger);
      phase.reached = std::make_shared<ReachedParameters>(tensors);
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
  Megabytes first_bucket = 1;      ///< the first of them, so that reducing begins early
  bool find_unused = false;        ///< some parameters get no gradient in some updates; without it that is an error
  bool overlap = true;  ///< averages gradients during the backward pass; false: after it, which a checkpointed unit
                        ///< needs that is used several times in a step
  bool broadcast_buffers = true;   ///< running statistics are rank 0's before each window's last step, in evaluations and at the end of a run
  std::chrono::milliseconds timeout = std::chrono::seconds{30};       ///< of one collective: when a rank is missing that long, the others fail
  std::chrono::milliseconds start_timeout = std::chrono::minutes{5};  ///< for all ranks to arrive, at the start of the program and of each run
  std::optional<launch::World> world{};                               ///< where not given, what the launcher says

  template <class Parameters>
  class bound;

  /// False: the backend averages no gradients on that device, and the pair is refused (EP41).
  template <class Device>
  static constexpr bool serves = Backend::template serves<Device>;
  template <class Parameters, class Device>
    requires(Backend::template serves<Device>)
  bound<Parameters> bind(Device const& device) const {
    return bound<Parameters>{join(detail::place_of(device))};
  }

  /// For policies that are made of this one: joins the other ranks.
  std::shared_ptr<detail::DataParallel> join(c10::Device device) const {
    return std::make_shared<detail::DataParallel>(
        detail::DataParallelOptions{bucket, first_bucket, find_unused, overlap, broadcast_buffers}, add_hook(),
        world ? *world : launch::world(), backend, device, timeout, start_timeout);
  }

  static void visit_config(auto& self, auto&& visit) {
    visit("bucket", self.bucket);
    visit("first_bucket", self.first_bucket);
    visit("find_unused", self.find_unused);
    visit("overlap", self.overlap);
    visit("broadcast_buffers", self.broadcast_buffers);
  }

 private:
  template <at::ScalarType Small>
  static detail::DataParallel::add_hook small_hook() {
    using hook_type = detail::SmallHook<Small>;
    return [](c10d::Reducer& reducer, auto const& group) { reducer.register_comm_hook(std::make_unique<detail::ReducerHook<hook_type>>(hook_type{}, group)); };
  }
  detail::DataParallel::add_hook add_hook() const {
    if constexpr (std::same_as<Hook, NoCompression>) {
      return {};
    } else if constexpr (std::same_as<Hook, Fp16Compression>) {
      return small_hook<at::kHalf>();
    } else if constexpr (std::same_as<Hook, Bf16Compression>) {
      return small_hook<at::kBFloat16>();
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

  explicit bound(std::shared_ptr<detail::DataParallel> ranks) : ranks_{std::move(ranks)} {}

  int rank() const noexcept { return group().rank(); }
  int local_rank() const noexcept { return group().local_rank(); }
  int world_size() const noexcept { return group().world_size(); }
  std::string name() const { return "ddp over " + std::string{Backend::name} + ", rank " + std::to_string(rank()) + " of " + std::to_string(world_size()); }

  void reduce_sum(std::span<double> numbers) { group().reduce_sum(numbers); }
  void begin_sum(std::span<double const> numbers) { group().begin_sum(numbers); }
  void end_sum(std::span<double> numbers) { group().end_sum(numbers); }
  void reduce_max(at::Tensor& tensor) { group().reduce_max(tensor); }
  std::int64_t agree(std::int64_t request) { return group().agree(request); }
  std::vector<std::string> gather(std::string_view text) { return group().gather(text); }
  at::Tensor gather(at::Tensor const& tensor, bool counts = true) { return group().gather(tensor, counts); }
  at::Tensor sum(at::Tensor const& tensor, bool counts = true) { return group().sum(tensor, counts); }
  std::vector<std::string> meet(std::string_view text) { return group().meet(text); }
  bool await_main(bool failed, std::chrono::milliseconds limit) { return group().await_main(failed, limit); }
  void begin_run() { ranks_->begin_run(); }
  void broadcast(at::Tensor& tensor, int root) { group().broadcast(tensor, root); }
  void barrier() { group().barrier(); }

  detail::LocalScope no_sync() { return detail::LocalScope{&ranks_->local_depth()}; }

  bool needs_every_rank() const noexcept { return !members_.is_empty(); }
  detail::LocalScope absent() { return members_.absent(); }

  template <class Model>
  void prepare_model(Model& model) {
    ranks_->share(detail::untrained_of(model));
    members_.join(model, [ranks = std::weak_ptr{ranks_}](at::Tensor& tensor) {
      auto const there = ranks.lock();
      if (there != nullptr) there->group().reduce_sum(tensor);
      return there != nullptr;
    }, world_size());
  }
  template <class Model>
  void share_buffers(Model& model) {
    if (ranks_->shares_buffers()) ranks_->broadcast_all(detail::buffers_of(model));
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

  std::shared_ptr<detail::DataParallel> ranks_;  // modules look whether it is still there
  detail::Members members_{};
};

}  // namespace tacit::inline v0
