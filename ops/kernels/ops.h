// The ops, each in the .cc file of its name.
#pragma once

#include "op.h"

namespace onnxpool {

const OpType& adaptive_average_pool();
const OpType& adaptive_max_pool();
const OpType& gem_pool();
const OpType& pyramid_pool();
const OpType& pyramid_upsample();

}  // namespace onnxpool
