// expect: TACIT-EC31
#include "fake/tensor.hpp"
#include "tacit/callbacks/log_metrics.hpp"
#include "tacit/train/trainer.hpp"

struct CountReports {
  int reports = 0;
  void operator()(tacit::MetricsReport const&, auto&) { ++reports; }
};

int main() {
#ifdef FIX
  CountReports count;
  tacit::CallbackPack pack{tacit::LogMetricsTo{std::ref(count)}};
#else
  tacit::LogMetricsTo log{CountReports{}};
  tacit::CallbackPack pack{std::ref(log)};
#endif
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, std::move(pack)};
  trainer.train(fake::Line{8}, {.epochs = 1});
}
