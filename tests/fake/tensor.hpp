#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/task/parameter_set.hpp"

/// A tensor library of one page: vectors of doubles with reverse-mode gradients, on the host or on a pretended device
/// whose reads are counted. Everything that names no LibTorch type is tested against it.
namespace fake {

inline thread_local int no_grad_depth = 0;
inline thread_local std::int64_t thread_count = 4;  // that operations would use
inline thread_local std::int64_t comparisons = 0;  // of tensors with each other
inline thread_local std::int64_t device_reads = 0;  // reads that a real device would have to be waited for

class Tensor;
struct Node;

/// An error of the library, to which places can be added.
struct Error : std::exception {
  explicit Error(std::string what) : text{std::move(what)} {}
  char const* what() const noexcept override { return text.c_str(); }
  std::string text;
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::vector<double> values, bool requires_grad = false);
  explicit Tensor(std::shared_ptr<Node> node) : node_{std::move(node)} {}

  bool defined() const { return node_ != nullptr; }
  Node* operator->() const { return node_.get(); }
  Node& node() const { return *node_; }
  std::shared_ptr<Node> const& ptr() const { return node_; }
  double item() const;
  std::vector<double> const& values() const;
  void backward(double seed = 1.0) const;

 private:
  std::shared_ptr<Node> node_;
};

struct Node {
  std::vector<double> values;
  std::vector<double> adjoint;
  Tensor grad;
  bool requires_grad = false;
  bool is_leaf = true;
  bool on_device = false;
  bool is_integer = false;
  std::vector<std::shared_ptr<Node>> parents;
  std::vector<bool> wanted;  // whether a parent required a gradient when the graph was recorded
  void (*propagate)(Node&) = nullptr;
};

inline Tensor::Tensor(std::vector<double> values, bool requires_grad) : node_{std::make_shared<Node>()} {
  node_->values = std::move(values);
  node_->requires_grad = requires_grad;
}
inline double Tensor::item() const {
  if (node_->values.size() != 1) throw std::runtime_error{"item of a tensor of " + std::to_string(node_->values.size())};
  if (node_->on_device) ++device_reads;
  return node_->values[0];
}
inline std::vector<double> const& Tensor::values() const { return node_->values; }

inline void backward_through(Node& node) {
  if (node.is_leaf) {
    if (!node.grad.defined()) {
      node.grad = Tensor{std::vector<double>(node.values.size(), 0.0)};
      node.grad->on_device = node.on_device;
    }
    for (std::size_t i = 0; i < node.adjoint.size(); ++i) node.grad->values[i] += node.adjoint[i];
    return;
  }
  node.propagate(node);
  for (std::size_t i = 0; i < node.parents.size(); ++i) {
    Node& parent = *node.parents[i];
    if (node.wanted[i]) backward_through(parent);
    std::fill(parent.adjoint.begin(), parent.adjoint.end(), 0.0);
  }
}
inline void Tensor::backward(double seed) const {
  if (!node_->requires_grad) throw std::runtime_error{"backward through a tensor without a graph"};
  node_->adjoint.assign(node_->values.size(), seed);
  backward_through(*node_);
}

inline void add_adjoint(Node& node, std::size_t i, double value) {
  if (node.adjoint.size() != node.values.size()) node.adjoint.assign(node.values.size(), 0.0);
  node.adjoint[i] += value;
}

inline Tensor make(std::vector<double> values, std::vector<std::shared_ptr<Node>> parents, void (*propagate)(Node&)) {
  Tensor result{std::move(values)};
  bool graph = false;
  for (auto const& parent : parents) {
    graph = graph || parent->requires_grad;
    result->on_device = result->on_device || parent->on_device;
  }
  if (graph && no_grad_depth == 0) {
    result->requires_grad = true;
    result->is_leaf = false;
    for (auto const& parent : parents) result->wanted.push_back(parent->requires_grad);
    result->parents = std::move(parents);
    result->propagate = propagate;
  }
  return result;
}

// Elementwise, with a one-element operand broadcast.
inline std::size_t at(Node const& node, std::size_t i) { return node.values.size() == 1 ? 0 : i; }

inline Tensor operator+(Tensor const& a, Tensor const& b) {
  std::vector<double> values(std::max(a->values.size(), b->values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = a->values[at(a.node(), i)] + b->values[at(b.node(), i)];
  return make(std::move(values), {a.ptr(), b.ptr()}, [](Node& self) {
    for (std::size_t i = 0; i < self.adjoint.size(); ++i) {
      add_adjoint(*self.parents[0], at(*self.parents[0], i), self.adjoint[i]);
      add_adjoint(*self.parents[1], at(*self.parents[1], i), self.adjoint[i]);
    }
  });
}
inline Tensor operator-(Tensor const& a, Tensor const& b) {
  std::vector<double> values(std::max(a->values.size(), b->values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = a->values[at(a.node(), i)] - b->values[at(b.node(), i)];
  return make(std::move(values), {a.ptr(), b.ptr()}, [](Node& self) {
    for (std::size_t i = 0; i < self.adjoint.size(); ++i) {
      add_adjoint(*self.parents[0], at(*self.parents[0], i), self.adjoint[i]);
      add_adjoint(*self.parents[1], at(*self.parents[1], i), -self.adjoint[i]);
    }
  });
}
inline Tensor operator*(Tensor const& a, Tensor const& b) {
  std::vector<double> values(std::max(a->values.size(), b->values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = a->values[at(a.node(), i)] * b->values[at(b.node(), i)];
  return make(std::move(values), {a.ptr(), b.ptr()}, [](Node& self) {
    Node& x = *self.parents[0];
    Node& y = *self.parents[1];
    for (std::size_t i = 0; i < self.adjoint.size(); ++i) {
      add_adjoint(x, at(x, i), self.adjoint[i] * y.values[at(y, i)]);
      add_adjoint(y, at(y, i), self.adjoint[i] * x.values[at(x, i)]);
    }
  });
}
inline Tensor mean(Tensor const& a) {
  double sum = 0.0;
  for (double value : a->values) sum += value;
  return make({sum / static_cast<double>(a->values.size())}, {a.ptr()}, [](Node& self) {
    Node& x = *self.parents[0];
    for (std::size_t i = 0; i < x.values.size(); ++i) add_adjoint(x, i, self.adjoint[0] / static_cast<double>(x.values.size()));
  });
}

struct Item {
  std::string name;
  Tensor tensor;
  std::string const& key() const { return name; }
  Tensor& value() { return tensor; }
  Tensor const& value() const { return tensor; }
};

/// y = weight * x + bias, with the members that the library asks of a module.
class Linear {
 public:
  Linear(double first_weight = 0.5, double first_bias = 0.0) : weight{{first_weight}, true}, bias{{first_bias}, true} {}

  Tensor forward(Tensor const& input) {
    forwards.push_back(training_);
    return weight * input + bias;
  }
  std::vector<Item> named_parameters() const { return {{"weight", weight}, {"bias", bias}}; }
  std::vector<Item> named_buffers() const { return {}; }
  void train(bool on = true) { training_ = on; }
  bool is_training() const { return training_; }

  Tensor weight;
  Tensor bias;
  std::vector<bool> forwards;  // the mode at each forward

 private:
  bool training_ = true;
};

struct MeanSquaredError {
  Tensor operator()(Tensor const& prediction, Tensor const& target) const {
    Tensor const difference = prediction - target;
    return mean(difference * difference);
  }
};

/// Plain gradient descent with momentum; `maskable` on the device as the real ones are.
template <bool Maskable = true>
struct BasicSgd {
  using slot = tacit::slot::optimizer;
  double lr = 0.1;
  double momentum = 0.0;

  class Bound {
   public:
    static constexpr bool maskable = Maskable;
    double lr;
    double momentum;
    std::int64_t steps = 0;

    template <class Parameters>
    Bound(BasicSgd const& recipe, Parameters& parameters) : lr{recipe.lr}, momentum{recipe.momentum} {
      if (parameters.empty()) throw tacit::ConfigError{"TACIT-RC29", "there is no parameter", "fake::Sgd", "pass a model"};
      parameters.set_slot_names({"momentum"});
      parameters_changed(parameters);
    }
    template <class Parameters>
    void step(Parameters& parameters, tacit::update_input<Tensor> const& input) {
      ++steps;
      if (input.mask != nullptr && input.mask->node().values[0] != 0.0) return;  // on the device: no read is counted
      for (auto& parameter : parameters) {
        Tensor const& grad = parameter.model->grad;
        if (!grad.defined()) continue;
        for (std::size_t i = 0; i < grad->values.size(); ++i) {
          double& velocity = parameter.slots[0]->values[i];
          velocity = momentum * velocity + grad->values[i];
          parameter.model->values[i] -= lr * velocity;
        }
      }
    }
    template <class Parameters>
    void parameters_changed(Parameters& parameters) {
      for (auto& parameter : parameters) {
        if (parameter.slots.empty()) parameter.slots.push_back(Tensor{std::vector<double>(parameter.model->values.size(), 0.0)});
      }
    }
  };

  template <class Parameters>
  Bound bind(Parameters& parameters) const {
    return {*this, parameters};
  }
};
using Sgd = BasicSgd<true>;

struct Batch {
  Tensor input;
  Tensor target;
};

/// Samples (x, 2 x + 1) for x = 0, 1, ... scaled to [0, 1).
class Line {
 public:
  explicit Line(std::int64_t size) : size_{size} {}
  std::int64_t size() const { return size_; }
  Batch get_batch(std::span<std::int64_t const> indices) const {
    std::vector<double> x;
    std::vector<double> y;
    for (std::int64_t index : indices) {
      x.push_back(static_cast<double>(index) / static_cast<double>(size_));
      y.push_back(2.0 * x.back() + 1.0);
    }
    return {Tensor{std::move(x)}, Tensor{std::move(y)}};
  }

 private:
  std::int64_t size_;
};

/// A device whose tensors cannot be read for free: what is moved to it stays there.
struct Gpu {
  using slot = tacit::slot::device;
  template <class T>
  struct bound {
    static constexpr bool is_host = false;
    T to(T const& tensor) const {
      T moved{tensor->values};
      moved->requires_grad = tensor->requires_grad;
      moved->on_device = true;
      return moved;
    }
    bool host_reads_free() const { return false; }
    char const* name() const { return "fake gpu"; }
    void synchronize() {}
  };
  template <class T>
  bound<T> bind() const {
    return {};
  }
};

}  // namespace fake

namespace tacit::inline v0 {

template <>
struct tensor_traits<fake::Tensor> {
  using Tensor = fake::Tensor;
  struct no_grad {
    no_grad() { ++fake::no_grad_depth; }
    no_grad(no_grad const&) = delete;
    no_grad& operator=(no_grad const&) = delete;
    ~no_grad() { --fake::no_grad_depth; }
  };
  static bool defined(Tensor const& t) { return t.defined(); }
  static std::int64_t size0(Tensor const& t) { return static_cast<std::int64_t>(t->values.size()); }
  static std::int64_t dimensions(Tensor const&) { return 1; }
  static std::int64_t numel(Tensor const& t) { return static_cast<std::int64_t>(t->values.size()); }
  static Tensor rows(Tensor const& t, std::int64_t first, std::int64_t count) {
    Tensor result{{t->values.begin() + first, t->values.begin() + first + count}};
    result->on_device = t->on_device;
    return result;
  }
  static bool out_of_memory(std::exception const& error) { return dynamic_cast<std::bad_alloc const*>(&error) != nullptr; }
  static void add_context(std::exception& error, std::string const& text) {
    if (auto* const own = dynamic_cast<fake::Error*>(&error)) own->text += "\n  " + text;
  }
  static std::string shape(Tensor const& t) { return "[" + std::to_string(t.defined() ? t->values.size() : 0) + "]"; }
  static std::int64_t threads() { return fake::thread_count; }
  static void set_threads(std::int64_t count) { fake::thread_count = count; }
  static bool host_readable(Tensor const& t) { return !t->on_device; }
  static double read(Tensor const& t) { return t.item(); }
  static Tensor sum(Tensor const& t) {
    double total = 0.0;
    for (double value : t->values) total += value;
    return scalar_like(total, t);
  }
  static Tensor scalar_like(double value, Tensor const& like) {
    Tensor result{std::vector<double>{value}};
    result->on_device = like->on_device;
    return result;
  }
  static Tensor flag_like(double value, Tensor const& like) { return scalar_like(value, like); }
  static void add_(Tensor& t, Tensor const& x, double factor) { t->values[0] += factor * x->values[0]; }
  static void max_(Tensor& t, Tensor const& x) { t->values[0] = std::max(t->values[0], x->values[0]); }
  static Tensor weighted(Tensor const& x, Tensor const& weight) {
    return scalar_like(weight->values[0] == 0.0 ? 0.0 : x->values[0] * weight->values[0], x->on_device ? x : weight);
  }
  static Tensor non_finite(Tensor const& t) {
    bool const bad = std::ranges::any_of(t->values, [](double value) { return !std::isfinite(value); });
    return scalar_like(bad ? 1.0 : 0.0, t);
  }
  static Tensor first_non_finite(std::vector<Tensor> const& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (non_finite(list[i])->values[0] != 0.0) return scalar_like(static_cast<double>(i) + 1.0, list.front());
    }
    return scalar_like(0.0, list.front());
  }
  static void backward(Tensor const& loss, double factor) { loss.backward(factor); }
  static Tensor multiply(Tensor const& loss, Tensor const& weight) { return loss * weight; }
  static Tensor divide(double x, Tensor const& by) { return scalar_like(x / by->values[0], by); }
  static bool requires_grad(Tensor const& t) { return t->requires_grad; }
  static void set_requires_grad(Tensor& t, bool on) { t->requires_grad = on; }
  static Tensor& grad(Tensor& t) { return t->grad; }
  static void clear_grad(Tensor& t) { t->grad = Tensor{}; }
  static bool same(Tensor const& a, Tensor const& b) {
    ++fake::comparisons;
    return a.ptr() == b.ptr();
  }
  static bool equal(Tensor const& a, Tensor const& b) { return a->values == b->values; }
  static void const* identity(Tensor const& t) {
    ++fake::comparisons;
    return t.ptr().get();
  }
  static Tensor to_float64(Tensor const& t) { return t; }  // all is double here
  static void set_data(Tensor& t, Tensor const& data) {
    t->values = data->values;
    t->on_device = data->on_device;
  }
  template <class Visit>
  static void visit_bytes(Tensor const& t, Visit const& visit) {
    visit(reinterpret_cast<char const*>(t->values.data()), t->values.size() * sizeof(double));
  }
  static void scale_(std::vector<Tensor>& list, double factor) {
    for (Tensor& t : list) {
      for (double& value : t->values) value *= factor;
    }
  }
  static void scale_(std::vector<Tensor>& list, Tensor const& factor) { scale_(list, factor->values[0]); }
  static Tensor clip_norm_(std::vector<Tensor>& list, double most) {
    double squares = 0.0;
    for (Tensor const& t : list) {
      for (double value : t->values) squares += value * value;
    }
    double const norm = std::sqrt(squares);
    if (double const factor = most / (norm + 1e-6); factor < 1.0) scale_(list, factor);  // a NaN of one spreads to no other
    return scalar_like(norm, list.front());
  }
  static bool is_floating(Tensor const& t) { return !t->is_integer; }
  static bool is_half(Tensor const&) { return false; }
  static Tensor clone(Tensor const& t) {
    Tensor result{t->values};
    result->on_device = t->on_device;
    return result;
  }
  static Tensor alias(Tensor const& t) { return clone(t); }  // set_data copies
  static void copy_(std::vector<Tensor>& to, std::vector<Tensor> const& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i]->values = from[i]->values;
  }
  static void lerp_(std::vector<Tensor>& to, std::vector<Tensor> const& from, double weight) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      for (std::size_t at = 0; at < to[i]->values.size(); ++at) to[i]->values[at] += weight * (from[i]->values[at] - to[i]->values[at]);
    }
  }
  static void masked_lerp_(std::vector<Tensor>& to, std::vector<Tensor> const& from, double weight, Tensor const& mask) {
    lerp_(to, from, mask->values[0] == 0.0 ? weight : 0.0);
  }
  static void clip_value_(std::vector<Tensor>& list, double most) {
    for (Tensor& t : list) {
      for (double& value : t->values) value = std::clamp(value, -most, most);
    }
  }
};

static_assert(tensor<fake::Tensor>);

}  // namespace tacit::inline v0
