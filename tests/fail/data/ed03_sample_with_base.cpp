// expect: TACIT-ED03
#include <string>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

struct Number {
  double value;
};
struct Named : Number {
  std::string name;
};

struct Squares {
  std::int64_t size() const { return 8; }
#ifdef FIX
  Number get(std::int64_t index) const { return {static_cast<double>(index)}; }
#else
  Named get(std::int64_t index) const { return {{static_cast<double>(index)}, "x"}; }
#endif
};

int main() {
  auto batches = tacit::data::loader(Squares{}, {.batch_size = 4});
  for (auto& batch : batches.epoch(1, tacit::EpochIndex{0})) (void)batch;
}
