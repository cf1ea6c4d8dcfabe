// A program that owns the outer loop: the cart-pole of reinforcement learning, learnt by REINFORCE (Williams, 1992). The
// simulator asks the model for actions, and after each episode the session makes one update of it.

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <vector>

// [simulator]
/// A pole on a cart (Barto, Sutton and Anderson, 1983), pushed left or right 50 times a second until it falls.
struct CartPole {
  double place = 0.0, speed = 0.0, angle = 0.0, turn = 0.0;

  bool is_up() const { return std::abs(place) < 2.4 && std::abs(angle) < 0.21; }
  void push(bool right) {
    double const force = right ? 10.0 : -10.0;
    double const pull = (force + 0.05 * turn * turn * std::sin(angle)) / 1.1;
    double const turning = (9.8 * std::sin(angle) - std::cos(angle) * pull) / (0.5 * (4.0 / 3.0 - 0.1 * std::cos(angle) * std::cos(angle) / 1.1));
    place += 0.02 * speed;
    speed += 0.02 * (pull - 0.05 * turning * std::cos(angle) / 1.1);
    angle += 0.02 * turn;
    turn += 0.02 * turning;
  }
  std::vector<float> seen() const {
    return {static_cast<float>(place), static_cast<float>(speed), static_cast<float>(angle), static_cast<float>(turn)};
  }
};
// [/simulator]

// [task]
struct Episode {
  torch::Tensor seen;    // steps x 4
  torch::Tensor action;  // steps, 0 or 1
  torch::Tensor gain;    // steps: what came after, against the average
};
struct Step {
  torch::Tensor loss;
};

auto make_task(torch::nn::Sequential const& policy) {
  return tacit::Task{policy, tacit::optim::AdamW{.lr = 0.02}, [](auto& net, Episode const& episode, auto&) {
                       auto const chosen = net.forward(episode.seen).log_softmax(1).gather(1, episode.action.unsqueeze(1)).squeeze(1);
                       return Step{-(chosen * episode.gain).mean()};
                     }};
}
// [/task]

/// Plays until the pole falls or 200 pushes are made.
Episode play(torch::nn::Sequential& policy, std::mt19937& random, std::int64_t& pushes) {
  torch::NoGradGuard const guard;
  std::uniform_real_distribution<double> anywhere{-0.05, 0.05};
  CartPole pole{anywhere(random), anywhere(random), anywhere(random), anywhere(random)};
  std::vector<float> seen;
  std::vector<std::int64_t> actions;
  while (pole.is_up() && actions.size() < 200) {
    auto const now = pole.seen();
    auto const right = policy->forward(torch::tensor(now).unsqueeze(0)).softmax(1)[0][1].item<double>();
    actions.push_back(std::uniform_real_distribution<double>{0.0, 1.0}(random) < right);
    pole.push(actions.back() == 1);
    seen.insert(seen.end(), now.begin(), now.end());
  }
  pushes = static_cast<std::int64_t>(actions.size());
  std::vector<float> gain(actions.size());
  float after = 0.0F;
  for (std::size_t step = gain.size(); step-- > 0;) gain[step] = after = 1.0F + 0.99F * after;
  auto const gains = torch::tensor(gain);
  return {torch::tensor(seen).view({-1, 4}), torch::tensor(actions), (gains - gains.mean()) / (gains.std() + 1e-6)};
}

int main() {
  torch::manual_seed(1);
  std::mt19937 random{1};
  torch::nn::Sequential policy{torch::nn::Linear(4, 32), torch::nn::Tanh(), torch::nn::Linear(32, 2)};

  double usual = 0.0;
  // [session]
  tacit::Trainer trainer{make_task(policy), tacit::CallbackPack{}};
  auto session = trainer.session<Episode>({.gradient_accumulation = 4, .clip = {.norm = 1.0}});
  for (int game = 1; game <= 400 && usual < 100.0; ++game) {
    std::int64_t pushes = 0;
    session.step(play(policy, random, pushes));
    usual += 0.05 * (static_cast<double>(pushes) - usual);
    if (game % 50 == 0) std::cout << "game " << game << ": about " << std::lround(usual) << " pushes\n";
  }
  tacit::RunResult const result = session.finish();
  // [/session]
  std::cout << result.updates.value() << " updates, the pole stays up for about " << std::lround(usual) << " pushes\n";
  return usual > 60.0 ? 0 : 1;
}
