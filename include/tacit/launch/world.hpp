#pragma once

#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tacit/core/error.hpp"
#include "tacit/launch/environment.hpp"

/// Who trains together, and where they meet.
namespace tacit::inline v0::launch {

/// This process's place among those that a launcher started, and where rank 0 waits for the others.
struct World {
  std::string launcher = "the program";  ///< who says so
  std::string variables{};               ///< as seen, for messages
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;        ///< among the processes of this host
  int local_world_size = 1;  ///< processes of this host
  std::string address = "127.0.0.1";
  int port = 29500;
  bool has_store = false;    ///< somebody else, torchrun's agent, serves the store at that address: rank 0 joins it as a client
  std::string prefix{};      ///< of all keys in the store: a restart must not see those of the attempt before
  std::string interface{};   ///< network interface for the processes' own connections; empty: found by the address of this host
};

namespace detail {

/// A whole number in a variable; nothing where it is not set.
/// Throws: DistributedError for a text that is none, or below `least`.
template <class Lookup>
std::optional<std::int64_t> integer(Lookup const& lookup, char const* variable, std::int64_t least) {
  char const* const text = lookup(variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  std::string_view const all{text};
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc{} || end != all.data() + all.size() || value < least) {
    throw DistributedError{"TACIT-RX14", tacit::detail::message({variable, "=", all, " is not a number of ", least, " or more"}), "launch environment",
                           "let the launcher set it, or unset it"};
  }
  return value;
}

/// A port that all processes of a job derive alike: from 20000 to 49999.
inline int derived_port(std::string_view key) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return 20000 + static_cast<int>(hash % 30000u);
}

}  // namespace detail

/// The hosts that a Slurm node list names, in order: "a[01-03,7],b" is a01, a02, a03, a7, b.
/// Throws: DistributedError for a text that is no such list, or names more than 65 536 hosts.
inline std::vector<std::string> expand_node_list(std::string_view text) {
  constexpr std::size_t most = 65'536;
  auto refuse = [&](std::string_view what) {
    return DistributedError{"TACIT-RX15", tacit::detail::message({"'", text, "' is no list of nodes: ", what}), "launch environment",
                            "see SLURM_STEP_NODELIST; `scontrol show hostnames` expands it, too"};
  };
  std::vector<std::string> hosts;
  std::vector<std::string> begun{""};  // the names so far of the entry in work: one, or one for each number of its brackets
  bool is_empty = true;
  auto close_entry = [&] {
    if (is_empty) throw refuse("an entry is empty");
    hosts.insert(hosts.end(), begun.begin(), begun.end());
    if (hosts.size() > most) throw refuse("it names too many");
    begun.assign(1, "");
    is_empty = true;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    char const c = text[at];
    if (c == ',') {
      close_entry();
    } else if (c == '[') {
      std::size_t const end = text.find(']', at);
      if (end == std::string_view::npos) throw refuse("a bracket is not closed");
      std::string_view inside = text.substr(at + 1, end - at - 1);
      std::vector<std::string> numbers;
      while (true) {
        std::string_view const part = inside.substr(0, inside.find(','));
        std::string_view const first = part.substr(0, part.find('-'));
        std::string_view const last = first.size() == part.size() ? first : part.substr(first.size() + 1);
        auto number = [&](std::string_view digits) {
          std::uint64_t value = 0;
          auto const [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
          if (digits.empty() || error != std::errc{} || stop != digits.data() + digits.size()) throw refuse("a bracket holds something else than numbers");
          return value;
        };
        std::uint64_t const from = number(first);
        std::uint64_t const to = number(last);
        if (to < from || to - from >= most) throw refuse("a range in brackets is empty or too long");
        for (std::uint64_t i = from; i <= to; ++i) {
          std::string digits = std::to_string(i);
          if (digits.size() < first.size()) digits.insert(0, first.size() - digits.size(), '0');
          numbers.push_back(std::move(digits));
        }
        if (part.size() == inside.size()) break;
        inside.remove_prefix(part.size() + 1);
      }
      if (begun.size() * numbers.size() > most) throw refuse("it names too many");
      std::vector<std::string> next;
      for (std::string const& name : begun) {
        for (std::string const& digits : numbers) next.push_back(name + digits);
      }
      begun = std::move(next);
      is_empty = false;
      at = end;
    } else if (c == ']') {
      throw refuse("a bracket closes that was not opened");
    } else {
      for (std::string& name : begun) name += c;
      is_empty = false;
    }
  }
  close_entry();
  return hosts;
}

/// The world that the first family of variables describes; one process where none is set.
///
/// torchrun's variables name the meeting place. MPI's and Slurm's do not: MASTER_ADDR and MASTER_PORT count where they are set, else
/// processes of one host meet at a port that is derived from the job's name, and Slurm's at the first host of the list.
/// `lookup(name)` gives a variable's text or null, as getenv does; `job` stands for a job whose launcher gives it no name.
/// Throws: DistributedError that lists what was seen.
template <class Lookup>
World world(Lookup const& lookup, std::string_view job) {
  World world;
  if (char const* const interface = lookup("GLOO_SOCKET_IFNAME")) world.interface = interface;
  std::optional<AnnouncedWorld> const announced = announced_world(lookup);
  if (!announced) return world;
  world.launcher = announced->launcher;
  world.variables = announced->variables;
  world.rank = announced->rank;
  world.world_size = announced->world_size;

  char const* local_rank = "LOCAL_RANK";
  char const* local_size = "LOCAL_WORLD_SIZE";
  char const* job_name = "TORCHELASTIC_RUN_ID";
  if (world.launcher == "Open MPI") {
    local_rank = "OMPI_COMM_WORLD_LOCAL_RANK";
    local_size = "OMPI_COMM_WORLD_LOCAL_SIZE";
    job_name = "PMIX_NAMESPACE";
  } else if (world.launcher == "PMI") {
    local_rank = "MPI_LOCALRANKID";
    local_size = "MPI_LOCALNRANKS";
    job_name = "PMI_JOBID";
  } else if (world.launcher == "MVAPICH") {
    local_rank = "MV2_COMM_WORLD_LOCAL_RANK";
    local_size = "MV2_COMM_WORLD_LOCAL_SIZE";
    job_name = "MPIRUN_ID";
  } else if (world.launcher == "Slurm") {
    local_rank = "SLURM_LOCALID";
    local_size = "SLURM_NTASKS_PER_NODE";  // unset for uneven nodes
    job_name = "SLURM_JOB_ID";
  }
  std::int64_t const nodes = world.launcher == "Slurm" ? detail::integer(lookup, "SLURM_NNODES", 1).value_or(1) : 1;
  world.local_rank = static_cast<int>(detail::integer(lookup, local_rank, 0).value_or(world.rank));
  world.local_world_size = static_cast<int>(detail::integer(lookup, local_size, 1).value_or((world.world_size + nodes - 1) / nodes));
  if (world.local_rank >= world.local_world_size) {
    throw DistributedError{"TACIT-RX16",
                           tacit::detail::message({"the local rank ", world.local_rank, " (", local_rank, ") is not below ", world.local_world_size, ", the processes of this host (",
                                                   local_size, ")"}),
                           "launch environment", "let the launcher set both"};
  }
  if (world.world_size == 1) return world;

  char const* const address = lookup("MASTER_ADDR");
  std::optional<std::int64_t> const port = detail::integer(lookup, "MASTER_PORT", 1);
  if (port && *port > 65'535) {
    throw DistributedError{"TACIT-RX14", tacit::detail::message({"MASTER_PORT=", *port, " is no port"}), "launch environment", "give a number from 1 to 65535"};
  }
  if (world.launcher == "torchrun") {
    if (address == nullptr || !port) {
      throw DistributedError{"TACIT-RX17",
                             tacit::detail::message({"nobody says where ", world.world_size, " processes meet: MASTER_ADDR ", address == nullptr ? "is unset" : address, ", MASTER_PORT ",
                                                     port ? std::to_string(*port) : "is unset", " (", world.variables, ")"}),
                             "launch environment", "set MASTER_ADDR to the host of rank 0 and MASTER_PORT to a free port there, or start with torchrun --no-python"};
    }
    char const* const agent = lookup("TORCHELASTIC_USE_AGENT_STORE");
    world.has_store = agent != nullptr && (std::string_view{agent} == "True" || std::string_view{agent} == "1");
    if (world.has_store) {
      char const* const attempt = lookup("TORCHELASTIC_RESTART_COUNT");
      world.prefix = std::string{"/worker/attempt_"} + (attempt == nullptr ? "0" : attempt);
    }
  }
  char const* const name = lookup(job_name);
  std::string key{name == nullptr ? job : std::string_view{name}};
  if (char const* const step = lookup("SLURM_STEP_ID"); world.launcher == "Slurm" && step != nullptr) key.append(".").append(step);
  world.port = port ? static_cast<int>(*port) : detail::derived_port(key);
  if (address != nullptr) {
    world.address = address;
  } else if (world.launcher == "Slurm" && nodes > 1) {
    char const* list = lookup("SLURM_STEP_NODELIST");
    if (list == nullptr) list = lookup("SLURM_NODELIST");
    if (list == nullptr) list = "";
    world.address = expand_node_list(list).front();
  } else if (world.local_world_size < world.world_size) {
    throw DistributedError{"TACIT-RX17",
                           tacit::detail::message({world.launcher, " started ", world.world_size, " processes, ", world.local_world_size, " of them on this host, and nobody says where they meet (",
                                                   world.variables, ")"}),
                           "launch environment", "pass MASTER_ADDR, the host of rank 0: mpirun -x MASTER_ADDR=...  or  mpiexec -genv MASTER_ADDR ..."};
  }
  return world;
}

/// What this process's environment says.
inline World world() {
  // The processes that one launcher starts on a host have one parent.
  return world([](char const* variable) { return std::getenv(variable); }, std::to_string(getppid()));
}

}  // namespace tacit::inline v0::launch
