// Y_l = pool(X, size of level l), for all levels from one pass over X.
//
// The ends of the windows of all levels divide each axis in cells. Each cell of a plane is reduced
// to one value, and every window of every level is a box of cells.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// The rows of a plane (D, H, W) that are within `d` and `h`.
template <typename T>
Rows<T> rows_of(const T* plane, const Axis& height, const Axis& width, Window d, Window h) {
  const int64_t row = width.length, slice = height.length * row;
  return {
      plane + d.start * slice + h.start * row, d.end - d.start, slice, h.end - h.start, row, row};
}

// Reduces each cell of a plane.
template <typename R, typename T>
void reduce_to_cells(const R& r, const PyramidJob& job, const T* plane, Compute<T>* row,
                     Compute<T>* cells) {
  const T* end = static_cast<const T*>(job.x) + job.x_elements;
  for (int64_t d = 0; d < job.d.bins; ++d)
    for (int64_t h = 0; h < job.h.bins; ++h) {
      const Window cell_rows = job.h.windows[h];
      reduce_rows(r, rows_of(plane, job.h, job.w, job.d.windows[d], cell_rows), end, row);
      for (int64_t w = 0; w < job.w.bins; ++w) {
        const Window columns = job.w.windows[w];
        *cells++ = reduce_values(r, row + columns.start, columns.end - columns.start);
      }
    }
}

// The elements of an axis in a window of cells.
inline int64_t elements(const Axis& cells, Window window) {
  return cells.windows[window.end - 1].end - cells.windows[window.start].start;
}

// Reduces the cells of a plane to one level of the pyramid.
template <typename T, typename R, typename C>
void reduce_to_level(const R& r, const PyramidJob& job, const PyramidLevel& level, const C* cells,
                     C* row, T* y) {
  for (int64_t d = 0; d < level.d.bins; ++d)
    for (int64_t h = 0; h < level.h.bins; ++h) {
      const Window slices = level.d.windows[d], rows = level.h.windows[h];
      reduce_rows(r, rows_of(cells, level.h, level.w, slices, rows), cells + kMostCells + kLanes<C>,
                  row);
      const int64_t above = elements(job.d, slices) * elements(job.h, rows);
      for (int64_t w = 0; w < level.w.bins; ++w) {
        const Window columns = level.w.windows[w];
        const C value = reduce_values(r, row + columns.start, columns.end - columns.start);
        const C count = static_cast<C>(above * elements(job.w, columns));
        *y++ = from_compute<T>(r.finish(value, count));
      }
    }
}

template <template <typename> class R, typename T>
void pyramid(const PyramidJob& job, int64_t first_plane, int64_t last_plane) {
  using C = Compute<T>;
  alignas(64) C row[kLongestRow + kLanes<C>];
  alignas(64) C cells[kMostCells + kLanes<C>] = {};
  const int64_t elements_per_plane = job.d.length * job.h.length * job.w.length;
  for (int64_t plane = first_plane; plane < last_plane; ++plane) {
    const T* x = static_cast<const T*>(job.x) + plane * elements_per_plane;
    reduce_to_cells(R<T>{}, job, x, row, cells);
    for (int64_t l = 0; l < job.level_count; ++l) {
      const PyramidLevel& level = job.levels[l];
      const int64_t bins = level.d.bins * level.h.bins * level.w.bins;
      reduce_to_level(R<C>{}, job, level, cells, row, static_cast<T*>(level.y) + plane * bins);
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
