#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/slots.hpp"

// The tests' tensor as a library sees to its users: a handle of one pointer, as at::Tensor is, and operations that the
// compiler cannot look into. What it inlines is then the same everywhere, and what remains is the loop's own code.

#ifdef __clang__
#define LIBRARY_CALL [[gnu::noinline]]
#else
#define LIBRARY_CALL [[gnu::noipa]]  // noinline, and no copy made for a caller either
#endif

namespace library {

struct Counted;

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(fake::Tensor value);
  Tensor(Tensor const& other) noexcept : counted_{other.counted_} { retain(); }
  Tensor(Tensor&& other) noexcept : counted_{std::exchange(other.counted_, nullptr)} {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Tensor() {
    if (counted_ != nullptr) release();
  }

  bool defined() const noexcept { return counted_ != nullptr; }
  bool same(Tensor const& other) const noexcept { return counted_ == other.counted_; }
  fake::Tensor& value() const;
  Tensor& grad() const;
  double item() const;
  void backward() const;
  void clear_grad() const;

 private:
  void retain() const;
  void release();
  Counted* counted_ = nullptr;
};

struct Counted {
  fake::Tensor value;
  Tensor grad{};
  std::int64_t count = 1;
};

LIBRARY_CALL inline Tensor::Tensor(fake::Tensor value) : counted_{new Counted{std::move(value)}} {}
LIBRARY_CALL inline fake::Tensor& Tensor::value() const { return counted_->value; }
LIBRARY_CALL inline Tensor& Tensor::grad() const { return counted_->grad = Tensor{value()->grad}; }
LIBRARY_CALL inline double Tensor::item() const { return value().item(); }
LIBRARY_CALL inline void Tensor::backward() const { value().backward(); }
LIBRARY_CALL inline void Tensor::clear_grad() const { value()->grad = fake::Tensor{}; }
LIBRARY_CALL inline void Tensor::retain() const { ++counted_->count; }
LIBRARY_CALL inline void Tensor::release() {
  if (--counted_->count == 0) delete counted_;
}

struct Batch {
  Tensor input;
  Tensor target;
};

/// Samples (x, 2 x + 1).
struct Line {
  std::int64_t samples;

  std::int64_t size() const { return samples; }
  LIBRARY_CALL Batch get_batch(std::span<std::int64_t const> indices) const {
    auto const batch = fake::Line{samples}.get_batch(indices);
    return {Tensor{batch.input}, Tensor{batch.target}};
  }
};

struct Item {
  char const* name;
  Tensor tensor;
  char const* key() const { return name; }
  Tensor& value() { return tensor; }
};

struct Linear {
  Tensor weight{fake::Tensor{{0.5}, true}};
  Tensor bias{fake::Tensor{{0.0}, true}};

  LIBRARY_CALL Tensor forward(Tensor const& input) { return Tensor{weight.value() * input.value() + bias.value()}; }
  std::vector<Item> named_parameters() const { return {{"weight", weight}, {"bias", bias}}; }
  std::vector<Item> named_buffers() const { return {}; }
  void train(bool on = true) { training = on; }
  bool is_training() const { return training; }

  bool training = true;
};

struct MeanSquaredError {
  LIBRARY_CALL Tensor operator()(Tensor const& prediction, Tensor const& target) const {
    return Tensor{fake::MeanSquaredError{}(prediction.value(), target.value())};
  }
};

LIBRARY_CALL inline void fused_sgd(std::span<Tensor> parameters, std::span<Tensor> momenta, double lr, double momentum) {
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    auto& values = parameters[p].value()->values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      double& velocity = momenta[p].value()->values[i];
      velocity = momentum * velocity + parameters[p].value()->grad->values[i];
      values[i] -= lr * velocity;
    }
  }
}

/// The tensor lists of a fused update.
struct Lists {
  std::vector<Tensor> parameters;
  std::vector<Tensor> momenta;

  void add(Tensor const& parameter) {
    parameters.push_back(parameter);
    momenta.emplace_back(fake::Tensor{std::vector<double>(parameter.value().values().size(), 0.0)});
  }
  void step() { fused_sgd(parameters, momenta, 0.1, 0.9); }
};

struct Sgd {
  using slot = tacit::slot::optimizer;

  struct Bound : Lists {
    static constexpr bool maskable = true;
    void step(auto&, tacit::update_input<Tensor> const&) { Lists::step(); }
    void parameters_changed(auto& all) {
      *static_cast<Lists*>(this) = {};
      for (auto& one : all) add(one.model);
    }
  };
  Bound bind(auto& all) const {
    Bound bound;
    bound.parameters_changed(all);
    return bound;
  }
};

}  // namespace library

namespace tacit::inline v0 {

template <>
struct tensor_traits<library::Tensor> {
  using Tensor = library::Tensor;
  using base = tensor_traits<fake::Tensor>;
  using no_grad = base::no_grad;

  static bool defined(Tensor const& t) { return t.defined(); }
  static std::int64_t size0(Tensor const& t) { return base::size0(t.value()); }
  static std::int64_t dimensions(Tensor const&) { return 1; }
  static std::int64_t numel(Tensor const& t) { return base::numel(t.value()); }
  static Tensor rows(Tensor const& t, std::int64_t first, std::int64_t count) { return Tensor{base::rows(t.value(), first, count)}; }
  static bool out_of_memory(std::exception const& error) { return base::out_of_memory(error); }
  static std::int64_t threads() { return base::threads(); }
  static void set_threads(std::int64_t count) { base::set_threads(count); }
  static bool host_readable(Tensor const&) { return true; }
  static double read(Tensor const& t) { return t.item(); }
  static Tensor sum(Tensor const& t) { return Tensor{base::sum(t.value())}; }
  static Tensor scalar_like(double value, Tensor const& like) { return Tensor{base::scalar_like(value, like.value())}; }
  static Tensor flag_like(double value, Tensor const& like) { return Tensor{base::flag_like(value, like.value())}; }
  static void add_(Tensor& t, Tensor const& x, double factor) { base::add_(t.value(), x.value(), factor); }
  static void max_(Tensor& t, Tensor const& x) { base::max_(t.value(), x.value()); }
  static Tensor non_finite(Tensor const& t) { return Tensor{base::non_finite(t.value())}; }
  static void backward(Tensor const& loss, double factor) {
    if (factor == 1.0) {
      loss.backward();
    } else {
      loss.value().backward(factor);
    }
  }
  static Tensor first_non_finite(std::vector<Tensor> const& list) { return Tensor{base::first_non_finite(values_of(list))}; }
  static Tensor weighted(Tensor const& x, Tensor const& weight) { return Tensor{base::weighted(x.value(), weight.value())}; }
  static Tensor multiply(Tensor const& loss, Tensor const& weight) { return Tensor{base::multiply(loss.value(), weight.value())}; }
  static Tensor divide(double x, Tensor const& by) { return Tensor{base::divide(x, by.value())}; }
  static bool requires_grad(Tensor const& t) { return base::requires_grad(t.value()); }
  static void set_requires_grad(Tensor& t, bool on) { base::set_requires_grad(t.value(), on); }
  static Tensor& grad(Tensor& t) { return t.grad(); }
  static void clear_grad(Tensor& t) { t.clear_grad(); }
  static bool same(Tensor const& a, Tensor const& b) { return a.same(b); }
  static void const* identity(Tensor const& t) { return base::identity(t.value()); }
  static void set_data(Tensor& t, Tensor const& data) { base::set_data(t.value(), data.value()); }
  template <class Visit>
  static void visit_bytes(Tensor const& t, Visit const& visit) {
    base::visit_bytes(t.value(), visit);
  }
  template <class Factor>
  static void scale_(std::vector<Tensor>& list, Factor const& factor) {
    double const number = [&] {
      if constexpr (requires { factor.item(); }) {
        return factor.item();
      } else {
        return factor;
      }
    }();
    for (Tensor& t : list) {
      for (double& value : t.value()->values) value *= number;
    }
  }
  static std::vector<fake::Tensor> values_of(std::vector<Tensor> const& list) {
    std::vector<fake::Tensor> values;
    for (Tensor const& t : list) values.push_back(t.value());
    return values;
  }
  static bool is_floating(Tensor const& t) { return base::is_floating(t.value()); }
  static bool is_half(Tensor const&) { return false; }
  static bool equal(Tensor const& a, Tensor const& b) { return base::equal(a.value(), b.value()); }
  static Tensor clone(Tensor const& t) { return Tensor{base::clone(t.value())}; }
  static Tensor alias(Tensor const& t) { return clone(t); }
  static void copy_(std::vector<Tensor>& to, std::vector<Tensor> const& from) {
    auto values = values_of(to);
    base::copy_(values, values_of(from));
  }
  static void lerp_(std::vector<Tensor>& to, std::vector<Tensor> const& from, double weight) {
    auto values = values_of(to);
    base::lerp_(values, values_of(from), weight);
  }
  static void masked_lerp_(std::vector<Tensor>& to, std::vector<Tensor> const& from, double weight, Tensor const& mask) {
    auto values = values_of(to);
    base::masked_lerp_(values, values_of(from), weight, mask.value());
  }
  static void clip_value_(std::vector<Tensor>& list, double most) {
    auto values = values_of(list);
    base::clip_value_(values, most);
  }
  static Tensor clip_norm_(std::vector<Tensor>& list, double most) {
    auto values = values_of(list);
    return Tensor{base::clip_norm_(values, most)};
  }
};

static_assert(tensor<library::Tensor>);

}  // namespace tacit::inline v0
