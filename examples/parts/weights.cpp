// Weights of a Python program for a model with another head: a dry run, the load, and a file that Python opens.
// expect: ^backbone\.safetensors: 4 tensors fit
// expect: ^  body\.weight, in the file backbone\.body\.weight, cast from BF16 to F32
// expect: ^refused: .*TACIT-RS97.*6 differences
// expect: ^written: ours\.safetensors, 6 tensors

#include <torch/torch.h>
#include <tacit/state/torch/tensor.hpp>
#include <tacit/state/weights.hpp>

#include <iostream>
#include <memory>
#include <string>

struct Backbone : torch::nn::Module {
  torch::nn::Linear stem{register_module("stem", torch::nn::Linear(8, 16))};
  torch::nn::Linear body{register_module("body", torch::nn::Linear(16, 16))};
  torch::nn::Linear fc{register_module("fc", torch::nn::Linear(16, 1000))};
};
struct Classifier : torch::nn::Module {
  torch::nn::Linear stem{register_module("stem", torch::nn::Linear(8, 16))};
  torch::nn::Linear body{register_module("body", torch::nn::Linear(16, 16))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(16, 3))};
};

int main() {
  // Stands for what `safetensors.torch.save_file` has written elsewhere.
  struct Elsewhere : torch::nn::Module {
    std::shared_ptr<Backbone> backbone{register_module("backbone", std::make_shared<Backbone>())};
  } elsewhere;
  elsewhere.to(torch::kBFloat16);
  tacit::save_weights("backbone.safetensors", elsewhere);

  Classifier net;
  try {
    tacit::load_weights("backbone.safetensors", net, {.rename = {{"^backbone\\.", ""}}, .allow_missing = {"^head\\."}});
  } catch (tacit::StateError const& error) {
    std::string const text = error.what();
    std::cout << "refused: " << text.substr(0, text.find('\n')) << "\n";
  }
  // [load]
  tacit::LoadWeightsOptions const options{.rename = {{"^backbone\\.", ""}},   // in order, regular expressions
                                          .allow_missing = {"^head\\."},      // keeps its first values
                                          .allow_unexpected = {"^fc\\."},     // is passed over
                                          .cast = true};                      // from bfloat16
  std::cout << tacit::plan_weights("backbone.safetensors", net, options).text();  // reads headers, changes nothing
  tacit::load_weights("backbone.safetensors", net, options);                      // all fits, or nothing changes
  // [/load]
  // [save]
  tacit::save_weights("ours.safetensors", net);  // Python: net.load_state_dict(safetensors.torch.load_file("ours.safetensors"))
  // [/save]
  std::cout << "written: ours.safetensors, " << net.named_parameters().size() << " tensors\n";
}
