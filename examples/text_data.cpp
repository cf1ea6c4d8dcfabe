// Text as data: characters become tokens, tokens a file that is mapped into memory, windows of it the batches of a model that
// predicts each character from the one before.
// expect: ^27 characters, [0-9]+ tokens
// expect: ^epoch +5/5
// expect: ^after 't' comes 'h'

#include <torch/torch.h>
#include <tacit/data/char_tokenizer.hpp>
#include <tacit/data/token_dataset.hpp>
#include <tacit/data/token_file.hpp>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

/// One row of scores per character: what follows it.
struct Bigram : torch::nn::Module {
  explicit Bigram(std::int64_t size) : scores{register_module("scores", torch::nn::Embedding(size, size))} {}
  torch::nn::Embedding scores;

  torch::Tensor forward(torch::Tensor const& tokens) { return scores(tokens); }
};

std::string text() {
  std::string all;
  for (int i = 0; i < 200; ++i) all += "the quick brown fox jumps over the lazy dog and then the other thing that they thought of ";
  return all;
}

int main() {
  torch::manual_seed(1);
  // [tokens]
  tacit::data::CharTokenizer const tokenizer{text()};
  tacit::data::write_token_file("train.bin", tokenizer.encode(text()), tacit::data::TokenType::uint16);  // as nanoGPT writes them
  tacit::data::TokenFile const tokens{"train.bin"};
  std::cout << tokenizer.size() << " characters, " << tokens.size() << " tokens\n";
  // [/tokens]

  // [train]
  tacit::data::TokenDataset const windows{tokens, {.length = 64, .stride = 64, .vocabulary = tokenizer.size()}};
  auto const loss = [](torch::Tensor const& prediction, torch::Tensor const& next) {
    return torch::cross_entropy_loss(prediction.flatten(0, 1), next.flatten());
  };
  auto model = std::make_shared<Bigram>(tokenizer.size());
  tacit::Trainer trainer{model, loss, tacit::optim::AdamW{.lr = 0.1}, tacit::CallbackPack{tacit::default_callbacks}};
  trainer.train(windows, {.epochs = 5, .per_device_batch_size = 16});
  // [/train]

  auto const next = model->forward(torch::tensor(tokenizer.encode("t"))).argmax(-1);
  std::cout << "after 't' comes '" << tokenizer.decode(std::vector<std::int64_t>{next.item<std::int64_t>()}) << "'\n";
}
