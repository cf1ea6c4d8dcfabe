// Schedules, each bound to the length of a run, asked for a value and printed.

// expect: updates 100 to 999: cosine, 1 to
// expect: updates 500 to 949: constant, 1 to 1

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <iostream>

namespace schedule = tacit::schedule;
using tacit::Epochs;
using tacit::UpdateIndex;

int main() {
  // [bind]
  auto const recipe = schedule::warmup(Epochs{1}).then(schedule::cosine({.lowest = 0.01}));
  auto const bound = schedule::resolve(recipe, {.updates = 1000, .updates_per_epoch = 100});
  double const base = 0.1;
  double const rate = base * bound(UpdateIndex{50});  // what update 50 uses: 0.05
  // [/bind]
  if (rate != 0.05) return 1;
  std::cout << schedule::describe(bound) << "\n";

  // [constexpr]
  constexpr auto decay = schedule::resolve(schedule::wsd<2>(), {.updates = 1000});
  static_assert(decay(UpdateIndex{0}) == 1.0 && decay.phase(UpdateIndex{470}).begin == UpdateIndex{450});
  // [/constexpr]
  std::cout << schedule::describe(decay);
}
