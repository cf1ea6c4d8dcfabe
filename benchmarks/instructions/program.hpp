#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

// What the programs of this folder share: `program VARIANT STEPS` and `program limits`.

namespace benchmark {

/// Counted by the operator new of the program.
inline std::int64_t allocations = 0;

struct Variant {
  char const* name;
  void (*run)(std::int64_t steps);
};

/// What `name` may cost more than `baseline`, a dash for no limit. It may allocate as often as `baseline` and not more.
struct Limit {
  char const* name;
  char const* baseline;
  char const* ratio;
  char const* difference;
};

inline constexpr std::int64_t few = 100;
inline constexpr std::int64_t many = 300;

inline Variant const* find(std::span<Variant const> variants, char const* name) {
  for (Variant const& variant : variants) {
    if (std::strcmp(variant.name, name) == 0) return &variant;
  }
  return nullptr;
}

/// Calls of operator new of the steps between `few` and `many`.
inline std::int64_t allocations_between(Variant const& variant) {
  std::int64_t counts[2];
  for (std::int64_t const steps : {few, many}) {
    std::int64_t const before = allocations;
    variant.run(steps);
    counts[steps == many] = allocations - before;
  }
  return counts[1] - counts[0];
}

/// Prints the limits for run.py, and before them the allocations of every variant; fails where they differ.
inline int print_limits(std::span<Variant const> variants, std::span<Limit const> limits) {
  for (Variant const& variant : variants) variant.run(few);  // what is made once in a process is made now
  int failures = 0;
  for (Variant const& variant : variants) {
    std::printf("# %-10s %8.3f operator new a step\n", variant.name, static_cast<double>(allocations_between(variant)) / double{many - few});
  }
  for (Limit const& limit : limits) {
    Variant const* const variant = find(variants, limit.name);
    Variant const* const baseline = find(variants, limit.baseline);
    if (variant == nullptr || baseline == nullptr) {
      std::printf("# no such variant: %s or %s\n", limit.name, limit.baseline);
      ++failures;
      continue;
    }
    // LibTorch's own containers grow now and then: less than one call in two steps is theirs, one of ours would be one a step.
    if (allocations_between(*variant) > allocations_between(*baseline) + (many - few) / 2) {
      std::printf("# %s calls operator new more often than %s\n", limit.name, limit.baseline);
      ++failures;
    }
    std::printf("%s %s %s %s\n", limit.name, limit.baseline, limit.ratio, limit.difference);
  }
  return failures == 0 ? 0 : 1;
}

inline int main(int argc, char** argv, std::span<Variant const> variants, std::span<Limit const> limits) {
  if (argc == 2 && std::strcmp(argv[1], "limits") == 0) return print_limits(variants, limits);
  Variant const* const variant = argc == 3 ? find(variants, argv[1]) : nullptr;
  if (variant == nullptr) {
    std::fprintf(stderr, "%s limits, or a variant and a number of steps; variants:", argv[0]);
    for (Variant const& known : variants) std::fprintf(stderr, " %s", known.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  variant->run(std::atoll(argv[2]));
  return 0;
}

}  // namespace benchmark
