#pragma once

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tacit/core/error.hpp"

/// What a launcher told this process by environment variables; the only place of the library that reads them.
namespace tacit::inline v0::launch {

/// One family of variables that a launcher sets.
struct EnvironmentFamily {
  std::string_view launcher;
  char const* rank;
  char const* world_size;
};

/// In order of precedence.
inline constexpr EnvironmentFamily families[] = {
    {"torchrun", "RANK", "WORLD_SIZE"},        {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI", "PMI_RANK", "PMI_SIZE"},           {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS"},
};

/// The world that a launcher announces.
struct AnnouncedWorld {
  std::string launcher;
  std::string variables;  ///< as seen, "RANK=1 WORLD_SIZE=2"
  int rank = 0;
  int world_size = 1;
};

namespace detail {
/// True for the name that Slurm gives to a job that is a shell.
inline bool is_interactive(char const* job_name) {
  return job_name != nullptr && (std::string_view{job_name} == "bash" || std::string_view{job_name} == "interactive");
}
}  // namespace detail

/// What the first family that is set says; nothing where none is.
/// `lookup(name)` gives a variable's text or null, as getenv does.
/// Throws: DistributedError for a half-set family, a text that is no number, a rank outside the world.
template <class Lookup>
std::optional<AnnouncedWorld> announced_world(Lookup&& lookup) {
  for (EnvironmentFamily const& family : families) {
    char const* const rank = lookup(family.rank);
    char const* const size = lookup(family.world_size);
    bool const slurm = family.launcher == "Slurm";
    if (rank == nullptr && size == nullptr) continue;
    // In an allocation without srun Slurm sets the size alone, or both for the one interactive shell.
    if (slurm && (rank == nullptr || size == nullptr || detail::is_interactive(lookup("SLURM_JOB_NAME")))) continue;
    std::string seen;
    for (auto [variable, text] : {std::pair{family.rank, rank}, std::pair{family.world_size, size}}) {
      if (!seen.empty()) seen += ' ';
      seen.append(variable).append(text == nullptr ? " unset" : "=").append(text == nullptr ? "" : text);
    }
    auto refuse = [&](std::string_view code, std::string_view what, std::string_view fix) {
      return DistributedError{code, std::string{what} + " (" + seen + ", the variables of " + std::string{family.launcher} + ")",
                              "launch environment", fix};
    };
    if (rank == nullptr || size == nullptr) {
      throw refuse("TACIT-RX01", "only one of two variables is set", "set both variables, or unset both to train in one process");
    }
    auto parse = [&](std::string_view text) {
      int value = -1;
      auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc{} || end != text.data() + text.size() || value < 0)
        throw refuse("TACIT-RX02", "not a number", "give whole numbers, the rank from 0 on, or unset both to train in one process");
      return value;
    };
    AnnouncedWorld world{std::string{family.launcher}, seen, parse(rank), parse(size)};
    if (world.rank >= world.world_size) throw refuse("TACIT-RX03", "the rank is not below the world size", "give each process a rank from 0 to the world size - 1");
    return world;
  }
  return std::nullopt;
}

/// What this process's environment says.
inline std::optional<AnnouncedWorld> announced_world() {
  return announced_world([](char const* variable) { return std::getenv(variable); });
}

}  // namespace tacit::inline v0::launch
