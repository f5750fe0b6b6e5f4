// The C boundary, as register.cc sees it.
#pragma once

#include "op.h"

namespace onnxpool {

// Every op of the library; register.cc lists them.
std::vector<const OpType*> op_types();

// Adds the domain `onnxpool` to a session's options.
ort::Status* register_ops(ort::SessionOptions* options, const ort::ApiBase* base);

}  // namespace onnxpool
