#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_phases3.inc"
    >;
}  // namespace

TEST_CASE("composition: phases3") { composition::check_all<Types>({"phases3"}); }
