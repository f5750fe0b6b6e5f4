// Y = max(X), a NaN being greater than everything; and where the maximum is.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Max {
  using Stored = T;
  static constexpr bool kMaps = false;

  template <typename V>
  V map(V x) const {
    return x;
  }

  template <typename V>
  V combine(V a, V b) const {
    const V greater = a > b ? a : b;  // b where either is NaN
    return a != a ? a : greater;
  }

  Compute<T> finish(Compute<T> maximum, Compute<T>) const { return maximum; }
};

template <typename T>
void max(const Job& job, int64_t first_unit, int64_t last_unit) {
  pool(Max<T>{}, job, first_unit, last_unit);
}

// The first maximum in the order of the plane, or else the last NaN, as PyTorch's kernel has it.
template <typename T>
void max_with_indices(const Job& job, int64_t first_unit, int64_t last_unit) {
  const T* x = static_cast<const T*>(job.x);
  const int64_t row = job.w.length, slice = job.h.length * row, plane = job.d.length * slice;
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const T* base = x + unit / job.units_per_plane() * plane;
    const int64_t u = unit % job.units_per_plane();
    const Window d = job.d.windows[u / job.h.bins];
    const Window h = job.h.windows[u % job.h.bins];
    for (int64_t j = 0; j < job.w.bins; ++j) {
      const Window w = job.w.windows[j];
      int64_t best = d.start * slice + h.start * row + w.start;
      Compute<T> maximum = to_compute(base[best]);
      for (int64_t a = d.start; a < d.end; ++a)
        for (int64_t b = h.start; b < h.end; ++b)
          for (int64_t c = w.start; c < w.end; ++c) {
            const int64_t at = a * slice + b * row + c;
            const Compute<T> value = to_compute(base[at]);
            if (value > maximum || value != value) maximum = value, best = at;
          }
      static_cast<T*>(job.y)[unit * job.w.bins + j] = from_compute<T>(maximum);
      job.indices[unit * job.w.bins + j] = best;
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
