// expect: TACIT-EM04
// fault T5
#include "fake/tensor.hpp"
#include "tacit/callbacks/early_stopping.hpp"
#include "tacit/train/trainer.hpp"

int main() {
  fake::Line data{8};
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, fake::Sgd{}, tacit::eval_sets<"clean">{},
#ifdef FIX
                         tacit::CallbackPack{tacit::EarlyStopping<tacit::on<"clean", tacit::tag::eval_loss>>{}}};
#else
                         tacit::CallbackPack{tacit::EarlyStopping<tacit::tag::eval_loss>{}}};
#endif
  trainer.train(fake::Line{8}, {.epochs = 1}, tacit::eval_data<"clean">(data));
}
