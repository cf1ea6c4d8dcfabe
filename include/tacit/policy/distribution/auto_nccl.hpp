// include: in one translation unit
// needs: NCCL
#pragma once

#include "tacit/policy/distribution/auto_ddp.hpp"
#include "tacit/policy/distribution/nccl.hpp"

/// Gives `AutoDistribution` the processes of a launcher, on CPUs and GPUs: included by one source file of a program, or brought by the
/// target tacit::auto_nccl.
namespace tacit::inline v0::detail {
namespace {
[[maybe_unused]] bool const joins_cuda_ranks = (data_parallel_tables.cuda = &data_parallel_over<Nccl>, true);
}  // namespace
}  // namespace tacit::inline v0::detail
