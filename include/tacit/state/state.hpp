#pragma once

#include <algorithm>
#include <any>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/core/report.hpp"
#include "tacit/core/units.hpp"
#include "tacit/state/checkpoint.hpp"
#include "tacit/state/json.hpp"
#include "tacit/state/safetensors.hpp"
#include "tacit/state/visit.hpp"

/// Parts of a program to and from checkpoints, through their `visit_state`: a schema that is compared as a whole, staged
/// loading, and a commit that cannot fail.
namespace tacit::inline v0 {

/// A part with the name and version under which a checkpoint knows it. `state_version` is 1 where a type states none; a type
/// that states more reads older parts through `static void migrate_state(std::uint64_t from, StateMembers& members)`, which
/// brings members of version `from` to `from + 1`.
template <class T>
concept state_part = visitable_state<T> && requires {
  { T::state_name } -> std::convertible_to<std::string_view>;
};

/// A part under another name than its type's: for two parts of one type.
template <class T>
struct NamedPart {
  std::string name;
  T& object;
};
template <class T>
NamedPart<T> named_part(std::string name, T& object) {
  return {std::move(name), object};
}

/// The version of a file of states that is written; older ones are read.
inline constexpr std::uint64_t state_format_version = 1;

namespace detail {

template <class T>
concept nested_members = visitable_state<T> || visitable_config<T>;

template <class T, class Visitor>
void visit_members(T& object, Visitor& visitor) {
  using Plain = std::remove_const_t<T>;
  if constexpr (visitable_state<Plain>) {
    Plain::visit_state(object, visitor);
  } else {
    Plain::visit_config(object, visitor);
  }
}

template <class T>
constexpr std::uint64_t version_of() {
  if constexpr (requires { T::state_version; }) {
    return static_cast<std::uint64_t>(T::state_version);
  } else {
    return 1;
  }
}

/// An element of a container as it can be assigned: a map's has a const key.
template <class C>
struct element_of {
  using type = std::ranges::range_value_t<C>;
};
template <class C>
  requires requires { typename C::mapped_type; }
struct element_of<C> {
  using type = std::pair<typename C::key_type, typename C::mapped_type>;
};
template <class C>
using element_of_t = typename element_of<C>::type;

template <class T>
inline constexpr bool is_fixed_range_v = false;
template <class T, std::size_t N>
inline constexpr bool is_fixed_range_v<std::array<T, N>> = true;

template <class T>
concept growing_range = std::ranges::sized_range<T> && requires(T& container, element_of_t<T> element) {
  container.clear();
  container.insert(container.end(), std::move(element));
};

/// How the schema names a type: the same for equal layouts on every compiler.
template <class T>
std::string type_text() {
  if constexpr (nested_members<T>) {
    return "object";
  } else if constexpr (saved_tensor<T>) {
    return "tensor";
  } else if constexpr (std::same_as<T, bool>) {
    return "bool";
  } else if constexpr (std::is_enum_v<T>) {
    return "enum";
  } else if constexpr (std::is_integral_v<T>) {
    return (std::is_signed_v<T> ? "i" : "u") + std::to_string(8 * sizeof(T));
  } else if constexpr (std::same_as<T, float> || std::same_as<T, double>) {
    return "f" + std::to_string(8 * sizeof(T));
  } else if constexpr (std::same_as<T, std::string>) {
    return "text";
  } else if constexpr (count_like<T>) {
    return "count";
  } else if constexpr (duration_like<T>) {
    return "duration<" + type_text<typename T::rep>() + "," + std::to_string(T::period::num) + "/" + std::to_string(T::period::den) + ">";
  } else if constexpr (optional_like<T>) {
    return "optional<" + type_text<std::remove_cvref_t<decltype(*std::declval<T&>())>>() + ">";
  } else if constexpr (tuple_of_members<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      std::string text{"tuple<"};
      ((text += (I == 0 ? "" : ",") + type_text<std::remove_cvref_t<std::tuple_element_t<I, T>>>()), ...);
      return text + ">";
    }(std::make_index_sequence<std::tuple_size_v<T>>{});
  } else if constexpr (is_fixed_range_v<T>) {
    return "list<" + type_text<std::ranges::range_value_t<T>>() + "," + std::to_string(std::tuple_size_v<T>) + ">";
  } else if constexpr (growing_range<T>) {
    return "list<" + type_text<element_of_t<T>>() + ">";
  } else if constexpr (std::is_empty_v<T>) {
    return "nothing";
  } else {
    report(bad<misuse::EV04, T>{});
    return {};
  }
}

/// Stands for a value of any field of T, or of its bases, or of its empty fields.
enum class field_kind { any, base, empty };
template <class T, field_kind Kind>
struct any_field {
  template <class U>
    requires(!std::same_as<U, T> && (Kind != field_kind::base || std::is_base_of_v<U, T>) && (Kind != field_kind::empty || std::is_empty_v<U>))
  operator U() const noexcept {
    std::terminate();  // never called; without a body clang warns where T is local to a file
  }
};
template <class T, std::size_t Count, field_kind Last = field_kind::any>
inline constexpr bool has_fields_v = []<std::size_t... I>(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), any_field<T, field_kind::any>{})..., any_field<T, Last>{}}; };
}(std::make_index_sequence<Count - 1>{});

/// How many fields an aggregate has that are not empty, without its bases; at most the first 24, and fewer where a field can be
/// made of nothing that is known here. 0 for what is no aggregate.
template <class T>
constexpr std::size_t field_count() {
  if constexpr (std::is_aggregate_v<T> && std::is_class_v<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      std::size_t all = 0;
      std::size_t bases = 0;
      std::size_t empty = 0;
      ((all = has_fields_v<T, I + 1> ? I + 1 : all), ...);
      ((bases += bases == I && has_fields_v<T, I + 1, field_kind::base> ? 1U : 0U), ...);
      ((empty += I >= bases && I < all && has_fields_v<T, I + 1, field_kind::empty> ? 1U : 0U), ...);
      return all - bases - empty;
    }(std::make_index_sequence<24>{});
  } else {
    return 0;
  }
}

/// An aggregate whose visitor leaves members out on purpose.
template <class T>
concept partly_visited = requires {
  { std::bool_constant<T::partial_state>{} } -> std::same_as<std::true_type>;
};

/// Throws: StateError where an aggregate has more fields than its visitors show: what is forgotten would not be saved.
template <class T>
void check_all_visited(T const& object, std::size_t visited, std::string const& path) {
  if constexpr (field_count<T>() > 0 && !partly_visited<T>) {
    if (visited >= field_count<T>()) return;
    if constexpr (visitable_state<T> && visitable_config<T>) {
      T::visit_config(object, [&](std::string_view, auto const&) { ++visited; });
      if (visited >= field_count<T>()) return;
    }
    throw StateError{"TACIT-RS44",
                     message({"has ", field_count<T>(), " members, its visitor shows ", visited, ": the others would not be saved"}), path,
                     "visit each member, or say static constexpr bool partial_state = true"};
  }
}

inline std::string hex_of(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (char c : bytes) text.append(1, digits[static_cast<unsigned char>(c) >> 4U]).append(1, digits[static_cast<unsigned char>(c) & 15U]);
  return text;
}
inline std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    auto const byte = from_hex8("000000" + std::string{text.substr(i, 2)});
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
  }
  return bytes;
}

inline std::string joined(std::string const& path, std::string_view key) { return path.empty() ? std::string{key} : path + "." + std::string{key}; }

/// Runs `work`; an error that has no place gets `path` as its place.
template <class Work>
auto placed(std::string const& path, Work const& work) {
  try {
    return work();
  } catch (StateError const& error) {
    if (!error.where().empty()) throw;
    throw StateError{error.code(), error.problem(), path, error.fix()};
  }
}

/// A tensor to be saved, with its bytes or a view of them.
struct SavedTensor {
  safetensors::TensorView view{};
  Buffer owned{};
};

/// Turns members into JSON, and collects their tensors.
class Encoder {
 public:
  explicit Encoder(bool copy) : copy_{copy} {}

  std::vector<SavedTensor> tensors{};

  /// The members of an object, each with its type.
  template <class T>
  json::Value members(T const& object, std::string const& path) {
    Level const level{*this, path, 2};  // itself, and type and value of each member
    json::Value::Object result;
    auto const visit = [&](std::string_view key, auto const& member) {
      using Member = std::remove_cvref_t<decltype(member)>;
      if (!json::is_utf8(key)) throw StateError{"TACIT-RS84", "the key of a member is not UTF-8", path, "name it in UTF-8"};
      result.push_back({std::string{key}, typed<Member>(value(member, joined(path, key)))});
    };
    visit_members(object, visit);
    check_all_visited(object, result.size(), path);
    return json::Value{sorted(std::move(result), path)};
  }

  template <class T>
  json::Value value(T const& member, std::string const& path) {
    if constexpr (nested_members<T>) {
      return members(member, path);
    } else if constexpr (saved_tensor<T>) {
      return tensor(member, path);
    } else if constexpr (std::same_as<T, bool>) {
      return json::Value{member};
    } else if constexpr (std::is_enum_v<T>) {
      return value(static_cast<std::underlying_type_t<T>>(member), path);
    } else if constexpr (std::is_integral_v<T>) {
      if constexpr (std::is_signed_v<T>) {
        if (member < 0) return json::Value{static_cast<std::int64_t>(member)};
      }
      return json::Value{static_cast<std::uint64_t>(member)};
    } else if constexpr (std::is_floating_point_v<T>) {
      if (std::isfinite(member)) return json::Value{static_cast<double>(member)};
      // JSON has no such numbers; all bits are kept.
      char bits[sizeof(T)];
      std::memcpy(bits, &member, sizeof(T));
      return json::Value{hex_of({bits, sizeof(T)})};
    } else if constexpr (std::same_as<T, std::string>) {
      if (json::is_utf8(member)) return json::Value{member};
      Level const level{*this, path};
      return json::object_of(json::Member{"hex", json::Value{hex_of(member)}});
    } else if constexpr (count_like<T>) {
      if constexpr (requires { member.is_set(); }) {
        if (!member.is_set()) return {};
      }
      return value(member.value(), path);
    } else if constexpr (duration_like<T>) {
      return value(member.count(), path);
    } else if constexpr (optional_like<T>) {
      // In an array, so that an optional of an optional is told from none.
      if (!member.has_value()) return {};
      Level const level{*this, path};
      return json::array_of(value(*member, path));
    } else if constexpr (tuple_of_members<T>) {
      Level const level{*this, path};
      json::Value::Array array;
      std::apply([&](auto const&... element) { (array.push_back(value(element, path + "[" + std::to_string(array.size()) + "]")), ...); }, member);
      return json::Value{std::move(array)};
    } else if constexpr (std::ranges::sized_range<T>) {
      Level const level{*this, path};
      json::Value::Array array;
      for (auto const& element : member) {
        if constexpr (std::same_as<std::remove_cvref_t<T>, std::vector<bool>>) {
          array.push_back(json::Value{static_cast<bool>(element)});
        } else {
          array.push_back(value(element, path + "[" + std::to_string(array.size()) + "]"));
        }
      }
      return json::Value{std::move(array)};
    } else {
      return {};
    }
  }

  template <class T>
  static json::Value typed(json::Value value) {
    return json::object_of(json::Member{"type", json::Value{type_text<T>()}}, json::Member{"value", std::move(value)});
  }
  static json::Value::Object sorted(json::Value::Object members, std::string const& path) {
    std::ranges::sort(members, {}, &json::Member::key);
    auto const twice = std::ranges::adjacent_find(members, {}, &json::Member::key);
    if (twice != members.end())
      throw StateError{"TACIT-RS84", tacit::detail::message({"the key ", json::detail::shown(twice->key), " is visited twice"}), path,
                       "give each member a key of its own"};
    return members;
  }

 private:
  /// Nesting as the reader of the text is going to count it: what it would refuse is not written.
  class Level {
   public:
    Level(Encoder& encoder, std::string const& path, std::size_t count = 1) : encoder_{encoder}, count_{count} {
      if (encoder.depth_ + count > json::Limits{}.depth) {
        throw StateError{"TACIT-RS41", tacit::detail::message({"is nested too deep: the state file would have more than ", json::Limits{}.depth, " levels, and could not be read"}),
                         path.substr(0, 200), "save a tree as a list of its nodes"};
      }
      encoder.depth_ += count;
    }
    Level(Level const&) = delete;
    Level& operator=(Level const&) = delete;
    ~Level() { encoder_.depth_ -= count_; }

   private:
    Encoder& encoder_;
    std::size_t count_;
  };

  template <class T>
  json::Value tensor(T const& member, std::string const& path) {
    using Traits = state_tensor<T>;
    if (!Traits::defined(member)) return {};
    std::string const identity = Traits::identity(member);
    auto const known = identity.empty() ? names_.end() : names_.find(identity);
    if (known != names_.end()) return json::Value{known->second};
    SavedTensor saved;
    saved.view = placed(path, [&] { return safetensors::TensorView{path, Traits::dtype(member), Traits::shape(member), {}}; });
    std::optional<std::span<std::byte const>> borrowed;
    if constexpr (requires { Traits::borrow(member); }) {
      if (!copy_) borrowed = Traits::borrow(member);
    }
    if (borrowed) {
      saved.view.bytes = *borrowed;
    } else {
      auto const size = safetensors::bytes_of(saved.view.dtype, saved.view.shape);
      saved.owned = Buffer{static_cast<std::size_t>(size.value_or(0))};
      Traits::copy_to(member, saved.owned.bytes());
      saved.view.bytes = saved.owned.bytes();
    }
    tensors.push_back(std::move(saved));
    if (!identity.empty()) names_.emplace(identity, path);
    return json::Value{path};
  }

  bool copy_;
  std::size_t depth_ = 3;  // the file's object, its parts, and the part
  std::map<std::string, std::string> names_{};
};

/// A tensor of a file that is read.
struct LoadedTensor {
  safetensors::Dtype dtype{};
  safetensors::Shape shape{};
  std::span<std::byte const> bytes{};
};
using LoadedTensors = std::map<std::string, LoadedTensor, std::less<>>;

/// A part whose tensors others hold as well: it writes into them, and cannot make one undefined.
template <class T>
concept lends_tensors = requires {
  { std::bool_constant<T::lends_tensors>{} } -> std::same_as<std::true_type>;
};

/// A tensor whose elements `current` is going to take; the bytes live until then.
template <class T>
T to_write_into(T const& current, safetensors::Dtype dtype, safetensors::Shape const& shape, std::span<std::byte const> bytes) {
  using Traits = state_tensor<T>;
  if constexpr (requires { Traits::view(current, dtype, shape, bytes); }) {
    return Traits::view(current, dtype, shape, bytes);
  } else {
    return Traits::make(&current, dtype, shape, bytes);
  }
}

/// A value that waits for its commit.
class Staged {
 public:
  Staged() = default;
  Staged(Staged const&) = delete;
  Staged& operator=(Staged const&) = delete;
  virtual ~Staged() = default;
  virtual void commit() noexcept = 0;
};
template <class T>
class StagedValue final : public Staged {
 public:
  StagedValue(T& target, T value) : target_{&target}, value_{std::move(value)} {}
  void commit() noexcept override {
    if constexpr (saved_tensor<T>) {
      static_assert(noexcept(state_tensor<T>::commit(*target_, std::move(value_))), "state_tensor::commit is noexcept");
      state_tensor<T>::commit(*target_, std::move(value_));
    } else {
      *target_ = std::move(value_);
    }
  }

 private:
  T* target_;
  T value_;
};

template <class T>
class StagedNews final : public Staged {
 public:
  explicit StagedNews(T& part) : part_{&part} {}
  void commit() noexcept override { T::state_loaded(*part_); }

 private:
  T* part_;
};

/// Turns JSON back into values, and notes what does not fit.
class Decoder {
 public:
  Decoder(LoadedTensors const& tensors, std::set<std::string, std::less<>> added, std::set<std::string, std::less<>> removed)
      : tensors_{&tensors}, added_{std::move(added)}, removed_{std::move(removed)} {}

  std::vector<std::string> differences{};
  std::vector<std::unique_ptr<Staged>> staged{};

  bool may_be_added(std::string_view path) const { return added_.contains(path); }
  bool may_be_removed(std::string_view path) const { return removed_.contains(path); }

  /// Stages the members of an object that exists; members of members in place.
  template <class T>
  void stage(T& object, json::Reader const& file, std::string const& path) {
    each_member(object, file, path, [&](auto& member, json::Reader const& value, std::string const& where) {
      using Member = std::remove_cvref_t<decltype(member)>;
      if constexpr (nested_members<Member>) {
        stage(member, value, where);
      } else if constexpr (!std::is_empty_v<Member>) {
        if constexpr (!std::default_initializable<Member> || !(saved_tensor<Member> || std::is_nothrow_move_assignable_v<Member>)) {
          report(bad<misuse::EV06, Member>{});
        } else {
          if constexpr (saved_tensor<Member> && lends_tensors<T>) {
            if (value.value().is_null() && state_tensor<Member>::defined(member)) {
              differences.push_back("other tensor: " + where + " is undefined in the file");
              return;
            }
          }
          Member into{};
          bool whole = false;
          if constexpr (saved_tensor<Member>) {
            whole = tensor(into, &member, value, where, /*in_place=*/true);
          } else {
            whole = read(into, &member, value, where);
          }
          if (whole) staged.push_back(std::make_unique<StagedValue<Member>>(member, std::move(into)));
        }
      }
    });
    if constexpr (hears_of_load<T>) {
      staged.push_back(std::make_unique<StagedNews<T>>(object));
    } else if constexpr (states_load_badly<T> && !requires { object.state_loaded(); }) {
      // A bound optimizer has a member function of this name: OptimizerState calls it.
      report(bad<misuse::EV08, T>{});
    }
  }

  /// Reads a value; false if a difference was noted in its place.
  template <class T>
  bool read(T& into, T const* current, json::Reader const& file, std::string const& path) {
    if constexpr (nested_members<T>) {
      bool whole = true;
      each_member(into, file, path, [&](auto& member, json::Reader const& value, std::string const& where) {
        using Member = std::remove_cvref_t<decltype(member)>;
        whole = read(member, static_cast<Member const*>(nullptr), value, where) && whole;
      });
      return whole;
    } else if constexpr (saved_tensor<T>) {
      return tensor(into, current, file, path, /*in_place=*/false);
    } else if constexpr (std::same_as<T, bool>) {
      into = file.flag();
      return true;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> number{};
      read(number, static_cast<std::underlying_type_t<T> const*>(nullptr), file, path);
      into = static_cast<T>(number);
      return true;
    } else if constexpr (std::is_integral_v<T>) {
      into = integer<T>(file);
      return true;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (auto const* bits = file.value().template get<std::string>()) {
        auto const bytes = from_hex(*bits);
        if (!bytes || bytes->size() != sizeof(T)) file.fail("TACIT-RS85", "expected a number, or the bits of one that is not finite");
        std::memcpy(&into, bytes->data(), sizeof(T));
      } else {
        into = static_cast<T>(file.number());
      }
      return true;
    } else if constexpr (std::same_as<T, std::string>) {
      if (file.value().find("hex") != nullptr) {
        auto bytes = from_hex(file["hex"].text());
        if (!bytes) file.fail("TACIT-RS85", "expected hexadecimal digits");
        into = *std::move(bytes);
      } else {
        into = file.text();
      }
      return true;
    } else if constexpr (count_like<T>) {
      if constexpr (requires { into.is_set(); }) {
        if (file.value().is_null()) {
          into = T{unset};
          return true;
        }
        if (file.whole() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) file.fail("TACIT-RS85", "expected a count below 2^63");
      }
      into = T{integer<std::int64_t>(file)};
      return true;
    } else if constexpr (duration_like<T>) {
      typename T::rep count{};
      read(count, static_cast<typename T::rep const*>(nullptr), file, path);
      into = T{count};
      return true;
    } else if constexpr (optional_like<T>) {
      using Inner = std::remove_cvref_t<decltype(*into)>;
      if (file.value().is_null()) {
        into = T{};
        return true;
      }
      auto const items = file.items();
      if (items.size() != 1) file.fail("TACIT-RS85", "expected null or an array of one");
      Inner inner{};
      bool const whole = read(inner, current != nullptr && current->has_value() ? &**current : nullptr, items[0], path);
      into = T{std::move(inner)};
      return whole;
    } else if constexpr (tuple_of_members<T>) {
      auto const items = file.items();
      if (items.size() != std::tuple_size_v<T>) file.fail("TACIT-RS85", "expected " + std::to_string(std::tuple_size_v<T>) + " values");
      bool whole = true;
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((whole = read(std::get<I>(into), current == nullptr ? nullptr : &std::get<I>(*current), items[I], path + "[" + std::to_string(I) + "]") && whole), ...);
      }(std::make_index_sequence<std::tuple_size_v<T>>{});
      return whole;
    } else if constexpr (is_fixed_range_v<T>) {
      auto const items = file.items();
      if (items.size() != into.size()) file.fail("TACIT-RS85", "expected " + std::to_string(into.size()) + " values");
      bool whole = true;
      for (std::size_t i = 0; i < items.size(); ++i) {
        whole = read(into[i], current == nullptr ? nullptr : &(*current)[i], items[i], path + "[" + std::to_string(i) + "]") && whole;
      }
      return whole;
    } else if constexpr (growing_range<T>) {
      using Element = element_of_t<T>;
      bool whole = true;
      for (std::size_t i = 0; i < file.count(); ++i) {
        json::Reader const item = file.item(i);
        if constexpr (!std::default_initializable<Element>) {
          report(bad<misuse::EV06, Element>{});
        } else {
          Element element{};
          Element const* now = nullptr;
          if constexpr (std::ranges::random_access_range<T const> && std::same_as<std::ranges::range_reference_t<T const>, Element const&>) {
            if (current != nullptr && i < std::ranges::size(*current)) now = &std::ranges::begin(*current)[static_cast<std::ptrdiff_t>(i)];
          }
          whole = read(element, now, item, path + "[" + std::to_string(i) + "]") && whole;
          into.insert(into.end(), std::move(element));
        }
      }
      return whole;
    } else {
      return true;
    }
  }

  template <std::integral Integer>
  static Integer integer(json::Reader const& file) {
    if (auto const* negative = file.value().template get<std::int64_t>()) {
      if (std::in_range<Integer>(*negative)) return static_cast<Integer>(*negative);
    } else {
      std::uint64_t const whole = file.whole();
      if (std::in_range<Integer>(whole)) return static_cast<Integer>(whole);
    }
    file.fail("TACIT-RS85", "the integer does not fit " + type_text<Integer>());
  }

 private:
  template <class T, class Body>
  void each_member(T& object, json::Reader const& file, std::string const& path, Body const& body) {
    std::set<std::string, std::less<>> wanted;
    auto const visit = [&](std::string_view key, auto& member) {
      using Member = std::remove_cvref_t<decltype(member)>;
      std::string const where = joined(path, key);
      auto const entry = file.find(key);
      if (!entry) {
        if (!may_be_added(where)) differences.push_back("missing in the file: " + where);
        return;
      }
      wanted.emplace(key);
      std::string const& type = (*entry)["type"].text();
      if (type != type_text<Member>()) {
        differences.push_back("other type: " + where + " is " + printable(type) + " in the file, " + type_text<Member>() + " in the program");
        return;
      }
      body(member, (*entry)["value"], where);
    };
    visit_members(object, visit);
    for (json::Member const& one : file.object()) {
      std::string const where = joined(path, one.key);
      if (!wanted.contains(one.key) && !may_be_removed(where)) differences.push_back("not in the program: " + printable(where));
    }
  }

  static std::string printable(std::string_view text) {
    std::string result = json::detail::shown(text);
    return result.substr(1, result.size() - 2);
  }

  template <class T>
  bool tensor(T& into, T const* current, json::Reader const& file, std::string const& path, bool in_place) {
    using Traits = state_tensor<T>;
    if (file.value().is_null()) {
      into = T{};
      return true;
    }
    std::string const& name = file.text();
    auto const found = tensors_->find(name);
    if (found == tensors_->end()) file.fail("TACIT-RS86", "there is no tensor " + json::detail::shown(name) + " in the tensor file");
    LoadedTensor const& loaded = found->second;
    if (current != nullptr && Traits::defined(*current)) {
      auto const described = [](safetensors::Dtype dtype, safetensors::Shape const& shape) {
        return std::string{safetensors::name_of(dtype)} + " " + safetensors::detail::shape_text(shape);
      };
      if (placed(path, [&] { return Traits::dtype(*current); }) != loaded.dtype || Traits::shape(*current) != loaded.shape) {
        differences.push_back("other tensor: " + path + " is " + described(loaded.dtype, loaded.shape) + " in the file, " +
                              described(Traits::dtype(*current), Traits::shape(*current)) + " in the program");
        return false;
      }
      std::string const identity = Traits::identity(*current);
      if (!identity.empty()) {
        auto const [known, first] = shared_.emplace(identity, name);
        if (!first && known->second != name) {
          differences.push_back("shared tensor: " + path + " is " + printable(known->second) + " in the program, in the file they are two");
          return false;
        }
      }
    }
    if (in_place && Traits::defined(*current)) {
      into = placed(path, [&] { return to_write_into(*current, loaded.dtype, loaded.shape, loaded.bytes); });
      return true;
    }
    // Tied tensors come back tied: one that is staged already is shared.
    auto& made = made_[name];
    if (auto const* same = std::any_cast<T>(&made)) {
      into = *same;
    } else {
      into = placed(path, [&] { return Traits::make(current, loaded.dtype, loaded.shape, loaded.bytes); });
      made = into;
    }
    return true;
  }

  LoadedTensors const* tensors_;
  std::set<std::string, std::less<>> added_;
  std::set<std::string, std::less<>> removed_;
  std::map<std::string, std::any> made_{};
  std::map<std::string, std::string> shared_{};  // of the program's tensors: which one of the file each takes
};

}  // namespace detail

/// The members of a part as a file has them, for migrations.
class StateMembers {
 public:
  StateMembers(json::Value& members, std::string path) : members_{&members}, path_{std::move(path)} {}

  bool has(std::string_view key) const { return members_->find(key) != nullptr; }
  /// Throws: StateError where there is no such member, or one of the new name.
  void rename(std::string_view from, std::string_view to) {
    if (has(to)) fail("there is a member " + json::detail::shown(to) + " already");
    json::Member member = take(from);
    member.key = to;
    insert(std::move(member));
  }
  /// Throws: StateError where there is no such member.
  void remove(std::string_view key) { take(key); }
  /// Reads a member that is no tensor.
  /// Throws: StateError if it is missing or of another type.
  template <class T>
  T get(std::string_view key) const {
    json::Reader const file{*members_, path_};
    if (file[key]["type"].text() != detail::type_text<T>()) fail(json::detail::shown(key) + " is " + file[key]["type"].text() + ", not " + detail::type_text<T>());
    detail::LoadedTensors const none;
    detail::Decoder decoder{none, {}, {}};
    T value{};
    decoder.read(value, static_cast<T const*>(nullptr), file[key]["value"], std::string{key});
    return value;
  }
  /// Adds a member, or replaces it.
  template <class T>
  void set(std::string_view key, T const& value) {
    if (has(key)) take(key);
    detail::Encoder encoder{true};
    insert({std::string{key}, detail::Encoder::typed<T>(encoder.value(value, std::string{key}))});
  }

 private:
  json::Value::Object& object() { return *members_->get<json::Value::Object>(); }
  json::Member take(std::string_view key) {
    if (!has(key)) fail("there is no member " + json::detail::shown(key));
    auto const at = std::ranges::find(object(), key, &json::Member::key);
    json::Member member = std::move(*at);
    object().erase(at);
    return member;
  }
  void insert(json::Member member) {
    auto const at = std::ranges::lower_bound(object(), member.key, {}, &json::Member::key);
    object().insert(at, std::move(member));
  }
  [[noreturn]] void fail(std::string const& what) const {
    throw StateError{"TACIT-RS87", tacit::detail::message({"the migration cannot be done: ", what}), path_,
                     "mend migrate_state, or use a checkpoint of this version"};
  }

  json::Value* members_;
  std::string path_;
};

/// Parts as they go into files: a text and tensors.
struct SavedState {
  std::string text{};
  std::vector<detail::SavedTensor> tensors{};
  safetensors::Layout layout{};

  /// The files of a checkpoint, named by rank where there are several; borrowed from this.
  std::vector<CheckpointFile> files(int rank = 0, int world_size = 1) const;
};

/// What may differ between a file and the program: paths as messages print them, `part` or `part.member`.
struct LoadOptions {
  std::vector<std::string> allow_added{};    ///< in the program, not in the file: keeps its value
  std::vector<std::string> allow_removed{};  ///< in the file, not in the program
  int rank = 0;
  int world_size = 1;
};

/// Values that fit the program, read and checked; nothing of the program has changed yet.
class StagedState {
 public:
  explicit StagedState(std::vector<std::unique_ptr<detail::Staged>> values) : values_{std::move(values)} {}
  /// Puts all values in their places.
  void commit() noexcept {
    for (auto const& value : values_) value->commit();
    values_.clear();
  }

 private:
  std::vector<std::unique_ptr<detail::Staged>> values_;
};

namespace detail {

inline std::string state_file_name(std::string_view extension, int rank, int world_size) {
  auto const five = [](int n) {
    std::string const digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  std::string const ranks = world_size == 1 ? std::string{} : ".rank-" + five(rank) + "-of-" + five(world_size);
  return "state" + ranks + "." + std::string{extension};
}

/// Reports a part without a visitor, or with one or a `state_loaded` of the wrong form, as the only error.
template <class T>
constexpr void report_visitor() {
  using Plain = std::remove_const_t<T>;
  if constexpr (names_visit_state<Plain> && !visitable_state<Plain>) {
    report(bad<misuse::EV02, Plain>{});
  } else if constexpr (!visitable_state<Plain>) {
    report(bad<misuse::EV07, Plain>{});
  } else if constexpr (states_load_badly<Plain>) {
    report(bad<misuse::EV08, Plain>{});
  }
}

template <class T>
struct part_access {
  using object_type = T;
  static std::string_view name(T const&) {
    report_visitor<T>();
    if constexpr (requires { { T::state_name } -> std::convertible_to<std::string_view>; }) {
      return T::state_name;
    } else {
      if constexpr (visitable_state<T>) report(bad<misuse::EV05, T>{});
      return {};
    }
  }
  static T& object(T& part) { return part; }
  static T const& object(T const& part) { return part; }
};
template <class T>
struct part_access<NamedPart<T>> {
  using object_type = T;
  static std::string_view name(NamedPart<T> const& part) {
    report_visitor<T>();
    return part.name;
  }
  static T& object(NamedPart<T> const& part) { return part.object; }
};

template <class... Parts>
SavedState encode_parts(bool copy, Parts const&... parts) {
  Encoder encoder{copy};
  json::Value::Object all;
  auto const add = [&](auto const& part) {
    using Access = part_access<std::remove_cvref_t<decltype(part)>>;
    std::string const name{Access::name(part)};
    if (name.empty() || !json::is_utf8(name)) throw StateError{"TACIT-RS84", "a part has no name, or one that is not UTF-8", "the parts to save", "name it"};
    if constexpr (visitable_state<std::remove_const_t<typename Access::object_type>>) {
      constexpr std::uint64_t version = version_of<std::remove_const_t<typename Access::object_type>>();
      all.push_back({name, json::object_of(json::Member{"members", encoder.members(Access::object(part), name)}, json::Member{"version", json::Value{version}})});
    }
  };
  (add(parts), ...);
  SavedState saved;
  json::append(saved.text, json::object_of(json::Member{"format", json::Value{std::string{"tacit-state"}}},
                                           json::Member{"parts", json::Value{Encoder::sorted(std::move(all), "the parts to save")}},
                                           json::Member{"version", json::Value{state_format_version}}));
  saved.text += '\n';
  saved.tensors = std::move(encoder.tensors);
  std::vector<safetensors::TensorView> views;
  for (SavedTensor const& tensor : saved.tensors) views.push_back(tensor.view);
  saved.layout = safetensors::lay_out(views);
  return saved;
}

/// Brings the members of a file's part to the program's version; false if that cannot be done, which is noted.
template <class T>
bool migrate(json::Value& part, std::string const& name, std::string_view file, std::vector<std::string>& differences) {
  std::uint64_t version = json::Reader{part, file, name}["version"].whole();
  constexpr std::uint64_t wanted = version_of<T>();
  if (version > wanted) {
    throw StateError{"TACIT-RS81",
                     tacit::detail::message({"part ", json::detail::shown(name), " is of version ", version, ", this program reads up to ", wanted}),
                     std::string{file}, "load it with the newer program that saved it"};
  }
  if (version == wanted) return true;
  json::Value* const members = part.find("members");
  if constexpr (requires(StateMembers& m) { T::migrate_state(std::uint64_t{}, m); }) {
    if (members != nullptr && members->get<json::Value::Object>() != nullptr) {
      StateMembers document{*members, std::string{file} + ", part " + name};
      for (; version < wanted; ++version) T::migrate_state(version, document);
      return true;
    }
  }
  differences.push_back("older version: part " + name + " is of version " + std::to_string(version) + " in the file, " + std::to_string(wanted) +
                        " in the program, which has no migrate_state");
  return false;
}

}  // namespace detail

inline std::vector<CheckpointFile> SavedState::files(int rank, int world_size) const {
  std::vector<CheckpointFile> result(2);
  result[0].name = detail::state_file_name("json", rank, world_size);
  result[0].pieces.push_back(std::as_bytes(std::span{text}));
  result[1].name = detail::state_file_name("safetensors", rank, world_size);
  result[1].pieces.push_back(std::as_bytes(std::span{layout.head}));
  for (std::size_t i : layout.order) result[1].pieces.push_back(tensors[i].view.bytes);
  return result;
}

/// Parts as they are now, in memory: what changes later does not change it. What this accepts can be loaded: limits of the
/// readers (64 levels of nesting, 100 MB of tensor headers) are checked here; the number of values has none.
template <class... Parts>
SavedState snapshot_state(Parts const&... parts) {
  return detail::encode_parts(true, parts...);
}

/// Saves parts as this rank's share of checkpoint `number`; returns when the whole checkpoint is safe.
/// Throws: StateError as `CheckpointWriter::save`, and for names or keys that stand twice.
template <file_system F, class Group, class... Parts>
std::string save_state(CheckpointWriter<F, Group>& writer, Updates number, std::optional<double> metric, Parts const&... parts) {
  SavedState const saved = detail::encode_parts(false, parts...);
  std::vector<CheckpointFile> const files = saved.files(writer.rank(), writer.world_size());
  return writer.save(number, files, metric);
}

/// Reads parts from the text of a state file and the bytes of its tensor file, and compares all of it with the program.
/// Nothing is changed before `commit()`. The bytes of tensors are borrowed until then.
/// Throws: StateError for damaged files, newer versions, and (TACIT-RS80) with all differences at once, the first 20 printed.
template <class... Parts>
StagedState stage_state(std::string_view text, std::string_view text_file, std::span<std::byte const> tensor_bytes, std::string_view tensor_file, LoadOptions const& options, Parts&&... parts) {
  json::Value root = json::parse(text, text_file, json::limits_of(text));  // as many values as were saved
  json::Reader const reader{root, text_file};
  if (reader["format"].text() != "tacit-state") reader["format"].fail("TACIT-RS52", "is not a state of Tacit");
  std::uint64_t const version = reader["version"].whole();
  if (version == 0 || version > state_format_version) {
    throw StateError{"TACIT-RS82", tacit::detail::message({"is of format version ", version, ", this program reads up to ", state_format_version}),
                     std::string{text_file}, "read it with the version of Tacit that wrote it, or a newer one"};
  }
  reader.allow_only({"format", "version", "parts"});
  (void)reader["parts"].object();

  detail::LoadedTensors tensors;
  safetensors::Header header = safetensors::parse(tensor_bytes, tensor_file);
  for (safetensors::TensorInfo& info : header.tensors) {
    auto const bytes = safetensors::tensor_bytes(tensor_bytes, header, info, tensor_file);
    tensors.emplace(std::move(info.name), detail::LoadedTensor{info.dtype, std::move(info.shape), bytes});
  }

  detail::Decoder decoder{tensors, {options.allow_added.begin(), options.allow_added.end()}, {options.allow_removed.begin(), options.allow_removed.end()}};
  std::set<std::string, std::less<>> wanted;
  auto const stage = [&](auto&& part) {
    using Access = detail::part_access<std::remove_cvref_t<decltype(part)>>;
    using Object = typename Access::object_type;
    std::string const name{Access::name(part)};
    if (!wanted.insert(name).second)
      throw StateError{"TACIT-RS84", tacit::detail::message({"the part ", json::detail::shown(name), " is given twice"}), "the parts to load",
                       "name them with named_part"};
    json::Value* const found = root.find("parts")->find(name);
    if (found == nullptr) {
      if (!decoder.may_be_added(name)) decoder.differences.push_back("missing in the file: part " + name);
      return;
    }
    if constexpr (visitable_state<Object>) {
      if (!detail::migrate<Object>(*found, name, text_file, decoder.differences)) return;
      decoder.stage(Access::object(part), json::Reader{*found, text_file, name}["members"], name);
    }
  };
  (stage(parts), ...);
  for (json::Member const& part : *root.find("parts")->get<json::Value::Object>()) {
    if (!wanted.contains(part.key) && !decoder.may_be_removed(part.key)) {
      decoder.differences.push_back("not in the program: part " + json::detail::shown(part.key));
    }
  }
  if (!decoder.differences.empty()) {
    std::size_t const count = decoder.differences.size();
    std::string list;
    for (std::size_t i = 0; i < std::min<std::size_t>(count, 20); ++i) list += "\n  " + decoder.differences[i];
    if (count > 20) list += "\n  and " + std::to_string(count - 20) + " more";
    throw StateError{"TACIT-RS80",
                     tacit::detail::message({"does not fit the program, ", count, (count == 1 ? " difference:" : " differences:"), list, "\n"}),
                     std::string{text_file}, "load it with the program that saved it, or name what may differ in LoadOptions"};
  }
  return StagedState{std::move(decoder.staged)};
}

/// Loads parts from a checkpoint: all of them or, where anything does not fit, none.
/// Throws: StateError as `stage_state`, and if the checkpoint was saved by another number of ranks.
template <file_system F, class... Parts>
void load_state(Checkpoint<F> const& checkpoint, LoadOptions const& options, Parts&&... parts) {
  if (checkpoint.manifest().world_size != options.world_size) {
    throw StateError{"TACIT-RS83",
                     tacit::detail::message({"was saved by ", checkpoint.manifest().world_size, " ranks, this program runs ", options.world_size}),
                     checkpoint.directory(), "run as many ranks as saved it"};
  }
  std::string const text_name = detail::state_file_name("json", options.rank, options.world_size);
  std::string const tensor_name = detail::state_file_name("safetensors", options.rank, options.world_size);
  Buffer const text = checkpoint.read(text_name);
  Buffer const tensors = checkpoint.read(tensor_name);
  stage_state(text.text(), checkpoint.directory() + "/" + text_name, tensors.bytes(), checkpoint.directory() + "/" + tensor_name, options, parts...).commit();
}

}  // namespace tacit::inline v0
