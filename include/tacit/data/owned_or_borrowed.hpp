#pragma once

#include <memory>
#include <utility>

#include "tacit/version.hpp"

namespace tacit::inline v0::data {

/// Takes over what was an rvalue and points to what was an lvalue: `OwnedOrBorrowed<D>` from a forwarding `D&&`.
template <class T>
class OwnedOrBorrowed {
 public:
  using value_type = T;
  explicit OwnedOrBorrowed(T&& value) : value_{std::move(value)} {}

  T& get() noexcept { return value_; }
  T const& get() const noexcept { return value_; }

 private:
  T value_;
};

template <class T>
class OwnedOrBorrowed<T&> {
 public:
  using value_type = T;
  explicit OwnedOrBorrowed(T& value) noexcept : value_{std::addressof(value)} {}

  T& get() const noexcept { return *value_; }

 private:
  T* value_;
};

}  // namespace tacit::inline v0::data
