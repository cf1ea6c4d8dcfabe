#pragma once

// Precompiled for the tests that include the trainer. Each of them includes what it uses all the same.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>

#include "fake/tensor.hpp"
#include "tacit/train/trainer.hpp"
