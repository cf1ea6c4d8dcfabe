// examples/quickstart.cpp as one writes it by hand: the same model, data, options, validation, progress and test. What this
// file costs to compile is what the quickstart is measured by; no other program includes it.
// needs: libtorch

#include <ATen/autocast_mode.h>
#include <torch/torch.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Mlp : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(784, 128))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(128, 64))};
  torch::nn::Linear third{register_module("third", torch::nn::Linear(64, 10))};

  torch::Tensor forward(torch::Tensor const& images) { return third(torch::relu(second(torch::relu(first(images.flatten(1)))))); }
};

struct Options {
  std::string data = "/usr/share/datasets/fashion-mnist";
  std::int64_t epochs = 8;
  std::int64_t seed = 42;
  std::string device = "auto";
  std::string precision = "auto";
  bool help = false;
};

std::int64_t integer(std::string const& name, std::string const& text) {
  std::size_t used = 0;
  std::int64_t value = 0;
  try {
    value = std::stoll(text, &used);
  } catch (std::exception const&) {
    used = 0;
  }
  if (text.empty() || used != text.size()) throw std::invalid_argument{"--" + name + " takes a whole number, not '" + text + "'"};
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  std::map<std::string, std::string> given;
  for (int i = 1; i < argc; ++i) {
    std::string const word = argv[i];
    if (word == "--help") {
      options.help = true;
      continue;
    }
    if (word.rfind("--", 0) != 0) throw std::invalid_argument{"'" + word + "' is no option"};
    auto const equals = word.find('=');
    std::string const name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (equals != std::string::npos) {
      given[name] = word.substr(equals + 1);
    } else {
      if (i + 1 == argc) throw std::invalid_argument{"--" + name + " needs a value"};
      given[name] = argv[++i];
    }
  }
  for (auto const& [name, value] : given) {
    if (name == "data") {
      options.data = value;
    } else if (name == "epochs") {
      options.epochs = integer(name, value);
    } else if (name == "seed") {
      options.seed = integer(name, value);
    } else if (name == "device" && (value == "auto" || value == "cpu" || value == "cuda")) {
      options.device = value;
    } else if (name == "precision" && (value == "auto" || value == "fp32" || value == "bf16")) {
      options.precision = value;
    } else {
      throw std::invalid_argument{"--" + name + " " + value + " is not known; known are --data DIR, --epochs N, --seed N, --device auto|cpu|cuda, "
                                  "--precision auto|fp32|bf16, --help"};
    }
  }
  return options;
}

/// An IDX file of bytes, compressed or not.
torch::Tensor read_idx(std::filesystem::path const& path) {
  std::filesystem::path const found = std::filesystem::exists(path) ? path : std::filesystem::path{path.string() + ".gz"};
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };
  std::unique_ptr<gzFile_s, Close> const file{gzopen(found.c_str(), "rb")};
  if (!file) throw std::runtime_error{"cannot open " + found.string()};
  auto const read = [&](void* to, std::size_t size) {
    if (gzread(file.get(), to, static_cast<unsigned>(size)) != static_cast<int>(size)) throw std::runtime_error{found.string() + " is too short"};
  };
  unsigned char magic[4];
  read(magic, sizeof magic);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 8 || magic[3] < 1 || magic[3] > 3) throw std::runtime_error{found.string() + " is no IDX file of bytes"};
  std::vector<std::int64_t> shape;
  std::int64_t size = 1;
  for (int d = 0; d < magic[3]; ++d) {
    unsigned char length[4];
    read(length, sizeof length);
    shape.push_back(std::int64_t{length[0]} << 24 | std::int64_t{length[1]} << 16 | std::int64_t{length[2]} << 8 | std::int64_t{length[3]});
    if (shape.back() > std::int64_t{1} << 30) throw std::runtime_error{found.string() + " is too large"};
    size *= shape.back();
    if (size > std::int64_t{1} << 30) throw std::runtime_error{found.string() + " is too large"};
  }
  torch::Tensor const result = torch::empty(shape, torch::kByte);
  read(result.data_ptr<std::uint8_t>(), static_cast<std::size_t>(size));
  return result;
}

struct Data {
  torch::Tensor images;
  torch::Tensor labels;

  std::int64_t size() const { return labels.size(0); }
  Data at(torch::Tensor const& index) const { return {images.index_select(0, index), labels.index_select(0, index)}; }
  Data to(torch::Device device) const { return {images.to(device), labels.to(device)}; }
};

struct Score {
  double loss = 0.0;
  double accuracy = 0.0;
};

Score evaluate(Mlp& model, Data const& data, std::int64_t batch_size, torch::Device device) {
  torch::NoGradGuard const no_grad;
  model.eval();
  torch::Tensor loss = torch::zeros({}, torch::TensorOptions{device}.dtype(torch::kDouble));
  torch::Tensor hits = torch::zeros({}, torch::TensorOptions{device}.dtype(torch::kLong));
  for (std::int64_t at = 0; at < data.size(); at += batch_size) {
    auto const batch = data.at(torch::arange(at, std::min(at + batch_size, data.size()))).to(device);
    auto const prediction = model.forward(batch.images);
    loss += torch::cross_entropy_loss(prediction, batch.labels) * batch.size();
    hits += (prediction.argmax(1) == batch.labels).sum();
  }
  auto const count = static_cast<double>(data.size());
  return {loss.item<double>() / count, static_cast<double>(hits.item<std::int64_t>()) / count};
}

int main(int argc, char** argv) try {
  Options const options = parse(argc, argv);
  if (options.help) {
    std::cout << "--data DIR       where the four files are (Debian's Fashion-MNIST)\n"
                 "--epochs N       passes over the training set (8)\n"
                 "--seed N         fixes the weights and the order of the samples (42)\n"
                 "--device D       auto, cpu or cuda (auto)\n"
                 "--precision P    auto, fp32 or bf16 (auto)\n";
    return 0;
  }
  torch::manual_seed(static_cast<std::uint64_t>(options.seed));
  torch::Device const device = options.device == "cuda" || (options.device == "auto" && torch::cuda::is_available()) ? torch::kCUDA : torch::kCPU;
  bool const bf16 = options.precision == "bf16" || (options.precision == "auto" && device.is_cuda());

  std::filesystem::path const directory = options.data;
  Data const all{read_idx(directory / "train-images-idx3-ubyte").unsqueeze(1).to(torch::kFloat).div_(255),
                 read_idx(directory / "train-labels-idx1-ubyte").to(torch::kLong)};
  if (all.size() != 60000 || all.images.size(0) != 60000) throw std::runtime_error{"expected 60000 images and as many labels"};
  auto const mixed = torch::randperm(60000, torch::kLong);
  Data const train = all.at(mixed.slice(0, 0, 50000));
  Data const valid = all.at(mixed.slice(0, 50000, 55000));
  Data const test = all.at(mixed.slice(0, 55000, 60000));

  auto const model = std::make_shared<Mlp>();
  model->to(device);
  torch::optim::SGD optimizer{model->parameters(), torch::optim::SGDOptions{1e-3}.momentum(0.9)};
  constexpr std::int64_t batch_size = 32;
  std::int64_t const steps = (train.size() + batch_size - 1) / batch_size;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    model->train();
    auto const order = torch::randperm(train.size(), torch::kLong);
    auto const start = std::chrono::steady_clock::now();
    double loss_sum = 0.0;
    for (std::int64_t step = 0; step < steps; ++step) {
      auto const batch = train.at(order.slice(0, step * batch_size, std::min((step + 1) * batch_size, train.size()))).to(device);
      torch::Tensor loss;
      {
        at::autocast::set_autocast_enabled(device.type(), bf16);
        at::autocast::set_autocast_dtype(device.type(), torch::kBFloat16);
        loss = torch::cross_entropy_loss(model->forward(batch.images), batch.labels);
        at::autocast::clear_cache();
        at::autocast::set_autocast_enabled(device.type(), false);
      }
      double const value = loss.item<double>();
      if (value != value) throw std::runtime_error{"the loss is no number"};
      loss_sum += value * static_cast<double>(batch.size());
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      if (step % 100 == 99) {
        double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        double const rate = static_cast<double>(step + 1) / seconds;
        std::fprintf(stderr, "\repoch %lld: step %lld/%lld, %.0f/s, %.0f s left, loss %.4f", static_cast<long long>(epoch + 1), static_cast<long long>(step + 1),
                     static_cast<long long>(steps), rate, static_cast<double>(steps - step - 1) / rate, value);
      }
    }
    Score const score = evaluate(*model, valid, batch_size, device);
    std::cout << "epoch " << epoch + 1 << ": train_loss " << loss_sum / static_cast<double>(train.size()) << ", eval_loss " << score.loss << ", accuracy "
              << score.accuracy << "\n";
  }
  std::cout << "accuracy " << evaluate(*model, test, 64, device).accuracy << "\n";
  return 0;
} catch (std::exception const& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
