#pragma once

#include <initializer_list>
#include <memory>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/core/error.hpp"
#include "tacit/data/epoch.hpp"

/// One source for several passes: training and the evaluation inside of its epoch, an evaluation and the loop around it.
namespace tacit::inline v0::data::detail {

/// Puts a source back to where it stood, once a pass over it is over; one that cannot be put back stays where the pass leaves it.
template <class Source>
class PlaceKeeper {
 public:
  explicit PlaceKeeper(Source&) {}
};
template <restorable_batch_source Source>
class PlaceKeeper<Source> {
 public:
  explicit PlaceKeeper(Source& source) : source_{source}, place_{source.place()} {}
  PlaceKeeper(PlaceKeeper const&) = delete;
  PlaceKeeper& operator=(PlaceKeeper const&) = delete;
  ~PlaceKeeper() { source_.restore(place_); }

 private:
  Source& source_;
  decltype(source_.place()) place_;
};

/// The object that a pass over a source disturbs for every other pass over it; null where the source can be put back.
template <class Source>
void const* disturbed_by_passes([[maybe_unused]] Source const& source) {
  if constexpr (restorable_batch_source<Source>) {
    return nullptr;
  } else if constexpr (requires { source.walked(); }) {
    return source.walked();
  } else {
    return std::addressof(source);
  }
}

/// Throws: ConfigError if an evaluation inside of an epoch would disturb the training data.
inline void refuse_shared(void const* training, std::initializer_list<void const*> evaluation) {
  for (void const* const one : evaluation) {
    if (one == nullptr || one != training) continue;
    throw ConfigError{"TACIT-RC141", "training and evaluation are given the same data, which cannot be put back to where training stands after an evaluation", "train",
                      "give each a range or a source of its own, or data::loader over a dataset, which can serve both"};
  }
}

}  // namespace tacit::inline v0::data::detail
