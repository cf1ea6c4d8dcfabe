#pragma once

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"

namespace fake {

template <class Value>
struct Named {
  std::string name;
  Value content;
  std::string const& key() const { return name; }
  Value& value() { return content; }
  Value const& value() const { return content; }
};

/// What LibTorch's modules answer with.
template <class Value>
class Dictionary {
 public:
  void insert(std::string name, Value value) { items_.push_back({std::move(name), std::move(value)}); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  std::size_t size() const { return items_.size(); }
  bool is_empty() const { return items_.empty(); }
  bool contains(std::string const& name) const {
    return std::ranges::any_of(items_, [&](auto const& item) { return item.name == name; });
  }
  Value& operator[](std::string const& name) {
    for (auto& item : items_) {
      if (item.name == name) return item.content;
    }
    throw std::out_of_range{name};
  }

 private:
  std::vector<Named<Value>> items_;
};

/// A module with children, parameters and buffers, as LibTorch's: what is registered twice has two names.
class Module : public std::enable_shared_from_this<Module> {
 public:
  Module() = default;
  Module(Module const&) = delete;
  Module& operator=(Module const&) = delete;
  virtual ~Module() = default;

  template <class M>
  std::shared_ptr<M> register_module(std::string name, std::shared_ptr<M> module) {
    children_.insert(std::move(name), module);
    return module;
  }
  Tensor register_parameter(std::string name, Tensor tensor, bool requires_grad = true) {
    tensor->requires_grad = requires_grad;
    parameters_.insert(std::move(name), tensor);
    return tensor;
  }
  Tensor register_buffer(std::string name, Tensor tensor) {
    buffers_.insert(std::move(name), tensor);
    return tensor;
  }

  virtual void train(bool on = true) {
    ++train_calls;
    for (auto& child : children_) child.value()->train(on);
    training_ = on;
  }
  bool is_training() const { return training_; }

  std::vector<std::shared_ptr<Module>> modules() {
    std::vector<std::shared_ptr<Module>> all{shared_from_this()};
    for (auto& child : children_) {
      for (auto& module : child.value()->modules()) all.push_back(module);
    }
    return all;
  }
  Dictionary<std::shared_ptr<Module>> named_children() const { return children_; }
  Dictionary<std::shared_ptr<Module>> named_modules(std::string const& prefix, bool) const {
    Dictionary<std::shared_ptr<Module>> all;
    for (auto const& child : children_) {
      all.insert(prefix + child.key(), child.value());
      for (auto const& below : child.value()->named_modules(prefix + child.key() + ".", true)) all.insert(below.key(), below.value());
    }
    return all;
  }
  Dictionary<Tensor> named_parameters(bool recurse = true) const { return tensors(&Module::parameters_, recurse); }
  Dictionary<Tensor> named_buffers(bool recurse = true) const { return tensors(&Module::buffers_, recurse); }

  int train_calls = 0;

 private:
  Dictionary<Tensor> tensors(Dictionary<Tensor> Module::*own, bool recurse) const {
    Dictionary<Tensor> all = this->*own;
    for (auto const& child : children_) {
      if (!recurse) break;
      for (auto const& item : child.value()->tensors(own, true)) all.insert(child.key() + "." + item.key(), item.value());
    }
    return all;
  }

  Dictionary<std::shared_ptr<Module>> children_;
  Dictionary<Tensor> parameters_;
  Dictionary<Tensor> buffers_;
  bool training_ = true;
};

/// y = weight * x.
class Scale : public Module {
 public:
  explicit Scale(double first = 0.5) : weight{register_parameter("weight", Tensor{{first}})} {}
  Tensor forward(Tensor const& x) const { return weight * x; }
  Tensor weight;
};

}  // namespace fake
