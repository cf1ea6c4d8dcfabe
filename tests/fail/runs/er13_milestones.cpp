// expect: TACIT-ER13
#include "tacit/schedule/schedule.hpp"

#ifdef FIX
inline constexpr auto falling = tacit::schedule::multi_step(0.1, tacit::Epochs{30}, tacit::Epochs{60});
#else
inline constexpr auto falling = tacit::schedule::multi_step(0.1, 30, 60);
#endif
