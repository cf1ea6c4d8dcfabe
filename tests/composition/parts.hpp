#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "composition/reference.hpp"
#include "fake/group.hpp"
#include "fake/tensor.hpp"
#include "tacit/task/model_freezer.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/train/trainer.hpp"

/// The parts that are put together: nets, batches, steps and policies over the fake tensor. What a part does in a run
/// is chosen by values, not by types, so that a few types make many compositions.
namespace composition {

using fake::Tensor;
namespace event = tacit::event;

/// What the run on this thread is to meet; every rank is a thread.
struct Surroundings {
  bool throws = false;        ///< batches that are marked so throw
  std::size_t memory = 1000;  ///< rows that fit
};
inline thread_local Surroundings surroundings{};

// --- nets ---

struct Items : std::vector<fake::Item> {
  using std::vector<fake::Item>::vector;
  Tensor& operator[](std::string const& name) {
    for (fake::Item& item : *this) {
      if (item.name == name) return item.tensor;
    }
    throw std::out_of_range{name};
  }
  bool contains(std::string const& name) const {
    for (fake::Item const& item : *this) {
      if (item.name == name) return true;
    }
    return false;
  }
};

/// As much of a module as the library asks for.
class Module {
 public:
  struct Child {
    std::string name;
    std::shared_ptr<Module> module;
    std::string const& key() const { return name; }
    std::shared_ptr<Module> const& value() const { return module; }
  };

  Items named_parameters(bool recurse = true) const {
    Items all{own_.begin(), own_.end()};
    if (!recurse) return all;
    for (Child const& child : children_) {
      for (fake::Item const& item : child.module->named_parameters()) {
        bool known = false;  // a tied one is met once
        for (fake::Item const& other : all) known = known || other.tensor.ptr() == item.tensor.ptr();
        if (!known) all.push_back({child.name + "." + item.name, item.tensor});
      }
    }
    return all;
  }
  Items named_buffers(bool = true) const { return {}; }
  std::vector<Child> const& named_children() const { return children_; }
  std::vector<Child> named_modules(std::string const&, bool) const { return children_; }
  std::vector<Module*> modules() {
    std::vector<Module*> all{this};
    for (Child const& child : children_) {
      for (Module* one : child.module->modules()) all.push_back(one);
    }
    return all;
  }
  void train(bool on = true) {
    training_ = on;
    for (Child const& child : children_) child.module->train(on);
  }
  bool is_training() const { return training_; }
  void set_own_mode(bool on) { training_ = on; }

 protected:
  void add(std::string name, Tensor const& tensor) { own_.push_back({std::move(name), tensor}); }
  void add(std::string name, std::shared_ptr<Module> child) {
    children_.push_back({std::move(name), std::move(child)});
  }

 private:
  std::vector<fake::Item> own_{};
  std::vector<Child> children_{};
  bool training_ = true;
};

class Layer : public Module {
 public:
  Layer(Tensor weight_, Tensor bias_) : weight{std::move(weight_)}, bias{std::move(bias_)} {
    add("weight", weight);
    add("bias", bias);
  }
  Tensor forward(Tensor const& x) const {
    return Tensor{std::vector<double>{is_training() ? 1.0 : 0.75}} * weight * x + bias;
  }

  Tensor weight;
  Tensor bias;
};

class Net : public Module {
 public:
  Net(std::shared_ptr<Layer> body, std::shared_ptr<Layer> head) : body_{body}, head_{head} {
    add("body", std::move(body));
    add("head", std::move(head));
  }
  Tensor forward(Tensor const& x) const {
    if (is_training() && x->values.size() > surroundings.memory) throw std::bad_alloc{};
    return head_->forward(body_->forward(x));
  }

 private:
  std::shared_ptr<Layer> body_;
  std::shared_ptr<Layer> head_;
};

// --- batches and steps ---

struct Labels {
  Tensor y;
  Tensor first_weight;  // of the first phase
  Tensor second_weight;
  Tensor third_weight;
  Tensor marks;
  Tensor const& weight(std::size_t phase) const {
    return phase == 0 ? first_weight : phase == 1 ? second_weight : third_weight;
  }
  bool has(unsigned mark) const {
    for (double value : marks->values) {
      if ((static_cast<unsigned>(value) & mark) != 0) return true;
    }
    return false;
  }
};
struct Batch {
  Tensor input;
  Labels target;

  void for_each_tensor(auto const& visit) { visit_all(*this, visit); }
  void for_each_tensor(auto const& visit) const { visit_all(*this, visit); }
  Batch rows(std::int64_t first, std::int64_t count) const {
    Batch part = *this;
    part.for_each_tensor([&](Tensor& tensor) { tensor = tacit::tensor_traits<Tensor>::rows(tensor, first, count); });
    return part;
  }

 private:
  static void visit_all(auto& self, auto const& visit) {
    visit(self.input);
    visit(self.target.y);
    visit(self.target.first_weight);
    visit(self.target.second_weight);
    visit(self.target.third_weight);
    visit(self.target.marks);
  }
};

inline Batch batch_of(std::span<reference::Row const> rows) {
  auto column = [&](auto const& get) {
    std::vector<double> values;
    for (reference::Row const& row : rows) values.push_back(get(row));
    return Tensor{std::move(values)};
  };
  auto const weight = [&](std::size_t phase) { return column([phase](auto const& row) { return row.weight[phase]; }); };
  return {column([](auto const& row) { return row.x; }),
          {column([](auto const& row) { return row.y; }), weight(0), weight(1), weight(2),
           column([](auto const& row) { return static_cast<double>(row.marks); })}};
}

/// x, with gradients that are infinite where a row is marked.
inline Tensor with_spikes(Tensor const& x, Labels const& labels, std::size_t phase) {
  std::vector<double> slopes;
  for (double marks : labels.marks->values) {
    slopes.push_back((static_cast<unsigned>(marks) & (reference::spike << phase)) != 0
                         ? std::numeric_limits<double>::infinity()
                         : 1.0);
  }
  std::vector<double> values(slopes.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = x->values[fake::at(x.node(), i)];
  return fake::make(std::move(values), {x.ptr(), Tensor{std::move(slopes)}.ptr()}, [](fake::Node& self) {
    for (std::size_t i = 0; i < self.adjoint.size(); ++i) {
      if (self.adjoint[i] != 0.0)
        fake::add_adjoint(*self.parents[0], fake::at(*self.parents[0], i),
                          self.adjoint[i] * self.parents[1]->values[i]);
    }
  });
}

inline Tensor number(double value) { return Tensor{std::vector<double>{value}}; }

/// The mean squared error over the rows, or over what they weigh.
inline Tensor loss_of(Tensor const& prediction, Labels const& labels, std::size_t phase, bool weighted, bool training,
                      double& weight) {
  if (training && surroundings.throws && labels.has(reference::throws)) throw std::runtime_error{"broken on purpose"};
  Tensor const error = with_spikes(prediction, labels, training ? phase : 9) - labels.y;
  Tensor squares = error * error;
  weight = static_cast<double>(labels.y->values.size());
  if (weighted) {
    double const rows = weight;
    weight = 0.0;
    for (double one : labels.weight(phase)->values) weight += one;
    if (weight != 0.0 || labels.has(reference::nan_if_nothing)) {
      squares = squares * (labels.weight(phase) * number(rows / weight));
    }
  }
  Tensor loss = fake::mean(squares);
  if (training && phase == 0 && labels.has(reference::not_a_number))
    loss = loss * number(std::numeric_limits<double>::quiet_NaN());
  return loss;
}

struct MeanLoss {
  Tensor loss;
};
struct WeighedLoss {
  Tensor loss;
  double weight;
};

/// The step of a phase; `other` is the net of the next phase, whose prediction it takes in.
template <bool Stated>
struct StepOf {
  std::size_t phase = 0;
  std::shared_ptr<Net> other{};
  double coupling = 0.0;

  auto operator()(Net& net, Batch const& batch, auto& context) const {
    Tensor prediction = net.forward(batch.input);
    if (other != nullptr) prediction = prediction + number(coupling) * other->forward(batch.input);
    double weight = 0.0;
    Tensor loss = loss_of(prediction, batch.target, phase, Stated, context.is_training(), weight);
    if constexpr (Stated) {
      return WeighedLoss{std::move(loss), weight};
    } else {
      return MeanLoss{std::move(loss)};
    }
  }
};

/// For supervised tasks; a criterion does not know whether it is training, but a graph does.
struct Criterion {
  Tensor operator()(Tensor const& prediction, Labels const& labels) const {
    double weight = 0.0;
    return loss_of(prediction, labels, 0, false, fake::no_grad_depth == 0, weight);
  }
};

// --- optimizers ---

/// Gradient descent, with a slot for the momentum where it has one, as the real ones.
template <bool Maskable>
struct Descent {
  using slot = tacit::slot::optimizer;
  double lr = 0.1;
  double momentum = 0.0;
  std::shared_ptr<double> factor{};  ///< of the rate: what schedules set

  template <class Parameters>
  struct Bound {
    static constexpr bool maskable = Maskable;
    Descent options;

    void step(Parameters& parameters, tacit::update_input<Tensor> const& input) {
      if constexpr (Maskable) {
        if (input.mask != nullptr && input.mask->node().values[0] != 0.0) return;
      }
      for (auto& parameter : parameters) {
        Tensor const& grad = parameter.model->grad;
        if (!grad.defined()) continue;
        for (std::size_t i = 0; i < grad->values.size(); ++i) {
          double velocity = grad->values[i];
          if (options.momentum != 0.0)
            velocity = parameter.slots.at(0)->values[i] =
                options.momentum * parameter.slots.at(0)->values[i] + velocity;
          parameter.model->values[i] -= *options.factor * options.lr * velocity;
        }
      }
    }
    void parameters_changed(Parameters& parameters) {
      if (options.momentum == 0.0) return;
      parameters.set_slot_names({"momentum"});
      for (auto& parameter : parameters) {
        if (parameter.slots.empty())
          parameter.slots.push_back(Tensor{std::vector<double>(parameter.model->values.size(), 0.0)});
      }
    }
  };
  template <class Parameters>
  Bound<Parameters> bind(Parameters& parameters) const {
    Bound<Parameters> bound{*this};
    bound.parameters_changed(parameters);
    return bound;
  }
};

/// One of the optimizers and wrappers, chosen at run time.
template <bool Maskable>
struct Chosen {
  using slot = tacit::slot::optimizer;
  using Plain = Descent<Maskable>;
  using Grouped = tacit::optim::Groups<Plain>;
  using Slow = tacit::optim::Lookahead<Plain>;
  using SlowGroups = tacit::optim::Lookahead<Grouped>;
  using GroupedSlow = tacit::optim::Groups<Slow>;

  reference::Optimizer what{};

  template <class Recipe>
  static tacit::optim::Group<Recipe> heads(Recipe const& options) {
    return {.name = "heads", .takes = tacit::optim::named("head."), .options = options, .may_be_empty = true};
  }

  template <class Parameters>
  class Bound {
   public:
    static constexpr bool maskable = Maskable;

    Bound(reference::Optimizer const& what, Parameters& parameters) : inner_{make(what, parameters)} {}
    void step(Parameters& parameters, tacit::update_input<Tensor> const& input) {
      std::visit([&](auto& one) { one.step(parameters, input); }, inner_);
    }
    void parameters_changed(Parameters& parameters) {
      std::visit([&](auto& one) { one.parameters_changed(parameters); }, inner_);
    }
    /// Slow weights start anew where an average was put into the model.
    void weights_replaced(Parameters const& parameters) {
      std::visit(
          [&](auto& one) {
            if constexpr (requires { one.weights_replaced(parameters); }) one.weights_replaced(parameters);
          },
          inner_);
    }
    double field(tacit::name<"lr">) { return *factor_; }
    void set_field(tacit::name<"lr">, double value) { *factor_ = value; }

   private:
    template <class Recipe>
    using bound_of = decltype(std::declval<Recipe const&>().bind(std::declval<Parameters&>()));
    using any =
        std::variant<bound_of<Plain>, bound_of<Grouped>, bound_of<Slow>, bound_of<SlowGroups>, bound_of<GroupedSlow>>;

    any make(reference::Optimizer const& what, Parameters& parameters) const {
      Plain const base{what.base.lr, what.base.momentum, factor_};
      Plain const head{what.head.lr, what.head.momentum, factor_};
      Grouped const grouped{.base = base, .groups = {heads(head)}};
      auto const slow = [&](auto const& inner) {
        return tacit::optim::Lookahead<std::remove_cvref_t<decltype(inner)>>{
            .inner = inner, .every = what.slow_every, .alpha = what.slow_step};
      };
      if (what.slow_every == 0) return what.has_groups ? any{grouped.bind(parameters)} : any{base.bind(parameters)};
      if (!what.has_groups) return any{slow(base).bind(parameters)};
      if (!what.slow_by_group) return any{slow(grouped).bind(parameters)};
      return any{GroupedSlow{.base = slow(base), .groups = {heads(slow(head))}}.bind(parameters)};
    }

    std::shared_ptr<double> factor_ = std::make_shared<double>(1.0);
    any inner_;
  };

  template <class Parameters>
  Bound<Parameters> bind(Parameters& parameters) const {
    return {what, parameters};
  }
};

// --- precision ---

/// Scales losses by a power of two; an update with a gradient that is not finite changes nothing and halves the scale.
struct Scaling {
  using slot = tacit::slot::precision;

  template <class Parameters>
  struct bound {
    struct guard {};
    static constexpr bool casts = false;
    Tensor const& cast(Tensor const& tensor) const { return tensor; }
    guard autocast() const { return {}; }
    void backward(Tensor const& loss, double factor) const { loss.backward(factor * scale); }
    Tensor const* unscale(Parameters& parameters) {
      bool bad = false;
      for (auto& parameter : parameters) {
        if (!parameter.model->grad.defined()) continue;
        for (double& value : parameter.model->grad->values) {
          bad = bad || !std::isfinite(value);
          value /= scale;
        }
      }
      found = found || bad;
      mask = number(bad ? 1.0 : 0.0);
      return &mask;
    }
    void after_update() {
      if (found) {
        ++left_out;
        scale *= 0.5;
      }
      found = false;
    }
    void discard() { found = false; }
    std::int64_t skipped(tacit::LogPoint const*) const { return left_out; }
    char const* name() const { return "fake scaling"; }

    double scale = 1024.0;
    bool found = false;
    std::int64_t left_out = 0;
    Tensor mask{};
  };
  template <class Parameters, class Device>
  bound<Parameters> bind(Device const&) const {
    return {};
  }
};

// --- callbacks ---

struct Skipper {
  tacit::Flow on(event::TrainStepStart const&, auto& context) {
    return context.batch().target.has(reference::skip) ? tacit::Flow::skip_batch : tacit::Flow::proceed;
  }
};

/// Freezes the first net's body in one epoch and unfreezes it in a later one.
struct Freeze {
  std::shared_ptr<tacit::ModelFreezer<Net>> freezer;
  int from = 0;
  int to = 0;
  int epochs = 0;
  void on(event::TrainingRunEpochStart const&, auto& context) {
    int const epoch = epochs++;
    if (epoch == from) context.change_parameters([this](auto& all) { freezer->freeze(all, 0, 0); });
    if (epoch == to) context.change_parameters([this](auto& all) { freezer->unfreeze(all, 0, 0); });
  }
};

// --- ranks ---

/// As `fake::run_ranks`; one that ends while others wait for it is found out as well.
template <class Body>
void run_ranks(int size, Body const& body) {
  fake::Group group{size};
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  auto const one = [&](int rank) {
    try {
      body(fake::Rank{&group, rank, nullptr});
      group.leave("rank " + std::to_string(rank) + " is done");
    } catch (std::exception const& error) {
      errors[static_cast<std::size_t>(rank)] = std::current_exception();
      group.leave("rank " + std::to_string(rank) + " failed: " + error.what());
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 1; rank < size; ++rank) threads.emplace_back([&, rank] { one(rank); });
  one(0);
  for (std::thread& thread : threads) thread.join();
  for (std::exception_ptr const& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace composition
