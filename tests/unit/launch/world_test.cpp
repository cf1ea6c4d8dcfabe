#include "tacit/launch/world.hpp"

#include <map>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "tacit/launch/devices.hpp"
#include "thrown.hpp"

namespace world_tests {
namespace {

using Catch::Matchers::ContainsSubstring;
using Names = std::vector<std::string>;
using tacit::launch::expand_node_list;
using Variables = std::map<std::string, std::string>;

tacit::launch::World world(Variables const& variables, std::string const& job = "4711") {
  return tacit::launch::world(
      [&](char const* name) -> char const* {
        auto const found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
      },
      job);
}
Variables with(Variables base, Variables const& more) {
  for (auto const& [name, text] : more) base[name] = text;
  return base;
}

Variables const torchrun{{"RANK", "5"},        {"WORLD_SIZE", "8"},      {"LOCAL_RANK", "1"},  {"LOCAL_WORLD_SIZE", "4"},
                         {"MASTER_ADDR", "h1"}, {"MASTER_PORT", "29511"}};
Variables const open_mpi{{"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "2"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                         {"PMIX_NAMESPACE", "2749890561"}};
Variables const slurm{{"SLURM_PROCID", "3"}, {"SLURM_NTASKS", "4"},    {"SLURM_LOCALID", "1"},
                      {"SLURM_NNODES", "2"}, {"SLURM_JOB_ID", "1234"}, {"SLURM_STEP_NODELIST", "node[07-08]"}, {"SLURM_STEP_ID", "0"}};

}  // namespace

TEST_CASE("node lists are expanded as scontrol does") {
  CHECK(expand_node_list("a") == Names{"a"});
  CHECK(expand_node_list("a,b-1,c.d") == Names{"a", "b-1", "c.d"});
  CHECK(expand_node_list("n[1-3]") == Names{"n1", "n2", "n3"});
  CHECK(expand_node_list("n[08-10,12]") == Names{"n08", "n09", "n10", "n12"});
  CHECK(expand_node_list("n[007]") == Names{"n007"});
  CHECK(expand_node_list("gpu-[1-2].cluster") == Names{"gpu-1.cluster", "gpu-2.cluster"});
  CHECK(expand_node_list("r[1-2]n[3-4]") == Names{"r1n3", "r1n4", "r2n3", "r2n4"});
  CHECK(expand_node_list("a[1-2],b,c[5]") == Names{"a1", "a2", "b", "c5"});
  CHECK(expand_node_list("x[0-65535]").size() == 65'536);
  for (char const* bad : {"", ",", "a,", "a[", "a]", "a[]", "a[1", "a[1-]", "a[-2]", "a[2-1]", "a[x]", "a[1,,2]", "a[1-2-3]", "x[0-65536]",
                          "x[0-999][0-999]", "a[99999999999999999999999]"}) {
    CAPTURE(bad);
    CHECK(thrown<tacit::DistributedError>([&] { expand_node_list(bad); }).code() == "TACIT-RX15");
  }
}

TEST_CASE("without variables the world is this process") {
  auto const one = world({});
  CHECK(one.world_size == 1);
  CHECK(one.rank == 0);
  CHECK(one.local_rank == 0);
  CHECK(one.local_world_size == 1);
}

TEST_CASE("torchrun says where the processes meet, and who serves the store") {
  auto const one = world(torchrun);
  CHECK(one.launcher == "torchrun");
  CHECK(one.rank == 5);
  CHECK(one.world_size == 8);
  CHECK(one.local_rank == 1);
  CHECK(one.local_world_size == 4);
  CHECK(one.address == "h1");
  CHECK(one.port == 29511);
  CHECK(!one.has_store);
  CHECK(one.prefix.empty());
  auto const agent = world(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"TORCHELASTIC_RESTART_COUNT", "2"}}));
  CHECK(agent.has_store);
  CHECK(agent.prefix == "/worker/attempt_2");  // keys of the attempt before are not ours
  CHECK(!world(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "False"}})).has_store);
}

TEST_CASE("a world of one process needs no place to meet") {
  CHECK(world({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).world_size == 1);
  CHECK(world({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}).world_size == 1);
}

TEST_CASE("processes of MPI on one host meet at a port derived from the job") {
  auto const one = world(open_mpi);
  CHECK(one.launcher == "Open MPI");
  CHECK(one.local_rank == 1);
  CHECK(one.address == "127.0.0.1");
  CHECK(one.port >= 20'000);
  CHECK(one.port < 50'000);
  CHECK(one.port == world(with(open_mpi, {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}})).port);
  CHECK(one.port != world(with(open_mpi, {{"PMIX_NAMESPACE", "2749890562"}})).port);
  auto const named = world(with(open_mpi, {{"MASTER_ADDR", "h2"}, {"MASTER_PORT", "1234"}}));
  CHECK(named.address == "h2");
  CHECK(named.port == 1234);
  Variables const pmi{{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "2"}};
  CHECK(world(pmi, "1").port == world(pmi, "1").port);
  CHECK(world(pmi, "1").port != world(pmi, "2").port);
  Variables const mvapich{{"MV2_COMM_WORLD_RANK", "1"}, {"MV2_COMM_WORLD_SIZE", "2"}, {"MV2_COMM_WORLD_LOCAL_RANK", "1"}, {"MV2_COMM_WORLD_LOCAL_SIZE", "2"}};
  CHECK(world(mvapich).local_rank == 1);
}

TEST_CASE("processes of MPI on several hosts are asked for an address") {
  auto const spread = with(open_mpi, {{"OMPI_COMM_WORLD_SIZE", "4"}});
  auto const error = thrown<tacit::DistributedError>([&] { world(spread); });
  CHECK(error.code() == "TACIT-RX17");
  CHECK_THAT(error.what(), ContainsSubstring("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4") && ContainsSubstring("mpirun -x MASTER_ADDR"));
  CHECK(world(with(spread, {{"MASTER_ADDR", "h1"}})).address == "h1");
}

TEST_CASE("Slurm's processes meet at the first host of the list") {
  auto const one = world(slurm);
  CHECK(one.launcher == "Slurm");
  CHECK(one.address == "node07");
  CHECK(one.local_rank == 1);
  CHECK(one.local_world_size == 2);
  CHECK(one.port == world(with(slurm, {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}})).port);
  CHECK(one.port != world(with(slurm, {{"SLURM_STEP_ID", "1"}})).port);  // two steps of one job at once
  Variables old = slurm;
  old.erase("SLURM_STEP_NODELIST");
  CHECK(thrown<tacit::DistributedError>([&] { world(old); }).code() == "TACIT-RX15");
  CHECK(world(with(old, {{"SLURM_NODELIST", "x1,x2"}})).address == "x1");
  CHECK(world({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_LOCALID", "1"}, {"SLURM_JOB_ID", "9"}}).address == "127.0.0.1");
}

TEST_CASE("what a launcher sets halfway or wrongly is named") {
  struct Row {
    Variables variables;
    std::string code;
    std::string named;
  };
  auto const row = GENERATE(values<Row>({
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}}, "TACIT-RX17", "MASTER_ADDR is unset, MASTER_PORT is unset (RANK=0 WORLD_SIZE=2)"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}}, "TACIT-RX17", "MASTER_ADDR h, MASTER_PORT is unset"},
      {with(torchrun, {{"MASTER_PORT", "port"}}), "TACIT-RX14", "MASTER_PORT=port"},
      {with(torchrun, {{"MASTER_PORT", "0"}}), "TACIT-RX14", "MASTER_PORT=0"},
      {with(torchrun, {{"MASTER_PORT", "65536"}}), "TACIT-RX14", "MASTER_PORT=65536"},
      {with(torchrun, {{"LOCAL_RANK", "-1"}}), "TACIT-RX14", "LOCAL_RANK=-1"},
      {with(torchrun, {{"LOCAL_RANK", "4"}}), "TACIT-RX16", "LOCAL_WORLD_SIZE"},
      {with(slurm, {{"SLURM_NNODES", "x"}}), "TACIT-RX14", "SLURM_NNODES=x"},
      {with(slurm, {{"SLURM_STEP_NODELIST", "node[7"}}), "TACIT-RX15", "node[7"},
      {{{"RANK", "0"}}, "TACIT-RX01", "WORLD_SIZE unset"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "TACIT-RX03", "RANK=2"},
  }));
  auto const error = thrown<tacit::DistributedError>([&] { world(row.variables); });
  CHECK(error.code() == row.code);
  CHECK_THAT(error.what(), ContainsSubstring(row.named));
}

TEST_CASE("each process of a host has a device of its own") {
  struct Row {
    int world_size, local_size, local_rank, visible, device;
  };
  Row const row = GENERATE(values<Row>({
      {1, 1, 0, 4, 0},
      {4, 4, 3, 4, 3},
      {4, 4, 2, 8, 2},
      {8, 4, 1, 4, 1},
      {4, 4, 3, 1, 0},  // the launcher shows each process its own alone
  }));
  tacit::launch::World const world{.world_size = row.world_size, .local_rank = row.local_rank, .local_world_size = row.local_size};
  CHECK(tacit::launch::own_device(world, row.visible) == row.device);
}

TEST_CASE("more processes than devices are refused with both numbers, and a device of two ranks by its name") {
  tacit::launch::World const many{.variables = "WORLD_SIZE=8", .world_size = 8, .local_rank = 5, .local_world_size = 8};
  auto const error = thrown<tacit::DistributedError>([&] { tacit::launch::own_device(many, 4); });
  CHECK(error.code() == "TACIT-RX25");
  CHECK_THAT(error.what(), ContainsSubstring("8 processes of this host for 4 devices (WORLD_SIZE=8)"));
  tacit::launch::require_own_devices({"GPU-a", "GPU-b", "GPU-c"});
  auto const shared = thrown<tacit::DistributedError>([] { tacit::launch::require_own_devices({"GPU-a", "GPU-b", "GPU-c", "GPU-b"}); });
  CHECK(shared.code() == "TACIT-RX26");
  CHECK_THAT(shared.what(), ContainsSubstring("rank 1 and rank 3 are both on device GPU-b"));
}

}  // namespace world_tests
