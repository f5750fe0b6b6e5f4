// The index of the library: every op, and the one symbol that is exported.
#include "ops.h"
#include "runtime.h"

#if defined(_WIN32)
#define ONNXPOOL_EXPORT __declspec(dllexport)
#else
#define ONNXPOOL_EXPORT __attribute__((visibility("default")))
#endif

namespace onnxpool {

std::vector<const OpType*> op_types() {
  return {
      &adaptive_average_pool(), &adaptive_max_pool(), &gem_pool(),
      &pyramid_pool(),          &pyramid_upsample(),
  };
}

}  // namespace onnxpool

extern "C" ONNXPOOL_EXPORT onnxpool::ort::Status* RegisterCustomOps(
    onnxpool::ort::SessionOptions* options, const onnxpool::ort::ApiBase* base) {
  return onnxpool::register_ops(options, base);
}
