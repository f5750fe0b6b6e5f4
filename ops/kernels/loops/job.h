// What the loops are given: raw pointers and windows, no C++ library.
#pragma once

#include <cstdint>

#include "../windows.h"

namespace onnxpool {

// One pooled axis, outermost first.
struct Axis {
  int64_t length;
  int64_t bins;
  const Window* windows;  // (bins,)

  bool kept() const { return bins == length; }
};

// X is (planes, D, H, W), Y (planes, D.bins, H.bins, W.bins); fewer axes have length 1 in front.
// The work is divided in units, one row of Y each: planes * D.bins * H.bins.
struct Job {
  const void* x;
  int64_t x_elements;
  void* y;
  int64_t* indices;  // Where an op has them; else nullptr.
  Axis d, h, w;

  int64_t units_per_plane() const { return d.bins * h.bins; }
};

using PoolFunction = void (*)(const Job&, int64_t first_unit, int64_t last_unit);

}  // namespace onnxpool
