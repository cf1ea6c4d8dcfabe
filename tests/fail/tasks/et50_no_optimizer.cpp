// expect: TACIT-ET50
// needs: libtorch
#include <torch/optim/adam.h>

#include "tacit/task/optim/torch_optim.hpp"

struct Descent {
  double lr = 0.1;
};

#ifdef FIX
auto const recipe = tacit::optim::from_torch<torch::optim::Adam>(torch::optim::AdamOptions(1e-3));
#else
auto const recipe = tacit::optim::from_torch<Descent>(torch::optim::AdamOptions(1e-3));
#endif
