// expect: TACIT-ER01
#include "tacit/launch/run.hpp"
#include "tacit/policy/precision/fp64.hpp"
template <int>
struct D : tacit::Cpu {};
int main(int argc, char** argv) {
#ifdef FIX
  return tacit::run(argc, argv, tacit::allow_many, tacit::choices<D<1>, D<2>, D<3>, D<4>, D<5>>{},
                    tacit::choices<tacit::Fp32, tacit::Fp64>{}, [](auto, auto) { return 0; });
#else
  return tacit::run(argc, argv, tacit::choices<D<1>, D<2>, D<3>, D<4>, D<5>>{},
                    tacit::choices<tacit::Fp32, tacit::Fp64>{}, [](auto, auto) { return 0; });
#endif
}
