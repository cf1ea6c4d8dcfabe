// expect-text: deleted
#include <string>

#include "tacit/schedule/field.hpp"

// fault T7: a schedule borrows the name of its parameter group.
int main() {
  std::string const name = "block" + std::to_string(1);
#ifdef FIX
  auto const rate = tacit::lr(tacit::schedule::constant(0.5), name);
#else
  auto const rate = tacit::lr(tacit::schedule::constant(0.5), name + ".");
#endif
  return static_cast<int>(rate.group.size());
}
