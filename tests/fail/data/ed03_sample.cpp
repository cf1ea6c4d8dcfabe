// expect: TACIT-ED03
#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"

class Opaque {
 public:
  explicit Opaque(int value) : value_{value} {}
  int value() const { return value_; }

 private:
  int value_;
};

struct Squares {
  std::int64_t size() const { return 8; }
#ifdef FIX
  double get(std::int64_t index) const { return static_cast<double>(index); }
#else
  Opaque get(std::int64_t index) const { return Opaque{static_cast<int>(index)}; }
#endif
};

int main() {
  auto batches = tacit::data::loader(Squares{}, {.batch_size = 4});
  for (auto& batch : batches.epoch(1, tacit::EpochIndex{0})) (void)batch;
}
