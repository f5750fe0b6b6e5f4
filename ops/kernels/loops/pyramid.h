// Y_l = pool(X, size of level l), for all levels from one pass over X.
//
// The ends of the windows of all levels divide each axis in cells. Each cell of a plane is reduced
// to one value, and every window of every level is a box of cells.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// A buffer for each power of 2 up to kLongestRow, of four of the longest rows.
constexpr int kRunLengths = 10;
constexpr int64_t kRunValues = 4 * kLongestRow;
static_assert(int64_t{1} << (kRunLengths - 1) == kLongestRow);

template <typename C>
using Runs = C[kRunLengths][kRunValues];

// The windows of `columns` in each of the rows in runs[0], `stride` apart, reduced to one value
// each; the values are `step` apart.
//
// Runs of 2, 4, 8, … elements are reduced from all positions on, in vectors. A window then takes as
// many runs as its length has bits.
template <typename R, typename C>
void reduce_by_runs(const R& r, Runs<C>& runs, int64_t rows, int64_t stride, const Axis& columns,
                    int64_t step, C* out) {
  int64_t longest = 0;
  for (int64_t w = 0; w < columns.bins; ++w) {
    const int64_t length = columns.windows[w].end - columns.windows[w].start;
    longest = length > longest ? length : longest;
  }
  for (int k = 1; longest >> k > 0; ++k)
    for (int64_t i = 0; i < rows * stride; i += kLanes<C>) {
      const C* half = runs[k - 1] + i;
      store<C>(runs[k] + i, r.combine(load(half), load(half + (int64_t{1} << (k - 1)))));
    }
  for (int64_t w = 0; w < columns.bins; ++w) {
    int64_t position = columns.windows[w].start, left = columns.windows[w].end - position;
    bool first = true;
    for (int k = 0; left > 0; ++k, left >>= 1) {
      if ((left & 1) == 0) continue;
      const C* run = runs[k] + position;
      for (int64_t h = 0; h < rows; ++h) {
        C& to = out[(h * columns.bins + w) * step];
        to = first ? run[h * stride] : r.combine(to, run[h * stride]);
      }
      position += int64_t{1} << k;
      first = false;
    }
  }
}

// The cells of a plane (D, H, W): one value each, `step` apart.
template <typename R, typename T = typename R::Stored>
void reduce_cells(const R& r, const PyramidJob& job, int64_t plane, Runs<Compute<T>>& runs,
                  int64_t step, Compute<T>* out) {
  const int64_t row = job.w.length, slice = job.h.length * row;
  const T* x = static_cast<const T*>(job.x);
  const T* first = x + plane * job.d.length * slice;
  const int64_t stride = whole_vectors<T>(row);
  const int64_t together = kRunValues / stride - 1;  // Whole vectors are read past the last row.
  int64_t rows = 0;
  const auto flush = [&] {
    reduce_by_runs(r, runs, rows, stride, job.w, step, out);
    out += rows * job.w.bins * step;
    rows = 0;
  };
  for (int64_t i = 0; i < job.d.bins; ++i)
    for (int64_t j = 0; j < job.h.bins; ++j) {
      const Window d = job.d.windows[i], h = job.h.windows[j];
      const Rows<T> cell_rows{first + d.start * slice + h.start * row,
                              d.end - d.start,
                              slice,
                              h.end - h.start,
                              row,
                              row};
      reduce_rows(r, cell_rows, x + job.x_elements, runs[0] + rows * stride);
      if (++rows == together) flush();
    }
  flush();
}

// One level of as many planes as a vector has lanes, of which the first `planes` are written to y.
// A cell is a vector.
template <typename T, typename R, typename C = Compute<T>>
void pool_cells(const R& r, const PyramidLevel& level, const C* cells, int64_t planes, T* y) {
  Vec<C> line[kLongestRow];
  const int64_t row = level.w.length, slice = level.h.length * row;
  const int64_t bins = level.d.bins * level.h.bins * level.w.bins;
  for (int64_t at = 0, i = 0; i < level.d.bins; ++i)
    for (int64_t j = 0; j < level.h.bins; ++j) {
      const Window d = level.d.windows[i], h = level.h.windows[j];
      for (int64_t a = d.start; a < d.end; ++a)
        for (int64_t b = h.start; b < h.end; ++b) {
          const C* cell_row = cells + (a * slice + b * row) * kLanes<C>;
          const bool first = a == d.start && b == h.start;
          for (int64_t c = 0; c < row; ++c) {
            const Vec<C> cell = load(cell_row + c * kLanes<C>);
            line[c] = first ? cell : r.combine(line[c], cell);
          }
        }
      for (int64_t k = 0; k < level.w.bins; ++k, ++at) {
        const Window w = level.w.windows[k];
        Vec<C> value = line[w.start];
        for (int64_t c = w.start + 1; c < w.end; ++c) value = r.combine(value, line[c]);
        if constexpr (R::kFinishes)
          value = r.finish(value, broadcast<C>(static_cast<C>(level.counts[at])));
        for (int64_t p = 0; p < planes; ++p)
          y[p * bins + at] = from_compute<T>(lane<C>(value, static_cast<int>(p)));
      }
    }
}

template <template <typename> class R, typename T>
void pyramid(const PyramidJob& job, int64_t first_plane, int64_t last_plane) {
  using C = Compute<T>;
  alignas(64) Runs<C> runs;
  alignas(64) C cells[kMostCells * kLanes<C>] = {};
  for (int64_t plane = first_plane; plane < last_plane; plane += kLanes<C>) {
    const int64_t planes = least(kLanes<C>, last_plane - plane);
    for (int64_t p = 0; p < planes; ++p)
      reduce_cells(R<T>{}, job, plane + p, runs, kLanes<C>, cells + p);
    for (int64_t l = 0; l < job.level_count; ++l) {
      const PyramidLevel& level = job.levels[l];
      const int64_t bins = level.d.bins * level.h.bins * level.w.bins;
      pool_cells(R<C>{}, level, cells, planes, static_cast<T*>(level.y) + plane * bins);
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
