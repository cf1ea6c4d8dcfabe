#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StorageImpl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tacit/concepts/optimizer.hpp"
#include "tacit/core/error.hpp"
#include "tacit/task/aten.hpp"

namespace tacit::inline v0::detail {

/// Any value as LibTorch prints it, for messages.
template <class Value>
std::string printed(Value const& value) {
  std::ostringstream text;
  text << value;
  return std::move(text).str();
}

/// Throws: ConfigError of that number unless `good`; `name` and `wanted` are parts of its sentence.
template <class Value>
void check_option(bool good, std::string_view code, std::string_view where, std::string_view name, Value const& value,
                  std::string_view wanted) {
  if (!good) {
    throw ConfigError{code, std::string{name} + " is " + printed(value), where, "give " + std::string{wanted}};
  }
}

inline bool finite_from_zero(double x) { return std::isfinite(x) && x >= 0.0; }

/// Throws: ConfigError for a list without parameters and for one tensor under two names, which would be updated twice.
inline void check_parameters(ParameterSet const& parameters, std::string_view where) {
  if (parameters.empty()) refuse_no_parameters(where);
  std::vector<Parameter const*> by_tensor;
  by_tensor.reserve(parameters.size());
  for (Parameter const& p : parameters) by_tensor.push_back(&p);
  auto const tensor_of = [](Parameter const* p) { return p->master.unsafeGetTensorImpl(); };
  std::ranges::sort(by_tensor, std::ranges::less{}, tensor_of);
  auto const twice = std::ranges::adjacent_find(by_tensor, std::ranges::equal_to{}, tensor_of);
  if (twice != by_tensor.end()) {
    throw ConfigError{"TACIT-RC30", detail::message({"'", (*twice)->name, "' and '", (*std::next(twice))->name, "' are one tensor"}), where,
                      "add a tied parameter once, under one name"};
  }
}

/// What must be equal for one walk over two storages to meet the same elements: kind, device, type, sizes, strides.
class memory_layout {
 public:
  explicit memory_layout(at::Tensor const& t) : keys_{t.key_set()}, type_{t.dtype()}, device_{t.device()} {
    for (std::int64_t d = 0; d < t.dim(); ++d) dimensions_.push_back({t.size(d), t.stride(d)});
  }

  bool is_of(at::Tensor const& t) const {
    // The keys tell dense from sparse and one kind of device from another.
    if (t.key_set() != keys_ || t.dtype() != type_) return false;
    if (!keys_.has_backend(c10::BackendComponent::CPUBit) && t.device() != device_) return false;
    at::IntArrayRef const sizes = t.sizes();
    if (sizes.size() != dimensions_.size()) return false;
    std::int64_t const* size = sizes.data();
    std::int64_t const* stride = t.strides().data();
    for (dimension const& wanted : dimensions_) {
      if (*size != wanted.size || (*stride != wanted.stride && wanted.size > 1)) return false;
      ++size;
      ++stride;
    }
    return true;
  }

 private:
  struct dimension {
    std::int64_t size;
    std::int64_t stride;
  };

  c10::DispatchKeySet keys_;
  caffe2::TypeMeta type_;
  c10::Device device_;
  std::vector<dimension> dimensions_;
};

/// One state tensor per parameter: its name, whether it is a float32 scalar rather than like the parameter, and what it
/// is filled with at first.
struct slot_form {
  std::string_view name;
  bool scalar = false;
  double initial = 0.0;
};

/// The tensor lists of LibTorch's fused updates, one set of lists per (device, type) of the parameters.
///
/// The fused operations walk storages and check nothing: they update a transposed parameter with a contiguous gradient
/// silently wrong. So layouts are compared here: of slots when they enter a list, of parameters when they have another
/// storage than before, of gradients every step. Lists keep their tensors and their capacity between steps; gradients
/// are let go after each, for backward frees and makes them anew.
template <std::size_t Slots>
class fused_lists {
 public:
  struct columns {
    std::vector<at::Tensor> parameters;
    std::array<std::vector<at::Tensor>, Slots> slots;
  };

  class list {
   public:
    list(c10::Device device, c10::ScalarType type) : device_{device}, type_{type} {}

    c10::Device device() const { return device_; }
    std::vector<at::Tensor> const& gradients() const { return gradients_; }
    /// Parameter and slots of each gradient.
    columns const& beside_gradients() const { return gradients_.size() == all_.parameters.size() ? all_ : some_; }

   private:
    friend fused_lists;

    c10::Device device_;
    c10::ScalarType type_;
    columns all_;
    std::vector<at::Tensor> gradients_;
    std::vector<std::size_t> rows_;  // for each gradient its row of `all_`
    columns some_;                   // those rows, where they are not all
  };

  explicit fused_lists(std::string_view owner) : owner_{owner} {}

  /// Gives every parameter the slots of these forms and sorts the parameters into lists.
  /// Effects: what a parameter has is kept, and moved where the parameter has another device, type or layout by now; a
  /// parameter of other sizes than its state starts anew.
  /// Throws: ConfigError for no parameters, for one tensor under two names and for a parameter that the fused
  /// operations cannot update.
  void rebuild(ParameterSet& parameters, std::span<slot_form const> forms) {
    check_parameters(parameters, owner_);
    for (Parameter const& p : parameters) check_parameter(p);
    c10::InferenceMode const normal{false};
    at::NoGradGuard const guard;
    std::vector<std::string> names;
    for (slot_form const& form : forms) names.emplace_back(form.name);
    parameters.set_slot_names(std::move(names));
    forms_.assign(forms.begin(), forms.end());
    lists_.clear();
    entries_.clear();
    entries_.reserve(parameters.size());
    for (Parameter& p : parameters) {
      p.slots.resize(forms.size());
      for (std::size_t s = 0; s < forms.size(); ++s) {
        if (slot_fits(p, s)) continue;
        at::Tensor const old = std::exchange(p.slots[s], begun(p.master, forms[s]));
        if (old.defined() && old.sizes().equals(p.slots[s].sizes())) p.slots[s].copy_(old);
      }
      list& l = list_of(p.master);
      bool const empty = p.master.numel() == 0;  // some operations refuse it
      entries_.push_back({p.master.unsafeGetTensorImpl(), storage_of(p.master), memory_layout{p.master},
                          static_cast<std::size_t>(&l - lists_.data()), empty ? nowhere : l.all_.parameters.size()});
      if (empty) continue;
      l.all_.parameters.push_back(p.master);
      for (std::size_t s = 0; s < listed_slots(); ++s) l.all_.slots[s].push_back(p.slots[s]);
    }
  }

  /// Fills the lists with the parameters that have a gradient, but those for which aside(place in the set, gradient) is
  /// true. A gradient that came in another layout is copied into the parameter's.
  template <class Aside>
  void fill(ParameterSet& parameters, Aside&& aside) {
    if (parameters.size() != entries_.size()) throw_changed(std::to_string(parameters.size()) + " parameters");
    release();
    std::size_t place = 0;
    for (Parameter& p : parameters) {
      std::size_t const here = place++;
      entry& e = entries_[here];
      if (e.tensor != p.master.unsafeGetTensorImpl()) throw_changed("another tensor as '" + p.name + "'");
      if (e.storage != storage_of(p.master)) check_moved(e, p);
      at::Tensor const& own = p.master.mutable_grad();
      at::Tensor const& gradient = own.defined() || p.model.is_same(p.master) ? own : p.model.mutable_grad();
      if (!gradient.defined() || e.row == nowhere) continue;
      list& l = lists_[e.list];
      check_slots(l, e, p);
      if (e.layout.is_of(gradient)) [[likely]] {
        if (!aside(here, gradient)) add(l, e, gradient);
      } else {
        check_moved(e, p);
        at::Tensor const fitting = fitted(p, e.layout, gradient);
        if (!aside(here, fitting)) add(l, e, fitting);
      }
    }
    for (list& l : lists_) gather(l);
  }

  std::vector<list>& lists() { return lists_; }

  /// Lets go of the gradients.
  void release() {
    for (list& l : lists_) {
      l.gradients_.clear();
      l.rows_.clear();
    }
  }

  /// The fused operations do not do this; without it a backward through a graph from before the update would give wrong
  /// gradients instead of an error.
  static void mark_changed(at::Tensor const& parameter) { parameter.unsafeGetTensorImpl()->bump_version(); }

  /// The steps count the update that is about to be made, as LibTorch's fused operations want it; afterwards
  /// `take_back` uncounts a masked one.
  static void advance(std::vector<at::Tensor> const& steps, list const& l, std::optional<at::Tensor> const& found_inf) {
    if (found_inf || !l.device().is_cpu()) {
      at::_foreach_add_(steps, 1.0);
    } else {
      for (at::Tensor const& step : steps) *static_cast<float*>(step.mutable_data_ptr()) += 1.0F;
    }
  }
  static void take_back(std::vector<at::Tensor> const& steps, std::optional<at::Tensor> const& found_inf) {
    if (found_inf) at::_foreach_add_(steps, *found_inf, -1.0);
  }

  /// The mask as the fused operations want it: float32 on that device, and just 1 where it is not 0.
  std::optional<at::Tensor> found_inf(at::Tensor const* mask, c10::Device device) {
    if (mask == nullptr) return std::nullopt;
    if (!flag_.defined() || flag_.device() != mask->device()) flag_ = tensor_traits<at::Tensor>::flag_like(0.0, *mask);
    at::ne_out(flag_, mask->dim() == 0 ? *mask : mask->reshape({}), 0);
    return device == flag_.device() ? flag_ : flag_.to(device);
  }

 private:
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

  struct entry {
    c10::TensorImpl const* tensor;
    c10::StorageImpl const* storage;
    memory_layout layout;
    std::size_t list;
    std::size_t row;  // in the list's `all_`; nowhere for a parameter without elements
  };

  static void add(list& l, entry const& e, at::Tensor const& gradient) {
    l.gradients_.push_back(gradient);
    l.rows_.push_back(e.row);
  }

  void gather(list& l) const {
    if (l.gradients_.size() != l.all_.parameters.size()) {
      l.some_.parameters.clear();
      for (std::size_t const row : l.rows_) l.some_.parameters.push_back(l.all_.parameters[row]);
      for (std::size_t s = 0; s < listed_slots(); ++s) {
        l.some_.slots[s].clear();
        for (std::size_t const row : l.rows_) l.some_.slots[s].push_back(l.all_.slots[s][row]);
      }
    }
    for (at::Tensor const& p : l.beside_gradients().parameters) mark_changed(p);
  }

  /// How many of the slots go into the lists; others are the optimizer's own affair.
  std::size_t listed_slots() const { return std::min(Slots, forms_.size()); }

  void check_slots(list& l, entry const& e, Parameter const& p) const {
    if (p.slots.size() < forms_.size()) throw_slot(p);
    for (std::size_t s = 0; s < listed_slots(); ++s) {
      at::Tensor& listed = l.all_.slots[s][e.row];
      if (listed.is_same(p.slots[s])) [[likely]]
        continue;
      if (!slot_fits(p, s)) throw_slot(p);
      listed = p.slots[s];
    }
  }

  static c10::StorageImpl const* storage_of(at::Tensor const& t) {
    return t.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
  }

  static at::Tensor begun(at::Tensor const& parameter, slot_form const& form) {
    if (form.scalar) {
      return at::scalar_tensor(form.initial, at::TensorOptions{}.dtype(at::kFloat).device(parameter.device()));
    }
    return at::empty_like(parameter, at::MemoryFormat::Preserve).fill_(form.initial);
  }

  list& list_of(at::Tensor const& t) {
    for (list& l : lists_) {
      if (l.device_ == t.device() && l.type_ == t.scalar_type()) return l;
    }
    return lists_.emplace_back(t.device(), t.scalar_type());
  }

  void check_parameter(Parameter const& p) const {
    if (!p.master.is_floating_point()) {
      throw ConfigError{"TACIT-RC31", detail::message({"'", p.name, "' is of type ", printed(p.master.scalar_type())}), owner_,
                        "train real floating types: complex numbers as view_as_real, all else is a buffer"};
    }
    if (p.master.layout() != at::kStrided || !p.master.is_non_overlapping_and_dense()) {
      throw ConfigError{"TACIT-RC32",
                        detail::message({"'", p.name, "' does not fill its memory (sizes ", printed(p.master.sizes()), ", strides ",
                                         printed(p.master.strides()), ")"}),
                        owner_, "make the parameter from tensor.contiguous()"};
    }
  }

  bool slot_fits(Parameter const& p, std::size_t s) const {
    if (p.slots.size() <= s || !p.slots[s].defined()) return false;
    if (!forms_[s].scalar) return memory_layout{p.master}.is_of(p.slots[s]);
    return p.slots[s].device() == p.master.device() && p.slots[s].scalar_type() == at::kFloat && p.slots[s].dim() == 0;
  }

  [[noreturn]] void throw_slot(Parameter const& p) const {
    throw ConfigError{"TACIT-RC33", detail::message({"the state of '", p.name, "' has not the parameter's type, device and layout"}), owner_,
                      "copy_() into the slots, or call parameters_changed() after replacing them"};
  }

  void check_moved(entry& e, Parameter const& p) const {
    list const& l = lists_[e.list];
    bool fits = l.device_ == p.master.device() && l.type_ == p.master.scalar_type() &&
                p.master.is_non_overlapping_and_dense() && (p.master.numel() == 0) == (e.row == nowhere);
    for (std::size_t s = 0; fits && s < forms_.size(); ++s) fits = slot_fits(p, s);
    if (!fits) {
      throw ConfigError{
          "TACIT-RC34",
          detail::message({"'", p.name, "' is now ", printed(p.master.scalar_type()), " on ", p.master.device().str(), ", sizes ",
                           printed(p.master.sizes()), ", strides ", printed(p.master.strides()), ", and was other when the optimizer was bound"}),
          owner_, "move and convert the model before the optimizer is bound, or call parameters_changed()"};
    }
    e.storage = storage_of(p.master);
    e.layout = memory_layout{p.master};
  }

  [[noreturn]] void throw_changed(std::string const& what) const {
    throw ConfigError{"TACIT-RC35", detail::message({"step got ", what, " but was bound to others"}), owner_,
                      "call parameters_changed() after parameters came or went"};
  }

  at::Tensor fitted(Parameter const& p, memory_layout const& layout, at::Tensor const& gradient) const {
    if (layout.is_of(gradient)) return gradient;
    if (gradient.layout() != at::kStrided) {
      throw ConfigError{"TACIT-RC36", detail::message({"the gradient of '", p.name, "' is ", printed(gradient.layout())}), owner_,
                        "make it dense: an Embedding with sparse(false), or another optimizer"};
    }
    if (!gradient.sizes().equals(p.master.sizes())) {
      throw ConfigError{
          "TACIT-RC37",
          detail::message({"the gradient of '", p.name, "' has sizes ", printed(gradient.sizes()), ", the parameter ", printed(p.master.sizes())}),
          owner_, "assign gradients of the parameter's own sizes"};
    }
    return at::empty_like(p.master, at::MemoryFormat::Preserve).copy_(gradient);
  }

  std::string_view owner_;
  std::vector<list> lists_;
  std::vector<entry> entries_;
  std::vector<slot_form> forms_;
  at::Tensor flag_;
};

/// `step` of an optimizer whose `step_on_device` obeys a mask on the device.
template <class Bound>
class masked_step {
 public:
  static constexpr bool maskable = true;

  /// Updates every parameter that has a gradient, by one call of LibTorch per operation, device and type.
  /// Effects: a mask that is not 0 leaves parameters and state as they are.
  /// Cost: a mask on the CPU is read, which waits for nothing; any other goes to the device.
  void step(ParameterSet& parameters, update_input<at::Tensor> const& input = {}) {
    at::Tensor const* mask = input.mask;
    if (mask != nullptr && tensor_traits<at::Tensor>::host_readable(*mask)) {
      if (tensor_traits<at::Tensor>::read(*mask) != 0.0) return;
      mask = nullptr;
    }
    static_cast<Bound*>(this)->step_on_device(parameters, mask);
  }
};

}  // namespace tacit::inline v0::detail
