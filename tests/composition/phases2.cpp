#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_phases2.inc"
    >;
}  // namespace

TEST_CASE("composition: phases2") { composition::check_all<Types>({"phases2"}); }
