// Policies say where and in what precision a trainer trains. Three ways to choose: types named in the program, which cost no
// branch; Auto, which decides at run time; and run, which compiles the program once for each choice and calls the chosen one.
// test: --precision fp64
// expect: ^cpu, fp64

#include <torch/torch.h>
#include <tacit/auto.hpp>
#include <tacit/tacit.hpp>

#include <concepts>
#include <iostream>

struct Problem {
  torch::Tensor x = torch::randn({256, 4});
  tacit::data::TensorDataset data{x, x.sum(1, true)};
};

// Trains whatever it is given and says what that was.
double train(auto& trainer) {
  double const loss = trainer.train(Problem{}.data, {.epochs = 5})[tacit::tag::train_loss{}];
  std::cout << trainer.plan().device << ", " << trainer.plan().precision << ", loss " << loss << "\n";
  return loss;
}

int main(int argc, char** argv) {
  using torch::nn::Linear;
  constexpr tacit::optim::Sgd sgd{.lr = 0.05};

  // [named]
  tacit::Trainer one{Linear(4, 1), tacit::loss::Mse{}, sgd, tacit::Cpu{}, tacit::Bf16{}, tacit::CallbackPack{}};
  tacit::Trainer two{Linear(4, 1), tacit::loss::Mse{}, sgd, tacit::CallbackPack{}, tacit::Bf16{}};  // Cpu is the default
  static_assert(std::same_as<decltype(one), decltype(two)>);

  // The same type again, for a member or a parameter.
  using ByName = tacit::trainer_of<torch::nn::LinearImpl, tacit::loss::Mse, tacit::optim::Sgd, tacit::Bf16, tacit::CallbackPack<>>;
  static_assert(std::same_as<decltype(one), ByName>);
  // [/named]
  bool learnt = train(one) < 2.0;

  // [auto]
  tacit::Trainer automatic{Linear(4, 1), tacit::loss::Mse{}, sgd, tacit::Auto{}, tacit::Fp64{}, tacit::CallbackPack{}};  // Fp64 wins its slot
  // [/auto]
  learnt = learnt && train(automatic) < 2.0;

  // [run]
  double const loss = tacit::run(argc, argv, tacit::choices<tacit::Fp32, tacit::Fp64, tacit::Bf16>{}, [&](auto precision) {
    tacit::Trainer trainer{Linear(4, 1), tacit::loss::Mse{}, sgd, precision, tacit::CallbackPack{}};
    return train(trainer);
  });
  // [/run]
  return learnt && loss < 2.0 ? 0 : 1;
}
