#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/loader.hpp"
#include "tacit/data/owned_or_borrowed.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/train/options.hpp"

namespace tacit::inline v0 {

/// The data of a named eval set in a call of `train`.
template <fixed_string Name, class Data>
struct EvalData {
  static constexpr auto name = Name;
  using data_type = std::remove_reference_t<Data>&;  // a run borrows what is here
  mutable data::OwnedOrBorrowed<Data> data;
};
/// An lvalue is borrowed and has to outlive the result, an rvalue is taken over.
template <fixed_string Name, class Data>
EvalData<Name, Data> eval_data(Data&& data) {
  return {data::OwnedOrBorrowed<Data>{std::forward<Data>(data)}};
}

namespace detail {

template <class T>
inline constexpr bool is_eval_data_v = false;
template <fixed_string Name, class Data>
inline constexpr bool is_eval_data_v<EvalData<Name, Data>> = true;

/// The source of a run's batches: a default loader over a dataset, the caller's loader, or a range.
template <class Data>
auto make_source(Data&& data, Samples batch_size, bool shuffle, std::uint64_t seed, char const* option) {
  constexpr auto kind = data::data_kind_of_v<Data>;
  if constexpr (kind == data::data_kind::dataset) {
    return std::make_unique<data::Loader<Data, data::DefaultCollate, data::OptionsSampler, false>>(
        std::forward<Data>(data),
        data::LoaderOptions{.batch_size = Samples{batch_size.value_or(default_batch_size)}, .shuffle = shuffle, .drop_last = false, .seed = seed});
  } else {
    if (batch_size.is_set()) {
      throw ConfigError{"TACIT-RC60", "a batch size is given, but the data make their own batches", option,
                        "leave it out, or pass the dataset instead of a loader or range"};
    }
    if constexpr (kind == data::data_kind::source) {
      return std::make_unique<data::OwnedOrBorrowed<Data>>(std::forward<Data>(data));
    } else {
      return std::make_unique<data::RangeSource<Data>>(std::forward<Data>(data));
    }
  }
}
template <class Source>
auto& source_in(std::unique_ptr<Source>& holder) {
  if constexpr (requires { holder->get(); }) {
    return holder->get();
  } else {
    return *holder;
  }
}
template <class Data>
using source_t = std::remove_reference_t<decltype(source_in(
    std::declval<std::add_lvalue_reference_t<decltype(make_source(std::declval<Data>(), Samples{}, false, std::uint64_t{}, ""))>>()))>;

template <class Source>
Samples batch_size_of(Source const& source) {
  if constexpr (requires { source.options().batch_size->value(); }) {
    return *source.options().batch_size;
  } else {
    return unset;
  }
}

}  // namespace detail

}  // namespace tacit::inline v0
