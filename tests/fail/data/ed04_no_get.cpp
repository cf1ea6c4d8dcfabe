// expect: TACIT-ED04
#include "tacit/data/loader.hpp"

struct Squares {
  std::int64_t size() const { return 8; }
#ifdef FIX
  double get(std::int64_t index) const { return static_cast<double>(index); }
#endif
  std::vector<double> get_batch(std::span<std::int64_t const> indices) const { return {static_cast<double>(indices.size())}; }
};

int main() {
  auto batches = tacit::data::loader(Squares{}, {.batch_size = 4}, [](std::span<double> samples) { return samples.front(); });
  batches.start_epoch(1, tacit::EpochIndex{0});
}
