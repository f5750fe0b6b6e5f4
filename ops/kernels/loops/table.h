// The inner loops, compiled once for each instruction set; table() is the one for this CPU.
#pragma once

#include "../dtype.h"
#include "job.h"

namespace onnxpool {

struct Table {
  const char* isa;
  ByDType<PoolFunction> average;
  ByDType<PoolFunction> max;
  ByDType<PoolFunction> max_with_indices;
  ByDType<GemFunction> gem;
  ByDType<PyramidFunction> average_pyramid;
  ByDType<PyramidFunction> max_pyramid;
  ByDType<UpsampleFunction> upsample;
  ByDType<ToDoubles> to_doubles;
};

const Table& table();

// Those of which table() picks one; each is defined by table.cc, compiled for it.
namespace baseline {
extern const Table table;
}
namespace avx2 {
extern const Table table;
}
namespace avx512 {
extern const Table table;
}

}  // namespace onnxpool
