#pragma once

#include <concepts>
#include <utility>

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// A member of an options aggregate that has no sensible default: leaving it out does not compile.
template <class T>
class required {
 public:
  template <class U>
    requires std::constructible_from<T, U>
  constexpr required(U&& value) : value_(std::forward<U>(value)) {}

  constexpr T const& operator*() const noexcept { return value_; }
  constexpr T& operator*() noexcept { return value_; }
  constexpr T const* operator->() const noexcept { return &value_; }
  constexpr operator T const&() const noexcept { return value_; }

 private:
  T value_;
};

}  // namespace tacit::inline v0
