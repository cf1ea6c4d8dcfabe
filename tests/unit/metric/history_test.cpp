#include <limits>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "tacit/metric/history.hpp"
#include "tacit/state/visit.hpp"
#include "fake/tensor.hpp"

namespace history_tests {
namespace {
struct hits : tacit::Metric<"hits", tacit::higher_is_better> {};

tacit::History sample(double speed) {
  tacit::History history;
  history.begin_run();
  history.record(tacit::tag::train_loss{}, tacit::EpochIndex{0}, 5, 0.5);
  history.record(hits{}, tacit::EpochIndex{0}, 5, 3.0);
  history.record(tacit::tag::samples_per_second{}, tacit::EpochIndex{0}, 5, speed);
  history.record("named, \"at run time\"", false, false, tacit::EpochIndex{1}, 7, std::numeric_limits<double>::quiet_NaN());
  history.end_run(tacit::StopReason::completed, 10);
  return history;
}
}  // namespace

TEST_CASE("a history is const on read and names what it has") {
  tacit::History const history = sample(100.0);
  CHECK(history.latest(hits{}) == 3.0);
  CHECK(history.latest(tacit::dynamic{"hits"}) == 3.0);
  CHECK(history.values(tacit::tag::eval_loss{}).empty());
  CHECK_FALSE(history.has(tacit::tag::eval_loss{}));
  CHECK(history.columns().size() == 4);
  try {
    history.latest(tacit::tag::eval_loss{});
    FAIL("no value");
  } catch (tacit::UsageError const& error) {
    CHECK(error.code() == "TACIT-RU01");
    CHECK(error.fix().find("train_loss, hits") != std::string::npos);
  }
  CHECK(history.columns().size() == 4);
}

TEST_CASE("time columns are in no comparison and no hash") {
  tacit::History const slow = sample(1.0);
  tacit::History const fast = sample(1000.0);
  CHECK(slow == fast);
  CHECK(tacit::state_hash(slow) == tacit::state_hash(fast));
  tacit::History other = sample(1.0);
  other.begin_run();
  CHECK_FALSE(slow == other);
  CHECK(tacit::state_hash(slow) != tacit::state_hash(other));
}

TEST_CASE("a history exports JSON and CSV") {
  tacit::History const history = sample(2.5);
  CHECK(history.to_csv() ==
        "metric,run,epoch,updates,value\n"
        "train_loss,0,0,5,0.5\n"
        "hits,0,0,5,3\n"
        "samples_per_second,0,0,5,2.5\n"
        "\"named, \"\"at run time\"\"\",0,1,7,nan\n");
  std::string const json = history.to_json();
  CHECK(json ==
        R"({"columns":[{"name":"train_loss","volatile":false,"entries":[[0,0,5,0.5]]},)"
        R"({"name":"hits","volatile":false,"entries":[[0,0,5,3]]},)"
        R"({"name":"samples_per_second","volatile":true,"entries":[[0,0,5,2.5]]},)"
        R"({"name":"named, \"at run time\"","volatile":false,"entries":[[0,1,7,null]]}],)"
        R"("runs":[{"reason":"completed","finished":true,"updates":10,"error":""}]})");
}

TEST_CASE("the last run alone") {
  tacit::History history = sample(1.0);
  history.begin_run();
  history.record(hits{}, tacit::EpochIndex{0}, 1, 9.0);
  tacit::History const last = history.last_run();
  CHECK(last.runs().size() == 1);
  CHECK(last.columns().size() == 1);
  CHECK(last.latest(hits{}) == 9.0);
}

}  // namespace history_tests
