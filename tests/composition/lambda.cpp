#include "composition/run.hpp"

namespace {
using Types = composition::TypeList<
#include "composition/types_lambda.inc"
    >;
}  // namespace

TEST_CASE("composition: lambda") { composition::check_all<Types>({"lambda"}); }
