#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_phases1.inc"
    >;
}  // namespace

TEST_CASE("composition: phases1") { composition::check_all<Types>({"phases1"}); }
