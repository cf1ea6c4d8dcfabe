#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"

namespace tacit::inline v0 {

/// A running average of a model's parameters and floating buffers; other buffers are copied.
///
/// Tied tensors are averaged once. The model must outlive the average, and keep its tensors' types, shapes and devices.
/// Cost: one copy of the model; an update is two calls for all tensors together, without a wait for the device.
/// Example: WeightAverage average{*net};
///          average.update(1.0 - 0.999);                                  // after each step
///          { auto const averaged = average.swap(); evaluate(*net); }     // here the model has the average
template <class Model>
class WeightAverage {
 public:
  using tensor_type = std::remove_cvref_t<decltype(std::declval<Model&>().named_parameters().begin()->value())>;

  /// Begins with the model as it is.
  /// Throws: ConfigError for half-precision parameters: an average of theirs would stand still.
  explicit WeightAverage(Model& model) {
    auto parameters = model.named_parameters();
    for (auto& item : parameters) add(item.key(), item.value());
    auto buffers = model.named_buffers();
    for (auto& item : buffers) {
      if (traits::defined(item.value())) add(item.key(), item.value());
    }
  }

  /// average += weight * (model - average); a mask on the device (float32 scalar, not 0) leaves the average as it is.
  void update(double weight, tensor_type const* mask = nullptr) {
    if (mask != nullptr && traits::host_readable(*mask)) {
      if (traits::read(*mask) != 0.0) return;
      mask = nullptr;
    }
    if (mask == nullptr) {
      traits::lerp_(averaged_.average, averaged_.model, weight);
    } else {
      traits::masked_lerp_(averaged_.average, averaged_.model, weight, *mask);
    }
    traits::copy_(copied_.average, copied_.model);
  }

  /// Takes in what was registered in the model since then, as it is now, and forgets what is gone; the others keep their averages.
  /// Requires: not swapped.
  void follow(Model& model) {
    WeightAverage now{model};
    for (auto const& [part, old] : {std::pair{&now.averaged_, &averaged_}, std::pair{&now.copied_, &copied_}}) {
      for (std::size_t i = 0; i < part->model.size(); ++i) {
        for (std::size_t j = 0; j < old->model.size(); ++j) {
          if (traits::same(part->model[i], old->model[j])) part->average[i] = old->average[j];
        }
      }
    }
    *this = std::move(now);
  }

  /// While it lives the model has the averaged weights, and the average those of the model.
  class Swapped {
   public:
    explicit Swapped(WeightAverage& average) : average_{average} { average_.exchange(); }
    Swapped(Swapped const&) = delete;
    Swapped& operator=(Swapped const&) = delete;
    ~Swapped() { average_.exchange(); }

   private:
    WeightAverage& average_;
  };
  /// Requires: no `update` and no optimizer's step while it lives. Cost: nothing is copied.
  [[nodiscard]] Swapped swap() & { return Swapped{*this}; }

  /// The model takes the average over for good: its own weights are lost.
  void apply() {
    traits::copy_(averaged_.model, averaged_.average);
    traits::copy_(copied_.model, copied_.average);
  }

  static void visit_state(auto& self, auto&& visit) {
    for (auto* part : {&self.averaged_, &self.copied_}) {
      for (std::size_t i = 0; i < part->names.size(); ++i) visit(part->names[i].c_str(), part->average[i]);
    }
  }

 private:
  using traits = tensor_traits<tensor_type>;

  struct Part {
    std::vector<std::string> names{};
    std::vector<tensor_type> model{};
    std::vector<tensor_type> average{};
  };

  void add(std::string const& name, tensor_type const& tensor) {
    for (Part const* part : {&averaged_, &copied_}) {
      for (tensor_type const& known : part->model) {
        if (traits::same(known, tensor)) return;
      }
    }
    if (traits::is_half(tensor)) {
      throw ConfigError{"TACIT-RC56", detail::message({"'", name, "' is of half precision, in which an average would stand still"}), "WeightAverage",
                        "keep parameters in float32 (Bf16 and Fp16 do)"};
    }
    Part& part = traits::is_floating(tensor) ? averaged_ : copied_;
    part.names.push_back(name);
    part.model.push_back(tensor);
    part.average.push_back(traits::clone(tensor));
  }

  void exchange() {
    for (Part* part : {&averaged_, &copied_}) {
      for (std::size_t i = 0; i < part->model.size(); ++i) {
        tensor_type const own = traits::alias(part->model[i]);
        traits::set_data(part->model[i], part->average[i]);
        part->average[i] = own;
      }
    }
  }

  Part averaged_{};
  Part copied_{};
};

}  // namespace tacit::inline v0
