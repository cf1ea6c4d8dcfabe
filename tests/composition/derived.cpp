#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_derived.inc"
    >;
}  // namespace

TEST_CASE("composition: derived") { composition::check_all<Types>({"derived"}); }
