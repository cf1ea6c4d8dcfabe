// expect: TACIT-ET50
// needs: libtorch
#ifdef FIX
#include <torch/optim/adam.h>
#else
#include <torch/optim/lbfgs.h>
#endif

#include "tacit/task/optim/torch_optim.hpp"

#ifdef FIX
auto const recipe = tacit::optim::from_torch<torch::optim::Adam>(torch::optim::AdamOptions(1e-3));
#else
auto const recipe = tacit::optim::from_torch<torch::optim::LBFGS>(torch::optim::LBFGSOptions(1.0));
#endif
