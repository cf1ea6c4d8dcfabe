#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define HAS_CALLGRIND 1
#else
#define HAS_CALLGRIND 0
#endif

// What the programs of this folder share: `program measure` and `program limits`.

namespace benchmark {

/// Counted by the operator new of the program.
inline std::int64_t allocations = 0;

struct Variant {
  char const* name;
  void (*run)(std::int64_t steps);
  std::int64_t few = 100;
  std::int64_t many = 300;
};

/// What `name` may cost more than `baseline`, a dash for no limit. If it has one, it may allocate as often as `baseline` and not more.
struct Limit {
  char const* name;
  char const* baseline;
  char const* ratio;
  char const* difference;
  double allocations = 0.5;  // calls of operator new more; LibTorch's own containers grow now and then: less than one in two steps is theirs
};

/// Steps that are run before any are counted: what is made once in a process is made then.
inline constexpr std::int64_t warm_up = 5;

inline Variant const* find(std::span<Variant const> variants, char const* name) {
  for (Variant const& variant : variants) {
    if (std::strcmp(variant.name, name) == 0) return &variant;
  }
  return nullptr;
}

/// Calls of operator new of the steps between `few` and `many`, by their number.
inline double allocations_a_step(Variant const& variant) {
  auto count = [&](std::int64_t steps) {
    std::int64_t const before = allocations;
    variant.run(steps);
    return static_cast<double>(allocations - before);
  };
  double const first = count(variant.few);
  return (count(variant.many) - first) / static_cast<double>(variant.many - variant.few);
}

/// Has callgrind write what each variant takes.
inline int measure(std::span<Variant const> variants) {
#if HAS_CALLGRIND
  CALLGRIND_START_INSTRUMENTATION;  // LibTorch's own start takes longer than all steps
#endif
  for (Variant const& variant : variants) {
    variant.run(warm_up);
    for (std::int64_t const steps : {variant.few, variant.many}) {
#if HAS_CALLGRIND
      std::string const trigger = std::string{variant.name} + " " + std::to_string(steps);
      CALLGRIND_ZERO_STATS;
      variant.run(steps);
      CALLGRIND_DUMP_STATS_AT(trigger.c_str());
#else
      variant.run(steps);
#endif
    }
  }
  return 0;
}

/// Prints the limits for run.py, and before them the allocations of every variant; fails where they differ.
inline int print_limits(std::span<Variant const> variants, std::span<Limit const> limits) {
  if (!HAS_CALLGRIND) {
    std::printf("SKIPPED: the program was built without valgrind's headers (apt: valgrind)\n");
    return 77;
  }
  for (Variant const& variant : variants) variant.run(warm_up);
  int failures = 0;
  for (Variant const& variant : variants) std::printf("# %-10s %8.3f operator new a step\n", variant.name, allocations_a_step(variant));
  for (Limit const& limit : limits) {
    Variant const* const variant = find(variants, limit.name);
    Variant const* const baseline = find(variants, limit.baseline);
    if (variant == nullptr || baseline == nullptr) {
      std::printf("# no such variant: %s or %s\n", limit.name, limit.baseline);
      ++failures;
      continue;
    }
    bool const is_limited = std::strcmp(limit.ratio, "-") != 0 || std::strcmp(limit.difference, "-") != 0;
    if (is_limited && allocations_a_step(*variant) > allocations_a_step(*baseline) + limit.allocations) {
      std::printf("# %s calls operator new more often than %s\n", limit.name, limit.baseline);
      ++failures;
    }
    std::printf("%s %s %s %s\n", limit.name, limit.baseline, limit.ratio, limit.difference);
  }
  return failures == 0 ? 0 : 1;
}

inline int main(int argc, char** argv, std::span<Variant const> variants, std::span<Limit const> limits) {
  if (argc == 2 && std::strcmp(argv[1], "limits") == 0) return print_limits(variants, limits);
  if (argc == 2 && std::strcmp(argv[1], "measure") == 0) return measure(variants);
  std::fprintf(stderr, "%s measure (under callgrind), or %s limits\n", argv[0], argv[0]);
  return 2;
}

}  // namespace benchmark
