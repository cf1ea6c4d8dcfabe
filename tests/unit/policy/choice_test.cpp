#include "tacit/policy/choice.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>

#include <string>

namespace choice_tests {
namespace {

using tacit::detail::device_kind;
using tacit::detail::parse_device;
using tacit::detail::parse_precision;
using tacit::detail::precision_kind;

TEST_CASE("devices by name") {
  CHECK(parse_device("auto", "").kind == device_kind::automatic);
  CHECK(parse_device("cpu", "").kind == device_kind::cpu);
  CHECK(parse_device("cuda", "").kind == device_kind::cuda);
  CHECK(parse_device("cuda", "").index == -1);
  CHECK(parse_device("cuda:0", "").index == 0);
  CHECK(parse_device("cuda:127", "").index == 127);
}

TEST_CASE("a text that names no device is refused with what would do") {
  auto const text = GENERATE("", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda: 1", "cuda:128",
                             "cuda:999", "cuda1", "auto:0", "cuda:0 ");
  CAPTURE(text);
  try {
    parse_device(text, "--device");
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC75");
    CHECK(error.where() == "--device");
    CHECK(error.problem() == "'" + std::string{text} + "' names no device");
    CHECK(error.fix() == "give auto, cpu, cuda or cuda:N, as in cuda:1");
  }
}

TEST_CASE("precisions by name") {
  CHECK(parse_precision("auto", "") == precision_kind::fp32);
  CHECK(parse_precision("fp32", "") == precision_kind::fp32);
  CHECK(parse_precision("fp64", "") == precision_kind::fp64);
  CHECK(parse_precision("bf16", "") == precision_kind::bf16);
  CHECK(parse_precision("fp16", "") == precision_kind::fp16);
}

TEST_CASE("a text that names no precision is refused with what would do") {
  auto const text = GENERATE("", "half", "FP32", "float32", "bf16 ");
  CAPTURE(text);
  try {
    parse_precision(text, "--precision");
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC76");
    CHECK(error.where() == "--precision");
    CHECK(error.fix() == "give auto, fp32, fp64, bf16 or fp16");
  }
}

TEST_CASE("numbers of threads are read") {
  using tacit::detail::parse_threads;
  using tacit::detail::threads_kind;
  CHECK(parse_threads("", "").kind == threads_kind::as_they_are);
  CHECK(parse_threads("auto", "").kind == threads_kind::automatic);
  CHECK(parse_threads("all", "").kind == threads_kind::all);
  CHECK(parse_threads("measured", "").kind == threads_kind::measured);
  CHECK(parse_threads("1", "").number == 1);
  CHECK(parse_threads("1024", "").kind == threads_kind::number);
  CHECK(parse_threads("1024", "").number == 1024);
}

TEST_CASE("a text that is no number of threads is refused with what would do") {
  auto const text = GENERATE("0", "-1", "1025", "x", "2x", "2.0", " 2", "All", "99999999999999999999");
  CAPTURE(text);
  try {
    tacit::detail::parse_threads(text, "--threads");
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC160");
    CHECK(error.where() == "--threads");
    CHECK(error.fix() == "give auto, all, measured, or a number from 1 to 1024");
  }
}

}  // namespace

}  // namespace choice_tests
