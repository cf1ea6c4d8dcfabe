#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/tensor.hpp"
#include "tacit/core/list.hpp"
#include "tacit/core/member_names.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

/// What saving asks of a tensor type; specialised beside the tensor library. All members are static:
///
///   bool defined(T const&)
///   safetensors::Dtype dtype(T const&)             // of a defined one; a StateError without place where there is none
///   safetensors::Shape shape(T const&)
///   std::string identity(T const&)                 // equal for tensors that share all of their elements: saved once
///   void copy_to(T const&, std::span<std::byte>)   // elements in row-major order
///   T make(T const* current, safetensors::Dtype, safetensors::Shape const&, std::span<std::byte const>)
///                                                  // `current`, null for none, says where it is to live
///   void commit(T& into, T&& staged) noexcept      // writes into a defined tensor, replaces an undefined one
///   std::optional<std::span<std::byte const>> borrow(T const&)  // optional: the elements where they lie, if they can be read so
///   T view(T const& current, safetensors::Dtype, safetensors::Shape const&, std::span<std::byte const>)
///                                                  // optional, for `make`: `current` is defined and will be written into, so
///                                                  // that the elements may stay where they lie until then
///
/// What is no tensor but has its state as one, a random generator say, may be saved so too; without `tensor_traits` it is
/// hashed through `visit_bytes(T const&, function)`, which calls function(char const*, std::size_t).
template <class T>
struct state_tensor;

/// The form of both visitors: `static void visit_state(auto& self, auto&& visit)` calls `visit("key", self.member)` for each
/// member. One function serves reading and writing: `self` is const for the first and not for the second.

namespace detail {

struct ignore_member {
  template <class T>
  void operator()(std::string_view, T&&) const {}
};

}  // namespace detail

/// A type whose state can be visited: saved, loaded, hashed, printed.
template <class T>
concept visitable_state = requires(T& self, T const& fixed, detail::ignore_member visit) {
  T::visit_state(self, visit);
  T::visit_state(fixed, visit);
};

/// A type whose configuration can be visited: compared on resume, printed.
template <class T>
concept visitable_config = requires(T& self, T const& fixed, detail::ignore_member visit) {
  T::visit_config(self, visit);
  T::visit_config(fixed, visit);
};

namespace detail {

template <class T>
concept names_visit_state = can_be_probed<T> && !requires { &named_twice<T>::visit_state; };
template <class T>
concept names_visit_config = can_be_probed<T> && !requires { &named_twice<T>::visit_config; };

/// A part that is told when its members were loaded: `static void state_loaded(auto& self) noexcept`.
template <class T>
concept hears_of_load = requires(T& part) {
  { T::state_loaded(part) } noexcept;
};
template <class T>
concept states_load_badly = can_be_probed<T> && !hears_of_load<T> && !requires { &named_twice<T>::state_loaded; };

/// Where a callback of the pack saves: a type with data members needs a visitor, and a member that is named needs its
/// form.
template <class T>
constexpr auto check_visitors() {
  if constexpr (names_visit_state<T> && !visitable_state<T>) {
    return type<bad<misuse::EV02, T>>{};
  } else if constexpr (names_visit_config<T> && !visitable_config<T>) {
    return type<bad<misuse::EV02, T>>{};
  } else if constexpr (!std::is_empty_v<T> && !visitable_state<T> && !visitable_config<T>) {
    return type<bad<misuse::EV01, T>>{};
  } else if constexpr (states_load_badly<T>) {
    return type<bad<misuse::EV08, T>>{};
  } else {
    return type<bad<misuse::none>>{};
  }
}

/// Whether the compiler writes the type as a lambda's: `(lambda at file:1:2)` or `f()::<lambda(int)>`, not as something made of one.
template <class T>
consteval bool is_written_as_lambda() {
  std::string_view const known = tacit_detail_pretty_function<int>();
  std::size_t const before = known.find("T = int") + 4;
  std::string_view text = tacit_detail_pretty_function<T>();
  text = text.substr(before, text.size() - (known.size() - 3));
  std::size_t const at = std::min(text.find("<lambda"), text.find("(lambda at "));
  if (at == std::string_view::npos) return false;
  int depth = 0;
  for (char c : text.substr(0, at)) depth += c == '<' ? 1 : c == '>' ? -1 : 0;
  return depth == 0 && text.ends_with(text[at] == '<' ? '>' : ')');
}

/// True for the type of a lambda.
template <class T>
inline constexpr bool is_closure_v = std::is_class_v<T> && is_written_as_lambda<T>();

template <class T>
concept text_like = std::convertible_to<T const&, std::string_view>;

template <class T>
concept count_like = requires(T const& value) {
  { value.value() } -> std::same_as<std::int64_t>;
};

template <class T>
concept tensor_like = requires { sizeof(tensor_traits<T>); };

/// What is saved as a tensor: `state_tensor` says how.
template <class T>
concept saved_tensor = requires { sizeof(state_tensor<T>); };

template <class T>
concept duration_like = requires(T const& value) {
  typename T::period;
  { value.count() } -> std::convertible_to<double>;
};

template <class T>
concept optional_like = requires(T const& value) {
  { value.has_value() } -> std::same_as<bool>;
  *value;
};

template <class T>
concept tuple_of_members = requires { std::tuple_size<T>::value; } && !std::ranges::range<T>;

}  // namespace detail

/// Prints what a visitor shows, a line a member: `key = value`, members of members as `outer.inner`.
class PrintingVisitor {
 public:
  explicit PrintingVisitor(std::string prefix = {}) : prefix_{std::move(prefix)} {}

  std::string const& text() const noexcept { return text_; }

  template <class T>
  void operator()(std::string_view key, T const& value) {
    std::string const name = prefix_.empty() ? std::string{key} : prefix_ + "." + std::string{key};
    if constexpr (visitable_state<T>) {
      PrintingVisitor inner{name};
      T::visit_state(value, inner);
      text_ += inner.text();
    } else if constexpr (visitable_config<T>) {
      PrintingVisitor inner{name};
      T::visit_config(value, inner);
      text_ += inner.text();
    } else {
      text_.append(name).append(" = ").append(shown(value)).append("\n");
    }
  }

 private:
  template <class T>
  static std::string shown(T const& value) {
    if constexpr (std::same_as<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_enum_v<T>) {
      return std::to_string(static_cast<std::int64_t>(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      return std::to_string(value);
    } else if constexpr (detail::text_like<T>) {
      return "\"" + std::string{std::string_view{value}} + "\"";
    } else if constexpr (detail::count_like<T>) {
      if constexpr (requires { value.is_set(); }) {
        if (!value.is_set()) return "unset";
      }
      return std::to_string(value.value());
    } else if constexpr (detail::tensor_like<T>) {
      if (!tensor_traits<T>::defined(value)) return "tensor, undefined";
      return "tensor of " + std::to_string(tensor_traits<T>::numel(value));
    } else if constexpr (detail::saved_tensor<T>) {
      return state_tensor<T>::defined(value) ? "tensor" : "tensor, undefined";
    } else if constexpr (detail::duration_like<T>) {
      return std::to_string(value.count());
    } else if constexpr (detail::optional_like<T>) {
      return value.has_value() ? shown(*value) : "none";
    } else if constexpr (std::ranges::sized_range<T>) {
      return "[" + std::to_string(std::ranges::size(value)) + "]";
    } else {
      return "?";
    }
  }

  std::string prefix_;
  std::string text_;
};

/// Hashes keys and values in visiting order (64-bit FNV-1a): equal state gives equal hashes on every machine of one byte order.
/// Cost: reads tensors on the host.
class HashingVisitor {
 public:
  std::uint64_t hash() const noexcept { return hash_; }

  template <class T>
  void operator()(std::string_view key, T const& value) {
    text(key);
    add(value);
  }

 private:
  template <class T>
  void add(T const& value) {
    if constexpr (visitable_state<T>) {
      T::visit_state(value, *this);
    } else if constexpr (visitable_config<T>) {
      T::visit_config(value, *this);
    } else if constexpr (std::is_enum_v<T>) {
      add(static_cast<std::int64_t>(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      char raw[sizeof(T)];
      std::memcpy(raw, &value, sizeof(T));
      bytes(raw, sizeof(T));
    } else if constexpr (detail::text_like<T>) {
      text(std::string_view{value});
    } else if constexpr (detail::count_like<T>) {
      add(value.value());
    } else if constexpr (detail::tensor_like<T>) {
      bool const defined = tensor_traits<T>::defined(value);
      add(defined);
      if (defined) tensor_traits<T>::visit_bytes(value, [this](char const* data, std::size_t size) { bytes(data, size); });
    } else if constexpr (detail::saved_tensor<T>) {
      bool const defined = state_tensor<T>::defined(value);
      add(defined);
      if (defined) state_tensor<T>::visit_bytes(value, [this](char const* data, std::size_t size) { bytes(data, size); });
    } else if constexpr (detail::duration_like<T>) {
      add(value.count());
    } else if constexpr (detail::optional_like<T>) {
      add(value.has_value());
      if (value.has_value()) add(*value);
    } else if constexpr (detail::tuple_of_members<T>) {
      std::apply([this](auto const&... element) { (this->add(element), ...); }, value);
    } else if constexpr (std::ranges::sized_range<T>) {
      if constexpr (requires { (*std::ranges::begin(value)).is_volatile; }) {
        for (auto const& element : value) {
          if (!element.is_volatile) add(element);
        }
      } else {
        add(static_cast<std::int64_t>(std::ranges::size(value)));
        for (auto const& element : value) add(element);
      }
    } else {
      if constexpr (!std::is_empty_v<T>) detail::report(bad<misuse::EV04, T>{});
    }
  }
  void text(std::string_view value) {
    add(static_cast<std::int64_t>(value.size()));
    bytes(value.data(), value.size());
  }
  void bytes(char const* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) hash_ = (hash_ ^ static_cast<unsigned char>(data[i])) * 0x100000001b3ULL;
  }

  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

/// The hash of a part's state.
template <visitable_state T>
std::uint64_t state_hash(T const& part) {
  HashingVisitor visitor;
  T::visit_state(part, visitor);
  return visitor.hash();
}

}  // namespace tacit::inline v0
