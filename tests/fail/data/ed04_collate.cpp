// expect: TACIT-ED04
#include "tacit/data/loader.hpp"

struct Squares {
  std::int64_t size() const { return 8; }
  double get(std::int64_t index) const { return static_cast<double>(index); }
};

int main() {
#ifdef FIX
  auto const sum = [](std::span<double> samples) { return samples.front(); };
#else
  auto const sum = [](std::span<float> samples) { return samples.front(); };
#endif
  auto batches = tacit::data::loader(Squares{}, {.batch_size = 4}, sum);
  batches.start_epoch(1, tacit::EpochIndex{0});
}
