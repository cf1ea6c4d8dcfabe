#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"

namespace tacit::inline v0 {

namespace detail {

template <class Model>
using tensor_of_model = std::remove_cvref_t<decltype(std::declval<Model&>().named_parameters().begin()->value())>;

/// The parameters and buffers that a module has now, frozen ones too, in its order; a tied one under each of its names.
template <class Model>
std::vector<std::pair<std::string, tensor_of_model<Model>>> named_tensors(Model& model) {
  std::vector<std::pair<std::string, tensor_of_model<Model>>> tensors;
  auto const add = [&](auto const& all) {
    for (auto const& item : all) {
      if (tensor_traits<tensor_of_model<Model>>::defined(item.value())) tensors.emplace_back(item.key(), item.value());
    }
  };
  add(model.named_parameters());
  add(model.named_buffers());
  return tensors;
}

}  // namespace detail

/// The parameters and buffers of a module as a part of checkpoints, by their dotted names, frozen ones too.
///
/// Loading writes into the module's own tensors: optimizers, tied parameters and views stay what they were. A tied tensor is
/// saved once. Made after the last `register_...`; the tensors that the module has then are saved and loaded.
/// Requires: `named_parameters()` and `named_buffers()` as LibTorch's modules have them.
/// Example: ModuleState model{*net};  save_state(writer, update, {}, model);
template <class Model>
class ModuleState {
 public:
  static constexpr std::string_view state_name = "model";
  static constexpr bool lends_tensors = true;

  explicit ModuleState(Model& model) : tensors_{detail::named_tensors(model)} {}

  static void visit_state(auto& self, auto&& visit) {
    for (auto& [name, tensor] : self.tensors_) visit(std::string_view{name}, tensor);
  }

 private:
  std::vector<std::pair<std::string, detail::tensor_of_model<Model>>> tensors_;
};

}  // namespace tacit::inline v0
