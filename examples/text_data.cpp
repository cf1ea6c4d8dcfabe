// Text to tokens to batches: a tokenizer of characters, a file of tokens as nanoGPT writes it, windows over the mapped file, and a
// model that predicts each character from the one before.

// expect: [0-9]+ characters, 27 of them different
// expect: back again: the quick brown fox
// expect: [0-9]+ windows of 16 tokens
// expect: after q comes u

#include <torch/torch.h>
#include <tacit/data/char_tokenizer.hpp>
#include <tacit/data/token_dataset.hpp>
#include <tacit/data/token_file.hpp>
#include <tacit/tacit.hpp>

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

/// Scores of the next token, [B, vocabulary, length], from the token alone.
struct Bigram : torch::nn::Module {
  explicit Bigram(std::int64_t vocabulary) : scores{register_module("scores", torch::nn::Embedding(vocabulary, vocabulary))} {}
  torch::Tensor forward(torch::Tensor const& tokens) { return scores(tokens).transpose(1, 2); }

  torch::nn::Embedding scores;
};

int main() {
  using namespace tacit;
  torch::manual_seed(1);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the quick brown fox jumps over the lazy dog ";

  // [tokens]
  data::CharTokenizer const tokenizer{text};
  std::vector<std::int64_t> const tokens = tokenizer.encode(text);
  data::write_token_file("train.bin", tokens);
  // [/tokens]
  std::cout << tokens.size() << " characters, " << tokenizer.size() << " of them different\n";

  // [windows]
  data::TokenFile const file{"train.bin"};  // uint16; data::TokenType::uint32 as a second argument for large vocabularies
  data::TokenDataset const train{file, {.length = 16, .stride = 1, .vocabulary = tokenizer.size()}};
  // [/windows]
  std::vector<std::int64_t> start(19);
  file.copy(0, start);
  std::cout << "back again: " << tokenizer.decode(start) << '\n' << train.size() << " windows of " << train.windows().length() << " tokens\n";

  // [train]
  auto model = std::make_shared<Bigram>(tokenizer.size());
  Trainer trainer{model, loss::CrossEntropy{}, optim::AdamW{.lr = 0.05}, CallbackPack{}};
  trainer.train(data::loader(train, {.batch_size = 32, .shuffle = true}), {.limit = {.updates = 100}});  // windows at random places
  // [/train]

  torch::NoGradGuard const no_grad;
  auto const next = model->forward(torch::tensor(tokenizer.encode("q")).unsqueeze(0)).argmax(1).item<std::int64_t>();
  std::cout << "after q comes " << tokenizer.decode(std::vector{next}) << '\n';
}
