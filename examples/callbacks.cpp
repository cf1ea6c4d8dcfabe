// The callbacks that come with Tacit, each with all of its options, and the adapters that stand around a callback of yours.
// expect: ^epoch +1/20 +train_loss
// expect: UpdateEnd epoch=2
// expect: limits training to 100 batches

#include <torch/torch.h>
#include <tacit/tacit.hpp>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <utility>

using namespace std::chrono_literals;

struct PrintNorm {
  void on(tacit::event::UpdateEnd const& event, auto& context) {
    auto const* log_point = context.log_point();
    if (log_point == nullptr || context.gradient_norm() == nullptr) return;
    double const norm = context.gradient_norm()->read(*log_point);
    context.sink().write("  update " + std::to_string(event.update.value()) + ", gradient norm " + std::to_string(norm) + "\n");
  }
};

int main() {
  torch::manual_seed(1);
  auto const x = torch::randn({4096, 8});
  auto const [train, valid] = tacit::data::split(tacit::data::TensorDataset{x, (x.sum(1) > 0).to(torch::kLong)}, {3584, 512}, /*seed*/ 1);
  torch::nn::Sequential const model{torch::nn::Linear(8, 32), torch::nn::ReLU(), torch::nn::Linear(32, 2)};

  std::map<std::string, double> dashboard;
  auto to_dashboard = [&dashboard](tacit::MetricsReport const& report, auto&) {
    for (tacit::LoggedMetric const& metric : report.metrics) dashboard[std::string{metric.name}] = metric.value;
  };

  // [reports]
  tacit::CallbackPack reports{tacit::TerminateOnNaN{},  // the first four are tacit::default_callbacks
                              tacit::PrintProgress{},
                              tacit::ProgressBar{.drawing = {.redraw_every = 100ms, .line_every = 10s, .unit = "step"}},
                              tacit::LogMetrics{},
                              tacit::LogMetricsTo{to_dashboard}};
  // [/reports]

  // [measures]
  tacit::CallbackPack measures{tacit::metric::Accuracy{},
                               tacit::EarlyStopping<tacit::tag::accuracy>{.patience = 2, .threshold = 0.005, .reset_on_train = true},
                               tacit::LimitBatches{.train = 100, .eval = 20}};
  // [/measures]

  // [adapters]
  auto third_epoch = [](auto const&, auto& context) { return context.progress().epoch == tacit::EpochIndex{2}; };
  tacit::CallbackPack adapted{tacit::EveryN{.n = 100, .inner = tacit::OnMainProcess{.inner = PrintNorm{}}},
                              tacit::When{.predicate = third_epoch, .inner = tacit::EveryN{.n = 100, .inner = tacit::Trace{}}}};
  // [/adapters]

  // [lambdas]
  std::int64_t seen = 0;
  auto count = tacit::stateful([](tacit::event::UpdateEnd const&, auto&, std::int64_t& updates) { ++updates; }, std::int64_t{0});
  tacit::CallbackPack lambdas{std::ref(count),
                              tacit::stateless([](tacit::event::TrainEpochStart const&, auto& context) { context.sink().write("  off we go\n"); }),
                              tacit::AnyCallback{"sees all", [&seen](tacit::AnyEvent const& event, tacit::AnyContext&) { seen += event.name == "UpdateEnd"; }}};
  // [/lambdas]

  tacit::Trainer trainer{model, tacit::loss::CrossEntropy{}, tacit::optim::AdamW{.lr = 3e-3}, tacit::CallbackPack{reports, measures, adapted, std::move(lambdas)}};
  std::cout << trainer.describe();
  auto const result = trainer.train(train, valid, {.epochs = 20, .per_device_batch_size = 32, .clip = {.norm = 1.0}});

  std::cout << "dashboard: accuracy " << dashboard["accuracy"] << "; " << seen << " updates\n";
  bool const counted = tacit::Updates{seen} == result.updates && tacit::Updates{count.state()} == result.updates;
  bool const limited = result.updates.value() == 100 * result.epochs.value();
  return counted && limited && dashboard["accuracy"] == result[tacit::tag::accuracy{}] ? 0 : 1;
}
