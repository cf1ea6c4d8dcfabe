// One training run twice: as a hand-written LibTorch loop, and moved to Tacit with model, data loader and settings as they
// were. Every loss of every step, every evaluation and every weight must agree to the last bit.

#include <torch/torch.h>
#include <tacit/tacit.hpp>
#include <tacit/task/optim/torch_optim.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <iostream>
#include <optional>
#include <type_traits>
#include <vector>

// What the program had before: a model, a data set, a loader of torch::data.
struct NetImpl : torch::nn::Module {
  torch::nn::Linear hidden{register_module("hidden", torch::nn::Linear(2, 32))};
  torch::nn::Linear output{register_module("output", torch::nn::Linear(32, 3))};

  torch::Tensor forward(torch::Tensor const& x) { return output(torch::tanh(hidden(x))); }
};
TORCH_MODULE(Net);

/// Points on three arms of a spiral; the target is the arm.
struct Spirals : torch::data::datasets::Dataset<Spirals> {
  explicit Spirals(std::size_t size) : size_{size} {}
  torch::data::Example<> get(std::size_t i) override {
    auto const arm = static_cast<std::int64_t>(i % 3);
    double const along = static_cast<double>(i) / static_cast<double>(size_);
    double const angle = 4.0 * along + 2.1 * static_cast<double>(arm);
    return {torch::tensor({along * std::cos(angle), along * std::sin(angle)}, torch::kFloat), torch::tensor(arm)};
  }
  std::optional<std::size_t> size() const override { return size_; }

 private:
  std::size_t size_;
};

auto make_train_loader() {
  return torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Spirals{768}.map(torch::data::transforms::Stack<>{}), torch::data::DataLoaderOptions{}.batch_size(32));
}
auto make_eval_loader() {
  return torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
      Spirals{99}.map(torch::data::transforms::Stack<>{}), torch::data::DataLoaderOptions{}.batch_size(32));
}

using TrainLoader = std::remove_reference_t<decltype(*make_train_loader())>;
using EvalLoader = std::remove_reference_t<decltype(*make_eval_loader())>;

struct Losses {
  std::vector<double> train;  // of every step
  std::vector<double> eval;   // of every epoch
};

// [by-hand]
Losses by_hand(Net net, TrainLoader& train, EvalLoader& valid) {
  torch::optim::SGD optimizer{net->parameters(), torch::optim::SGDOptions{0.1}.momentum(0.9).weight_decay(1e-4)};
  torch::nn::CrossEntropyLoss criterion;
  Losses losses;
  for (int epoch = 0; epoch < 5; ++epoch) {
    net->train();
    int step = 0;
    for (auto& batch : train) {
      auto loss = criterion(net(batch.data), batch.target);
      losses.train.push_back(loss.item<double>());
      (loss / 4).backward();
      if (++step % 4 == 0) {
        torch::nn::utils::clip_grad_norm_(net->parameters(), 0.5);
        optimizer.step();
        optimizer.zero_grad();
      }
    }
    net->eval();
    torch::NoGradGuard no_grad;
    double sum = 0.0;
    double count = 0.0;
    for (auto& batch : valid) {
      auto const samples = static_cast<double>(batch.target.size(0));
      sum += samples * criterion(net(batch.data), batch.target).item<double>();
      count += samples;
    }
    losses.eval.push_back(sum / count);
  }
  return losses;
}
// [/by-hand]

// [with-tacit]
struct KeepLosses {
  Losses losses{};
  void on(tacit::event::TrainLossComputed const&, auto& context) { losses.train.push_back(context.loss().read(*context.log_point())); }
  void on(tacit::event::TrainingRunEpochEnd const&, auto& context) { losses.eval.push_back(context.latest(tacit::tag::eval_loss{})); }
};

Losses with_tacit(Net net, TrainLoader& train, EvalLoader& valid) {
  KeepLosses keep;
  auto optimizer = tacit::optim::from_torch<torch::optim::SGD>(torch::optim::SGDOptions{0.1}.momentum(0.9).weight_decay(1e-4));
  tacit::Trainer trainer{net, torch::nn::CrossEntropyLoss{}, optimizer, tacit::CallbackPack{std::ref(keep)}};
  std::cout << trainer.describe();
  trainer.train(train, valid, {.epochs = 5, .gradient_accumulation = 4, .clip = {.norm = 0.5}});
  return keep.losses;
}
// [/with-tacit]

struct Trained {
  Losses losses;
  Net net;
};

Trained run(Losses (*train)(Net, TrainLoader&, EvalLoader&)) {
  torch::manual_seed(7);  // fixes the weights and the order of the samples
  Net net;
  auto train_loader = make_train_loader();
  auto eval_loader = make_eval_loader();
  return {train(net, *train_loader, *eval_loader), net};
}

int main() {
  auto const [hand, hand_net] = run(by_hand);
  auto const [moved, moved_net] = run(with_tacit);

  std::cout << std::setprecision(15) << "step  by hand            with Tacit\n";
  for (std::size_t step = 0; step < hand.train.size(); step += 24) {
    std::cout << std::setw(4) << step << "  " << hand.train[step] << "  " << moved.train.at(step) << "\n";
  }
  std::cout << "eval  " << hand.eval.back() << "  " << moved.eval.back() << "\n";

  bool same_weights = true;
  for (auto const& item : hand_net->named_parameters()) {
    same_weights = same_weights && torch::equal(item.value(), moved_net->named_parameters()[item.key()]);
  }
  bool const same_losses = hand.train == moved.train && hand.eval == moved.eval;
  std::cout << hand.train.size() << " losses and " << hand.eval.size() << " evaluations are " << (same_losses ? "" : "NOT ")
            << "the same to the last bit, the weights are " << (same_weights ? "" : "NOT ") << "the same\n";
  return same_losses && same_weights && hand.train.size() == 120 ? 0 : 1;
}
