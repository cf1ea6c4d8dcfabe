#pragma once

// What tacit::default_callbacks splices into a pack.
#include "tacit/callbacks/log_metrics.hpp"
#include "tacit/callbacks/print_progress.hpp"
#include "tacit/callbacks/progress_bar.hpp"
#include "tacit/callbacks/terminate_on_nan.hpp"
