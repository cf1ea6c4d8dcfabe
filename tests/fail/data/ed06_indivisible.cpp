// expect: TACIT-ED06
#include <string>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/auto_micro_batch.hpp"
#include "tacit/train/trainer.hpp"

struct Named {
  fake::Tensor input;
  fake::Tensor target;
  tacit::on_host<std::vector<std::string>> names;
#ifdef FIX
  Named rows(std::int64_t first, std::int64_t count) const {
    using traits = tacit::tensor_traits<fake::Tensor>;
    return {traits::rows(input, first, count), traits::rows(target, first, count),
            {std::vector<std::string>(names.value.begin() + first, names.value.begin() + first + count)}};
  }
#endif
};

int main() {
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::CallbackPack{tacit::AutoMicroBatch{}}};
  trainer.train(std::vector<Named>{}, {.epochs = 1});
}
