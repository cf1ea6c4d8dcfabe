#pragma once

#include <type_traits>

#include "tacit/core/list.hpp"
#include "tacit/core/misuse.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/train/checks/callbacks.hpp"
#include "tacit/train/checks/first_of.hpp"
#include "tacit/train/checks/metrics.hpp"
#include "tacit/train/checks/state.hpp"
#include "tacit/train/composition.hpp"

namespace tacit::inline v0::detail {

/// The callbacks of a pack, one by one and together.
template <class Composition, class... C>
constexpr auto check_callbacks(list<C...> pack) {
  using complete = decltype(check_complete(pack));
  if constexpr (!is_sound_v<complete>) {
    return complete{};
  } else if constexpr (!std::is_void_v<typename immovable<C...>::type>) {
    return refuse<misuse::EC04, typename immovable<C...>::type>{};
  } else {
    using unique = decltype(check_duplicates(pack));
    if constexpr (!is_sound_v<unique>) {
      return unique{};
    } else {
      using each = decltype(check_each_callback<typename Composition::tensor_type, typename Composition::task>(
          list<callback_pair<C, unwrap_t<bound_callback_t<C, Composition>>>...>{}));
      if constexpr (!is_sound_v<each>) {
        return each{};
      } else {
        return first_of<decltype(check_order<list<innermost_t<C>...>>()), decltype(check_metrics<Composition>(pack)),
                        decltype(check_state<Composition>(pack))>();
      }
    }
  }
}

}  // namespace tacit::inline v0::detail
