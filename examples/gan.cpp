// A task of two phases: a generator learns to make numbers that a discriminator cannot tell from real ones. Each phase has
// its model, its optimizer and its step; one pass over the phases is one update, in the order in which they stand.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <cmath>
#include <iostream>
#include <vector>

namespace F = torch::nn::functional;

constexpr double real_mean = 2.0;
constexpr double real_deviation = 0.5;

// [phases]
struct Discriminated {
  at::Tensor loss, real, fake;
};
struct Generated {
  at::Tensor loss;
};

auto make_task(torch::nn::Sequential generator, torch::nn::Sequential discriminator) {
  auto tell_apart = [generator](auto& net, at::Tensor const& real, auto&) mutable {
    auto const of_real = net.forward(real);
    auto const of_fake = net.forward(generator->forward(torch::randn_like(real)));  // gradients reach this phase's model only
    auto const loss = F::binary_cross_entropy_with_logits(of_real, torch::ones_like(of_real)) +
                      F::binary_cross_entropy_with_logits(of_fake, torch::zeros_like(of_fake));
    return Discriminated{loss, of_real, of_fake};
  };
  auto deceive = [discriminator](auto& net, at::Tensor const& real, auto&) mutable {
    auto const of_fake = discriminator->forward(net.forward(torch::randn_like(real)));
    return Generated{F::binary_cross_entropy_with_logits(of_fake, torch::ones_like(of_fake))};
  };
  return tacit::Task{tacit::phase<"discriminator">(discriminator, tacit::optim::AdamW{.lr = 1e-2, .betas = {0.5, 0.9}}, tell_apart),
                     tacit::phase<"generator">(generator, tacit::optim::AdamW{.lr = 1e-3, .betas = {0.5, 0.9}}, deceive)};
}
// [/phases]

// [callback]
struct Watch {
  // Losses are recorded per phase, and an event can be awaited for one phase alone.
  using discriminator_loss = tacit::on<"discriminator", tacit::tag::train_loss>;
  using generator_loss = tacit::on<"generator", tacit::tag::train_loss>;

  std::int64_t generator_updates = 0;

  void on(tacit::event::Of<"generator", tacit::event::UpdateEnd> const&, auto&) { ++generator_updates; }
  void on(tacit::event::TrainEpochEnd const& event, auto& context) {
    std::cout << "epoch " << event.epoch.value() + 1 << ": discriminator " << context.latest(discriminator_loss{}) << ", generator "
              << context.latest(generator_loss{}) << "\n";
  }
};
// [/callback]

int main() {
  torch::manual_seed(1);
  torch::nn::Sequential generator{torch::nn::Linear(1, 32), torch::nn::LeakyReLU(), torch::nn::Linear(32, 1)};
  torch::nn::Sequential const discriminator{torch::nn::Linear(1, 32), torch::nn::LeakyReLU(), torch::nn::Linear(32, 1)};

  // The data are whatever range-for accepts: here a vector of batches.
  std::vector<at::Tensor> batches;
  for (int i = 0; i < 500; ++i) batches.push_back(real_mean + real_deviation * torch::randn({128, 1}));

  Watch watch;
  tacit::Trainer trainer{make_task(generator, discriminator), tacit::CallbackPack{std::ref(watch)}};
  std::cout << trainer.describe();
  trainer.train(batches, {.epochs = 6});

  torch::NoGradGuard const no_grad;
  auto const made = generator->forward(torch::randn({4096, 1}));
  double const mean = made.mean().item<double>();
  double const deviation = made.std().item<double>();
  std::cout << "made " << mean << " +- " << deviation << ", real " << real_mean << " +- " << real_deviation << "\n";
  bool const near = std::abs(mean - real_mean) < 0.25 && std::abs(deviation - real_deviation) < 0.25;
  return near && watch.generator_updates == 3000 ? 0 : 1;
}
