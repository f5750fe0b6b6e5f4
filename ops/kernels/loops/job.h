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
// The work is divided in units, one row of Y each: planes * D.bins * H.bins.
struct Job {
  const void* x;
  int64_t x_elements;
  void* y;
  int64_t* indices;  // Where an op has them; else nullptr.
  Axis d, h, w;
};

static inline int64_t units_per_plane(const Job& job) { return job.d.bins * job.h.bins; }

using PoolFunction = void (*)(const Job&, int64_t first_unit, int64_t last_unit);

// With an exponent for each of the channels, or one for all.
struct GemJob : Job {
  const double* exponents;  // (exponent_count,)
  int64_t exponent_count;
  double epsilon;  // -infinity where there is none.
};

using GemFunction = void (*)(const GemJob&, int64_t first_unit, int64_t last_unit);

// The windows are ranges of cells, and `counts` says how many elements of X are in each box of
// them.
struct PyramidLevel {
  void* y;               // (planes, D.bins, H.bins, W.bins)
  const double* counts;  // (D.bins, H.bins, W.bins)
  Axis d, h, w;
};

// X is (planes, D, H, W), with rows of at most kLongestRow elements. The windows of its axes are
// the cells. In a plane are at most kMostCells cells, and as many windows of each level.
struct PyramidJob {
  const void* x;
  int64_t x_elements;
  Axis d, h, w;
  const PyramidLevel* levels;
  int64_t level_count;
};

constexpr int64_t kMostCells = 1024, kLongestRow = 512;

using PyramidFunction = void (*)(const PyramidJob&, int64_t first_plane, int64_t last_plane);

using ToDoubles = void (*)(const void* from, int64_t count, double* to);

}  // namespace onnxpool
