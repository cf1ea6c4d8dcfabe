#include "trainer_api.hpp"

static_assert(__cplusplus < 202002L, "this file shows that a C++17 program can hold a trainer");

int main() {
  std::vector<float> x, y;
  for (int i = 0; i < 32; ++i) {
    x.push_back(static_cast<float>(i) / 32.0F);
    y.push_back(2.0F * x.back() + 1.0F);
  }
  LineFit fit;
  double const first = fit.fit(x, y, 1);
  double const last = fit.fit(x, y, 20);
  return last < first ? 0 : 1;
}
