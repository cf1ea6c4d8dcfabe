#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/pfr/core.hpp>

#include "tacit/state/visit.hpp"

/// What checkpoints rely on and no concept can say of `visit_state` and `visit_config`: run it on every callback, policy and
/// task of your own. No test framework is needed; each check gives the sentences of the laws that are broken.
///
/// `make()` gives an object afresh, the same one each time; `make_tensor(double)` a tensor of one element.
namespace laws {

using Broken = std::vector<std::string>;

namespace detail {

struct VisitState {
  template <class T, class Visit>
  static void visit(T& part, Visit&& visitor) {
    std::remove_const_t<T>::visit_state(part, visitor);
  }
};
struct VisitConfig {
  template <class T, class Visit>
  static void visit(T& part, Visit&& visitor) {
    std::remove_const_t<T>::visit_config(part, visitor);
  }
};

/// The keys in visiting order.
class Keys {
 public:
  template <class T>
  void operator()(std::string_view key, T&&) {
    keys_.emplace_back(key);
  }
  std::vector<std::string> const& keys() const { return keys_; }

 private:
  std::vector<std::string> keys_;
};
template <class Which, class T>
std::vector<std::string> keys_of(T& part) {
  Keys visitor;
  Which::visit(part, visitor);
  return visitor.keys();
}
/// The members that can be seen: of aggregates all, of classes none.
template <class T>
constexpr std::size_t count_members() {
  if constexpr (std::is_aggregate_v<T> && !std::is_array_v<T>) {
    return boost::pfr::tuple_size_v<T>;
  } else {
    return 0;
  }
}
template <class T>
std::size_t count_keys(T& part) {
  std::size_t count = 0;
  if constexpr (tacit::visitable_state<T>) count += keys_of<VisitState>(part).size();
  if constexpr (tacit::visitable_config<T>) count += keys_of<VisitConfig>(part).size();
  return count;
}

/// Changes the one value of a whole part that has the number `target`, and tells its name.
template <class MakeTensor>
class Changer {
 public:
  Changer(std::size_t target, MakeTensor const& make_tensor) : target_{target}, make_tensor_{make_tensor} {}

  template <class T>
  void operator()(std::string_view key, T& member) {
    std::string const outer = std::exchange(path_, path_.empty() ? std::string{key} : path_ + "." + std::string{key});
    descend(member);
    path_ = outer;
  }

  /// Empty if there are not as many values.
  std::string const& changed() const { return changed_; }

 private:
  template <class T>
  void descend(T& member) {
    if constexpr (tacit::visitable_state<T>) {
      T::visit_state(member, *this);
    } else if constexpr (tacit::visitable_config<T>) {
      T::visit_config(member, *this);
    } else {
      if (next_++ == target_) {
        change(member);
        changed_ = path_;
      }
      if constexpr (!tacit::detail::text_like<T> && !tacit::detail::tensor_like<T> && std::ranges::range<T>) {
        std::string const outer = path_;
        path_ += "[]";
        for (auto& element : member) descend(element);
        path_ = outer;
      }
    }
  }

  template <class T>
  void change(T& value) {
    if constexpr (std::same_as<T, bool>) {
      value = !value;
    } else if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(static_cast<std::int64_t>(value) + 1);
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = value == T{1} ? T{2} : T{1};  // not by adding: a NaN would stay one
    } else if constexpr (tacit::detail::count_like<T>) {
      value = T{value.value() + 2};
    } else if constexpr (tacit::detail::tensor_like<T>) {
      value = make_tensor_(tacit::tensor_traits<T>::defined(value) ? tacit::tensor_traits<T>::read(tacit::tensor_traits<T>::sum(value)) + 1.0 : 1.0);
    } else if constexpr (tacit::detail::duration_like<T>) {
      value += T{1};
    } else if constexpr (tacit::detail::optional_like<T>) {
      if (value.has_value()) {
        value.reset();
      } else {
        value.emplace();
      }
    } else if constexpr (std::constructible_from<T, std::string> && tacit::detail::text_like<T>) {
      value = T{std::string{std::string_view{value}} + "x"};
    } else {
      add_element(value);
    }
  }
  template <class T>
  void add_element(T& range) {
    using element = std::ranges::range_value_t<T>;
    if constexpr (tacit::detail::tensor_like<element>) {
      range.insert(range.end(), make_tensor_(1.0));
    } else {
      range.insert(range.end(), element{});
    }
  }

  std::size_t target_;
  MakeTensor const& make_tensor_;
  std::size_t next_ = 0;
  std::string path_;
  std::string changed_;
};

template <class Which, class T>
std::uint64_t hash_of(T const& part) {
  tacit::HashingVisitor visitor;
  Which::visit(part, visitor);
  return visitor.hash();
}

template <class Which, class T, class Make, class MakeTensor>
Broken check(Make const& make, MakeTensor const& make_tensor, std::size_t left_out) {
  Broken broken;
  auto expect = [&broken](bool holds, std::string const& law) {
    if (!holds) broken.push_back(law);
  };
  T part = make();
  auto const keys = keys_of<Which>(part);
  expect(keys_of<Which, T const>(part) == keys, "a const visit and a mutable one show the same keys in the same order");

  auto sorted = keys;
  std::ranges::sort(sorted);
  expect(std::ranges::adjacent_find(sorted) == sorted.end(), "every key is there once");
  expect(std::ranges::none_of(keys, [](std::string const& key) { return key.empty() || key.find_first_of(".\n=") != std::string::npos; }),
         "a key is a word");
  if constexpr (count_members<T>() != 0) {
    expect(count_keys(part) + left_out == count_members<T>(),
           "every member is visited: " + std::to_string(count_members<T>()) + " members, " + std::to_string(count_keys(part)) + " keys");
  }

  tacit::PrintingVisitor printed;
  Which::visit(std::as_const(part), printed);
  for (std::string const& key : keys) {
    std::string const text = "\n" + printed.text();
    expect(text.find("\n" + key + " = ") != std::string::npos || text.find("\n" + key + ".") != std::string::npos, "printing shows '" + key + "'");
  }

  std::uint64_t const hash = hash_of<Which>(part);
  T const again = make();
  expect(hash_of<Which>(again) == hash, "equal parts have equal hashes");
  for (std::size_t target = 0;; ++target) {
    T other = make();
    Changer<MakeTensor> changer{target, make_tensor};
    Which::visit(other, changer);
    if (changer.changed().empty()) break;
    expect(hash_of<Which>(other) != hash, "the hash tells a change of '" + changer.changed() + "'");
  }
  return broken;
}

}  // namespace detail

/// Laws of `visit_state`. `left_out`: the members of an aggregate that neither visitor has to show, sinks and functions.
template <class Make, class MakeTensor>
Broken check_state(Make const& make, MakeTensor const& make_tensor, std::size_t left_out = 0) {
  using part = std::remove_cvref_t<decltype(make())>;
  static_assert(tacit::visitable_state<part>);
  return detail::check<detail::VisitState, part>(make, make_tensor, left_out);
}

/// Laws of `visit_config`.
template <class Make, class MakeTensor>
Broken check_config(Make const& make, MakeTensor const& make_tensor, std::size_t left_out = 0) {
  using part = std::remove_cvref_t<decltype(make())>;
  static_assert(tacit::visitable_config<part>);
  return detail::check<detail::VisitConfig, part>(make, make_tensor, left_out);
}

}  // namespace laws
