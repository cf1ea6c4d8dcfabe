// expect: TACIT-ED05
#include "tacit/data/loader.hpp"

struct Squares {
  std::int64_t size() const { return 8; }
  double get(std::int64_t index) const { return static_cast<double>(index); }
};

struct Backwards {
  struct Order {
    void fill(std::int64_t first, std::span<std::int64_t> into) const {
      for (std::int64_t& sample : into) sample = 7 - first++;
    }
  };
#ifdef FIX
  std::int64_t count(std::int64_t samples) const { return samples; }
#endif
  Order order(tacit::data::OrderRequest const&) const { return {}; }
};

int main() {
  auto batches = tacit::data::loader(Squares{}, {.batch_size = 4}, tacit::data::DefaultCollate{}, Backwards{});
  batches.start_epoch(1, tacit::EpochIndex{0});
}
