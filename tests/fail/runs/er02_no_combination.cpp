// expect: TACIT-ER02
#include "tacit/launch/run.hpp"
struct OnGpu : tacit::Fp32 {
#ifndef FIX
  using excludes = tacit::list<tacit::Cpu>;
#endif
};
int main(int argc, char** argv) {
  return tacit::run(argc, argv, tacit::choices<tacit::Cpu>{}, tacit::choices<OnGpu>{}, [](auto, auto) { return 0; });
}
