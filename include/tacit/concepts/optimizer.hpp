#pragma once

#include <concepts>
#include <utility>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// What an update is given besides the parameters.
template <class Tensor>
struct update_input {
  /// float32 scalar on the parameters' device, or null: where it is not 0 the update changes nothing.
  Tensor const* mask = nullptr;
};

/// A recipe, `optim::Sgd{.lr = 1e-3}`: bound after the model is on its device, it allocates its state there.
///
/// `recipe.bind(parameters)` gives the bound optimizer; `bound.step(parameters, update_input)` updates every parameter
/// that has a gradient; `bound.parameters_changed(parameters)` is called after parameters came or went: it gives new
/// ones their slots and keeps what the others have. `Bound::maskable` tells whether `step` obeys `update_input::mask`
/// on the device; for one that does not, the loop reads the mask on the host first (one wait per update).
template <class Recipe, class Parameters>
concept optimizer_recipe = requires(Recipe const& recipe, Parameters& parameters,
                                    update_input<typename Parameters::tensor_type> const& input) {
  recipe.bind(parameters).step(parameters, input);
  recipe.bind(parameters).parameters_changed(parameters);
  { std::bool_constant<decltype(recipe.bind(parameters))::maskable>{} };
};

}  // namespace tacit::inline v0
