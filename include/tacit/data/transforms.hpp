#pragma once

/// All transforms of images, and the datasets that apply them.

#include "tacit/data/shuffle.hpp"
#include "tacit/data/torch_collate.hpp"
#include "tacit/data/transformed.hpp"
#include "tacit/data/transforms/color.hpp"
#include "tacit/data/transforms/geometry.hpp"
#include "tacit/data/transforms/images.hpp"
#include "tacit/data/transforms/mix.hpp"
