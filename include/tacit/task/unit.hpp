#pragma once

#include <memory>
#include <utility>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// A registered child that policies may wrap (sharding, activation checkpointing, freezing by block).
///
/// Parameter names are those of the child itself; where nothing wraps it, the call is the child's `forward` and nothing more.
/// Example: `tacit::Unit block{register_module("block", std::make_shared<Block>())}; ... x = block(x);`
template <class Module>
class Unit {
 public:
  Unit() = default;
  Unit(std::shared_ptr<Module> module) : module_{std::move(module)} {}

  template <class... Arguments>
  decltype(auto) operator()(Arguments&&... arguments) {
    return module_->forward(std::forward<Arguments>(arguments)...);
  }

  Module* operator->() const noexcept { return module_.get(); }
  Module& operator*() const noexcept { return *module_; }
  std::shared_ptr<Module> const& ptr() const noexcept { return module_; }

 private:
  std::shared_ptr<Module> module_;
};

}  // namespace tacit::inline v0
