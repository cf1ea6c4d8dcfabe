#pragma once

#include <concepts>
#include <memory>
#include <utility>
#include <vector>

namespace tacit::inline v0::detail {

/// The training modes of modules at one moment, to be put back later.
///
/// A module that is registered in several places, or in several models, is noted in each of them with the same mode.
/// Therefore note all models before any of them is switched.
/// Cost: linear in the number of modules; a module that is in its mode already is not called.
class ModuleModes {
 public:
  /// Notes a model with everything registered in it, or the model alone where it has no `modules()`.
  template <class Model>
  void note(Model& model) {
    if constexpr (requires { model.modules(); }) {
      for (auto&& module : model.modules()) {
        if constexpr (std::convertible_to<decltype(module), std::shared_ptr<void>>) {
          add(*module, module);
        } else {
          add(*module, nullptr);
        }
      }
    } else {
      add(model, nullptr);
    }
  }

  /// The modes that the same modules have now.
  ModuleModes now() const {
    ModuleModes result{*this};
    for (Noted& one : result.modes_) one.was_training = one.get(one.module);
    return result;
  }

  void clear() noexcept { modes_.clear(); }

  /// Puts the modes back.
  void restore() const {
    // `train(bool)` of a parent sets its children, too. The last place of a child is behind the last place of each parent.
    for (Noted const& one : modes_) one.set(one.module, one.was_training);
  }

 private:
  struct Noted {
    std::shared_ptr<void> owner;  // a callback may unregister it meanwhile
    void* module;
    void (*set)(void*, bool);
    bool (*get)(void*);
    bool was_training;
  };

  template <class Module>
  void add(Module& module, std::shared_ptr<void> owner) {
    auto const set = [](void* address, bool training) {
      Module& one = *static_cast<Module*>(address);
      if (one.is_training() != training) one.train(training);
    };
    auto const get = [](void* address) { return static_cast<bool>(static_cast<Module*>(address)->is_training()); };
    modes_.push_back({std::move(owner), &module, set, get, get(&module)});
  }

  std::vector<Noted> modes_{};
};

}  // namespace tacit::inline v0::detail
