// include: in one translation unit
#pragma once

#include "tacit/policy/distribution/data_parallel_table.hpp"
#include "tacit/policy/distribution/gloo.hpp"

/// Gives `AutoDistribution` the processes of a launcher: included by one source file of a program, or brought by the target tacit::auto_ddp.
namespace tacit::inline v0::detail {
namespace {
[[maybe_unused]] bool const joins_ranks = (data_parallel_tables.host = &data_parallel_over<Gloo>, true);
}  // namespace
}  // namespace tacit::inline v0::detail
