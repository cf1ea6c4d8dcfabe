#include <cstdint>
#include <memory>
#include <utility>

#include "../instructions/fake_library.hpp"
#include "tacit/train/trainer.hpp"

// What run.py disassembles: a trainer whose CALLBACKS callbacks handle nothing. With VIRTUAL, one callback handles every
// update through a virtual function, which run.py must notice.

namespace codegen {

template <int Number>
struct Idle {
  void on(tacit::event::EvaluationRunStart const&, auto&) {}
};

struct Base {
  virtual ~Base() = default;
  virtual void update() = 0;
};
struct Derived : Base {
  void update() override { ++updates; }
  std::int64_t updates = 0;
};

struct Virtual {
  Base* base;
  void on(tacit::event::UpdateEnd const&, auto&) { base->update(); }
};

template <int... Number>
auto pack(Base* base, std::integer_sequence<int, Number...>) {
#ifdef VIRTUAL
  return tacit::CallbackPack{Virtual{base}, Idle<Number>{}...};
#else
  static_cast<void>(base);
  return tacit::CallbackPack{Idle<Number>{}...};
#endif
}

void run(Base* base) {
  tacit::Trainer trainer{std::make_shared<library::Linear>(), library::MeanSquaredError{}, library::Sgd{}, pack(base, std::make_integer_sequence<int, CALLBACKS>{})};
  trainer.train(library::Line{64}, {.epochs = 1, .per_device_batch_size = 4});
}

#ifdef VIRTUAL
Base* make() { return new Derived; }
#endif

}  // namespace codegen
