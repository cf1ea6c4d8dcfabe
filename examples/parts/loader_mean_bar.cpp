// The loader, a mean over the samples and the progress bar in a loop of one's own, and the same run by the trainer: every loss agrees to
// the last bit.
// expect: ^losses are the same bits: yes

#include <torch/torch.h>
#include <tacit/data/loader.hpp>
#include <tacit/data/tensor_dataset.hpp>
#include <tacit/events/log_point.hpp>
#include <tacit/metric/mean.hpp>
#include <tacit/report/progress_bar.hpp>
#include <tacit/task/aten.hpp>

#include <tacit/tacit.hpp>  // for the trainer beside it alone

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

struct Net : torch::nn::Module {
  torch::nn::Linear output{register_module("output", torch::nn::Linear(8, 3))};

  torch::Tensor forward(torch::Tensor const& x) { return output(x); }
};

constexpr std::uint64_t seed = 42;

// [loop]
std::vector<double> by_hand(Net& net, tacit::data::TensorDataset const& data, int epochs) {
  torch::optim::SGD optimizer{net.parameters(), torch::optim::SGDOptions{0.1}};
  auto batches = tacit::data::loader(data, {.batch_size = 32, .shuffle = true});  // the order is a function of (seed, epoch)
  tacit::report::ProgressBar bar{tacit::Sink{std::cout}};
  tacit::LogPoint const here{tacit::LogPoint::outside_a_run{}};  // this loop may wait for the device
  std::vector<double> losses;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    tacit::Mean mean;  // sum and weight on the device
    bar.start("epoch " + std::to_string(epoch + 1), batches.size());
    for (auto const& batch : batches.epoch(seed, tacit::EpochIndex{epoch})) {
      auto const loss = torch::cross_entropy_loss(net.forward(batch.input), batch.target);
      mean.add(loss.detach(), static_cast<double>(batch.target.size(0)));
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      bar.step([&] { return loss.item<double>(); });
    }
    bar.finish(true);
    losses.push_back(mean.read(here));
  }
  return losses;
}
// [/loop]

int main() {
  torch::manual_seed(1);
  auto const inputs = torch::randn({200, 8});
  tacit::data::TensorDataset const data{inputs, inputs.slice(1, 0, 3).argmax(1)};
  auto const one = std::make_shared<Net>();
  auto const two = std::make_shared<Net>();
  {
    torch::NoGradGuard const no_grad;
    for (auto& parameter : two->named_parameters()) parameter.value().copy_(one->named_parameters()[parameter.key()]);
  }
  auto const hand = by_hand(*one, data, 5);

  tacit::Trainer trainer{two, tacit::loss::CrossEntropy{}, tacit::optim::Sgd{.lr = 0.1}, tacit::CallbackPack{}};
  trainer.train(data, {.epochs = 5, .per_device_batch_size = 32, .seed = seed});
  std::vector<double> trained;
  for (auto const& loss : trainer.history().values(tacit::tag::train_loss{})) trained.push_back(loss.value);
  std::cout << "losses are the same bits: " << (hand == trained ? "yes" : "no") << "\n";
}
