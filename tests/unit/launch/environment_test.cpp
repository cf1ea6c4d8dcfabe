#include "tacit/launch/environment.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include <cstdlib>
#include <map>
#include <string>

#include "fake/tensor.hpp"
#include "tacit/policy/device/cpu.hpp"
#include "tacit/policy/distribution/single_process.hpp"

namespace environment_tests {
namespace {

using Variables = std::map<std::string, std::string>;

auto announced(Variables const& variables) {
  return tacit::launch::announced_world([&](char const* name) -> char const* {
    auto const found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

struct Refusal {
  Variables variables;
  std::string code;
  std::string named;  // must be in the message
};

TEST_CASE("a launcher's world is read from its variables") {
  struct Row {
    Variables variables;
    std::string launcher;
    int rank;
    int size;
  };
  auto const row = GENERATE(values<Row>({
      {{{"RANK", "1"}, {"WORLD_SIZE", "2"}}, "torchrun", 1, 2},
      {{{"RANK", "0"}, {"WORLD_SIZE", "1"}}, "torchrun", 0, 1},
      {{{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, "Open MPI", 3, 4},
      {{{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}, "PMI", 0, 2},
      {{{"MV2_COMM_WORLD_RANK", "1"}, {"MV2_COMM_WORLD_SIZE", "2"}}, "MVAPICH", 1, 2},
      {{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}}, "Slurm", 1, 2},
      {{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_JOB_NAME", "train"}}, "Slurm", 1, 2},
      // Precedence: the torch-style variables, then Open MPI, PMI, MVAPICH, Slurm.
      {{{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}},
       "torchrun",
       1,
       2},
      {{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}},
       "Open MPI",
       3,
       4},
      {{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MV2_COMM_WORLD_RANK", "3"}, {"MV2_COMM_WORLD_SIZE", "4"}}, "PMI", 1, 2},
      {{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"MV2_COMM_WORLD_RANK", "3"}, {"MV2_COMM_WORLD_SIZE", "4"}},
       "MVAPICH",
       3,
       4},
      // srun starts Open MPI programs too: its own variables are then the poorer ones.
      {{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"RANK", "0"}, {"WORLD_SIZE", "8"}}, "torchrun", 0, 8},
  }));
  auto const world = announced(row.variables);
  REQUIRE(world);
  CHECK(world->launcher == row.launcher);
  CHECK(world->rank == row.rank);
  CHECK(world->world_size == row.size);
}

TEST_CASE("what was seen is kept for messages") {
  CHECK(announced({{"RANK", "1"}, {"WORLD_SIZE", "2"}})->variables == "RANK=1 WORLD_SIZE=2");
}

TEST_CASE("no launcher, no world") {
  CHECK_FALSE(announced({}));
  CHECK_FALSE(announced({{"LOCAL_RANK", "1"}, {"MASTER_ADDR", "a"}}));
}

TEST_CASE("an interactive Slurm allocation is no launch") {
  CHECK_FALSE(announced({{"SLURM_NTASKS", "4"}}));
  CHECK_FALSE(announced({{"SLURM_PROCID", "0"}}));
  CHECK_FALSE(announced({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_JOB_NAME", "bash"}}));
  CHECK_FALSE(announced({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_JOB_NAME", "interactive"}}));
}

TEST_CASE("variables that contradict themselves are refused by name") {
  auto const row = GENERATE(values<Refusal>({
      {{{"RANK", "1"}}, "TACIT-RX01", "RANK=1 WORLD_SIZE unset"},
      {{{"WORLD_SIZE", "2"}}, "TACIT-RX01", "RANK unset WORLD_SIZE=2"},
      {{{"OMPI_COMM_WORLD_RANK", "1"}}, "TACIT-RX01", "OMPI_COMM_WORLD_SIZE unset"},
      {{{"PMI_SIZE", "1"}}, "TACIT-RX01", "PMI_RANK unset"},
      {{{"MV2_COMM_WORLD_RANK", "1"}}, "TACIT-RX01", "MV2_COMM_WORLD_SIZE unset"},
      // A half-set family is not made good by a whole one behind it.
      {{{"RANK", "1"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, "TACIT-RX01", "torchrun"},
      {{{"RANK", "one"}, {"WORLD_SIZE", "2"}}, "TACIT-RX02", "RANK=one"},
      {{{"RANK", ""}, {"WORLD_SIZE", "2"}}, "TACIT-RX02", "RANK="},
      {{{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, "TACIT-RX02", "RANK=-1"},
      {{{"RANK", "1"}, {"WORLD_SIZE", "2 "}}, "TACIT-RX02", "WORLD_SIZE=2 "},
      {{{"RANK", "1.0"}, {"WORLD_SIZE", "2"}}, "TACIT-RX02", "RANK=1.0"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "99999999999"}}, "TACIT-RX02", "WORLD_SIZE=99999999999"},
      {{{"SLURM_PROCID", "x"}, {"SLURM_NTASKS", "2"}}, "TACIT-RX02", "Slurm"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "TACIT-RX03", "RANK=2 WORLD_SIZE=2"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "TACIT-RX03", "WORLD_SIZE=0"},
      {{{"PMI_RANK", "7"}, {"PMI_SIZE", "4"}}, "TACIT-RX03", "PMI"},
  }));
  try {
    announced(row.variables);
    FAIL("accepted");
  } catch (tacit::DistributedError const& error) {
    CHECK(error.code() == row.code);
    CHECK(error.problem().find(row.named) != std::string::npos);
    // T20: the cure is that of what is wrong
    CHECK((error.fix().find("set both variables") == 0) == (row.code == "TACIT-RX01"));
    CHECK((error.fix().find("whole numbers") != std::string::npos) == (row.code == "TACIT-RX02"));
  }
}

/// Sets variables of this process, and puts back what was there.
class Environment {
 public:
  explicit Environment(Variables const& variables) {
    for (auto const& family : tacit::launch::families) {
      for (char const* name : {family.rank, family.world_size}) {
        if (char const* const old = std::getenv(name)) before_[name] = old;
        ::unsetenv(name);
      }
    }
    for (auto const& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    set_ = variables;
  }
  Environment(Environment const&) = delete;
  Environment& operator=(Environment const&) = delete;
  ~Environment() {
    for (auto const& [name, value] : set_) ::unsetenv(name.c_str());
    for (auto const& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  Variables before_;
  Variables set_;
};

TEST_CASE("one process refuses to be one of several") {
  using Parameters = tacit::basic_parameter_set<fake::Tensor>;
  auto const bind = [] { return tacit::SingleProcess{}.bind<Parameters>(tacit::Cpu::bound<fake::Tensor>{}); };
  {
    Environment const environment{{}};
    CHECK_NOTHROW(bind());
  }
  {
    Environment const environment{{{"RANK", "0"}, {"WORLD_SIZE", "1"}}};
    CHECK_NOTHROW(bind());
  }
  {
    Environment const environment{{{"RANK", "1"}, {"WORLD_SIZE", "2"}}};
    try {
      bind();
      FAIL("a second model would be trained");
    } catch (tacit::DistributedError const& error) {
      CHECK(error.code() == "TACIT-RX04");
      CHECK(error.problem().find("torchrun started 2 processes (RANK=1 WORLD_SIZE=2)") != std::string::npos);
    }
  }
}

}  // namespace

}  // namespace environment_tests
