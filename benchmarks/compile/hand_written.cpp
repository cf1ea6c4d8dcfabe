// What examples/quickstart.cpp does, as it is written by hand on LibTorch: its compile time is what the trainer's is held
// against. The same data, model, splits, options, validation after each epoch, progress and checks of the loss.

#include <torch/torch.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  torch::Tensor forward(torch::Tensor const& images) { return third(torch::relu(second(torch::relu(first(images.flatten(1)))))); }
};

namespace {

struct Options {
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::int64_t epochs = 8;
  std::int64_t seed = 42;
  torch::Device device = torch::kCPU;
  bool help = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int at = 1; at < argc; ++at) {
    std::string_view const name = argv[at];
    if (name == "--help") {
      options.help = true;
      return options;
    }
    if (at + 1 == argc) throw std::runtime_error{"a value is missing after " + std::string{name}};
    std::string const value = argv[++at];
    if (name == "--data") {
      options.data = value;
    } else if (name == "--epochs") {
      options.epochs = std::stoll(value);
    } else if (name == "--seed") {
      options.seed = std::stoll(value);
    } else if (name == "--device") {
      options.device = torch::Device{value};
    } else {
      throw std::runtime_error{"unknown option " + std::string{name} + "; known: --data --epochs --seed --device --help"};
    }
  }
  return options;
}

std::vector<std::uint8_t> read_idx(std::string const& path, std::uint32_t dimensions, std::vector<std::int64_t>& sizes) {
  std::unique_ptr<gzFile_s, int (*)(gzFile)> const file{gzopen(path.c_str(), "rb"), &gzclose};
  if (!file) throw std::runtime_error{"cannot open " + path};
  auto read = [&](void* into, std::size_t bytes) {
    if (gzread(file.get(), into, static_cast<unsigned>(bytes)) != static_cast<int>(bytes)) throw std::runtime_error{path + " ends too early"};
  };
  auto read_number = [&] {
    std::uint8_t bytes[4];
    read(bytes, 4);
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
  };
  if (read_number() != (0x800 | dimensions)) throw std::runtime_error{path + " is no IDX file of bytes"};
  std::size_t total = 1;
  for (std::uint32_t d = 0; d < dimensions; ++d) total *= static_cast<std::size_t>(sizes.emplace_back(read_number()));
  std::vector<std::uint8_t> values(total);
  read(values.data(), total);
  return values;
}

struct Data {
  torch::Tensor images;
  torch::Tensor labels;

  std::int64_t size() const { return images.size(0); }
  Data at(torch::Tensor const& indices) const { return {images.index_select(0, indices), labels.index_select(0, indices)}; }
};

Data load(std::string const& directory) {
  std::vector<std::int64_t> image_sizes;
  std::vector<std::int64_t> label_sizes;
  auto images = read_idx(directory + "/train-images-idx3-ubyte.gz", 3, image_sizes);
  auto labels = read_idx(directory + "/train-labels-idx1-ubyte.gz", 1, label_sizes);
  if (image_sizes[0] != label_sizes[0]) throw std::runtime_error{"as many images as labels are needed"};
  return {torch::from_blob(images.data(), image_sizes, torch::kByte).to(torch::kFloat).div(255.0),
          torch::from_blob(labels.data(), label_sizes, torch::kByte).to(torch::kLong)};
}

struct Scores {
  double loss = 0.0;
  double accuracy = 0.0;
};

Scores evaluate(Mlp& model, Data const& data, std::int64_t batch_size, torch::Device device) {
  torch::NoGradGuard const guard;
  bool const was_training = model.is_training();
  model.eval();
  Scores scores;
  for (std::int64_t first = 0; first < data.size(); first += batch_size) {
    std::int64_t const end = std::min(first + batch_size, data.size());
    auto const images = data.images.slice(0, first, end).to(device);
    auto const labels = data.labels.slice(0, first, end).to(device);
    auto const prediction = model.forward(images);
    auto const count = static_cast<double>(end - first);
    scores.loss += torch::nn::functional::cross_entropy(prediction, labels).item<double>() * count;
    scores.accuracy += prediction.argmax(1).eq(labels).sum().item<double>();
  }
  scores.loss /= static_cast<double>(data.size());
  scores.accuracy /= static_cast<double>(data.size());
  model.train(was_training);
  return scores;
}

void train(Mlp& model, Data const& data, Data const& valid, Options const& options) {
  constexpr std::int64_t batch_size = 32;
  torch::optim::SGD optimizer{model.parameters(), torch::optim::SGDOptions{1e-3}.momentum(0.9)};
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    auto const start = std::chrono::steady_clock::now();
    model.train();
    auto const order = torch::randperm(data.size(), torch::kLong);
    double loss_sum = 0.0;
    for (std::int64_t first = 0; first < data.size(); first += batch_size) {
      std::int64_t const end = std::min(first + batch_size, data.size());
      Data const batch = data.at(order.slice(0, first, end));
      optimizer.zero_grad();
      auto const loss = torch::nn::functional::cross_entropy(model.forward(batch.images.to(options.device)), batch.labels.to(options.device));
      double const value = loss.item<double>();
      if (!std::isfinite(value)) throw std::runtime_error{"the loss is no number at epoch " + std::to_string(epoch + 1)};
      loss_sum += value * static_cast<double>(end - first);
      loss.backward();
      optimizer.step();
      if (first / batch_size % 100 == 0) {
        std::cout << "\repoch " << epoch + 1 << ": " << first << "/" << data.size() << ", loss " << value << std::flush;
      }
    }
    std::chrono::duration<double> const took = std::chrono::steady_clock::now() - start;
    Scores const scores = evaluate(model, valid, batch_size, options.device);
    std::cout << "\repoch " << epoch + 1 << "/" << options.epochs << ": train loss " << loss_sum / static_cast<double>(data.size())
              << ", eval loss " << scores.loss << ", accuracy " << scores.accuracy << ", " << took.count() << " s\n";
  }
}

}  // namespace

int main(int argc, char** argv) try {
  Options const options = parse(argc, argv);
  if (options.help) {
    std::cout << "usage: " << argv[0] << " [--data DIR] [--epochs N] [--seed N] [--device NAME]\n";
    return 0;
  }
  torch::manual_seed(static_cast<std::uint64_t>(options.seed));
  Data const all = load(options.data);
  auto const order = torch::randperm(all.size(), torch::kLong);
  Data const train_data = all.at(order.slice(0, 0, 50000));
  Data const valid = all.at(order.slice(0, 50000, 55000));
  Data const test = all.at(order.slice(0, 55000, 60000));

  Mlp model;
  model.to(options.device);
  train(model, train_data, valid, options);
  std::cout << "accuracy " << evaluate(model, test, 64, options.device).accuracy << "\n";
  return 0;
} catch (std::exception const& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
