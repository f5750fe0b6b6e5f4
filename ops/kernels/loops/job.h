// What the loops are given: raw pointers and windows, no C++ library, and no inline function that
// instruction sets could share (table.cc says why).
#pragma once

#include <cstdint>

#include "../windows.h"

namespace onnxpool {

// One pooled axis, outermost first.
struct Axis {
  int64_t length;
  int64_t bins;
  const Window* windows;  // (bins,)
};

// X is (planes, D, H, W), Y (planes, D.bins, H.bins, W.bins); fewer axes have length 1 in front.
// The work is divided in items: a row of Y, in each of `block` planes. Those of the same planes
// follow each other.
struct Job {
  const void* x;
  int64_t x_elements;
  void* y;
  int64_t y_elements;
  int64_t* indices;  // Where an op has them; else nullptr.
  Axis d, h, w;
  int64_t planes, block;
};

// As many planes as the widest vector has lanes.
constexpr int64_t kMostPlanes = 16;

static inline int64_t rows_per_plane(const Job& job) { return job.d.bins * job.h.bins; }

static inline int64_t block_count(const Job& job) {
  return (job.planes + job.block - 1) / job.block;
}

using PoolFunction = void (*)(const Job&, int64_t first_item, int64_t last_item);

// With an exponent for each of the channels, or one for all.
struct GemJob : Job {
  const double* exponents;  // (exponent_count,)
  int64_t exponent_count;
  double epsilon;  // -infinity where there is none.
};

using GemFunction = void (*)(const GemJob&, int64_t first_item, int64_t last_item);

// The windows are ranges of cells, and `counts` says how many elements of X are in each box of
// them.
struct PyramidLevel {
  void* y;                // (planes, D.bins, H.bins, W.bins)
  const int64_t* counts;  // (D.bins, H.bins, W.bins)
  Axis d, h, w;
};

// The windows of X's axes are the cells, at most kMostCells in a plane; Y is in the levels.
struct PyramidJob : Job {
  const PyramidLevel* levels;
  int64_t level_count;
};

constexpr int64_t kMostCells = 1024;

using PyramidFunction = void (*)(const PyramidJob&, int64_t first_block, int64_t last_block);

// Between which two positions of an axis each output lies, and the share of the second; `below` and
// `above` are padded to whole vectors, and so are the shares, in each type that is computed in.
struct Neighbours {
  const int32_t *below, *above;
  const float* share32;
  const double* share64;
};

// A tensor (batch, channels, h, w) on its way into the channels of Y from `first` on.
struct UpsampleInput {
  const void* x;
  int64_t first, channels, h, w;
  bool copied;  // Has the plane of Y.
  Neighbours rows, columns;
};

// Y is (batch, channels, h, w). An item is a plane of it.
struct UpsampleJob {
  void* y;
  int64_t batch, channels, h, w;
  const UpsampleInput* inputs;  // In the order of their channels.
  int64_t input_count;
  bool streams;  // Past the caches: Y is larger than they are.
};

using UpsampleFunction = void (*)(const UpsampleJob&, int64_t first_plane, int64_t last_plane);

using ToDoubles = void (*)(const void* from, int64_t count, double* to);

}  // namespace onnxpool
