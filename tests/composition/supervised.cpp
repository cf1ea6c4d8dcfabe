#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_supervised.inc"
    >;
}  // namespace

TEST_CASE("composition: supervised") { composition::check_all<Types>({"supervised"}); }
