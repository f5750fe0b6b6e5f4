// The windows of adaptive pooling: PyTorch's rule, the only place in C++ that computes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace onnxpool {

constexpr int64_t kKeep = -1;     // In an output size: the axis keeps its size.
constexpr int64_t kComputed = 0;  // In an output size: the size is an element of the input `size`.

// The half-open range of positions that one output sees.
struct Window {
  int64_t start, end;
};

// start(i) = floor(i * length / bins)        end(i) = ceil((i + 1) * length / bins)
//
// Written so that no product overflows: i * length can, for long axes.
inline Window window(int64_t i, int64_t length, int64_t bins) {
  const int64_t whole = length / bins, rest = length % bins;
  return {i * whole + i * rest / bins, (i + 1) * whole + ((i + 1) * rest + bins - 1) / bins};
}

inline std::vector<Window> windows(int64_t length, int64_t bins) {
  std::vector<Window> all(static_cast<size_t>(bins));
  for (int64_t i = 0; i < bins; ++i) all[static_cast<size_t>(i)] = window(i, length, bins);
  return all;
}

}  // namespace onnxpool
