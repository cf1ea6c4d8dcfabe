#include <string>

#include <catch2/catch_test_macros.hpp>

#include "fake/tensor.hpp"
#include "tacit/task/parameter_set.hpp"

namespace parameter_set_tests {
TEST_CASE("a parameter set finds by name, freezes what leaves, and refuses a name twice") {
  tacit::basic_parameter_set<fake::Tensor> parameters;
  fake::Tensor weight{{1.0}, true};
  fake::Tensor bias{{0.0}, false};
  parameters.add("weight", weight);
  parameters.add("bias", bias);
  CHECK(parameters.size() == 2);
  CHECK(bias->requires_grad);
  CHECK(parameters.find("bias")->model.ptr() == bias.ptr());
  CHECK(parameters.find("scale") == nullptr);
  try {
    parameters.add("bias", weight);
    FAIL("accepted");
  } catch (tacit::ConfigError const& error) {
    CHECK(error.code() == "TACIT-RC02");
    CHECK(std::string{error.what()}.find("'bias'") != std::string::npos);
  }
  (weight * weight).backward();
  CHECK(weight->grad.defined());
  CHECK(parameters.remove("weight"));
  CHECK_FALSE(parameters.remove("weight"));
  CHECK_FALSE(weight->grad.defined());
  CHECK_FALSE(weight->requires_grad);
  CHECK(parameters.size() == 1);
}

}  // namespace parameter_set_tests
