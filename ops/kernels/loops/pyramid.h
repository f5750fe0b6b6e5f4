// Y_l = pool(X, size of level l), for all levels from one pass over X.
//
// The ends of the windows of all levels divide each axis in cells. Each cell of a plane is reduced
// to one value, and every window of every level is a box of cells.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// The cells in some rows of cells, reduced over these: `width` of them. The cells are vectors over
// planes; a slice of them has `rows` rows.
template <typename R, typename T = typename R::Stored>
void reduce_cell_rows(const R& r, const Vec<T>* cells, int64_t rows, int64_t width, const Window& d,
                      const Window& h, Vec<T>* reduced) {
  const Vec<T>* so_far = nullptr;
  for (int64_t i = d.start; i < d.end; ++i)
    for (int64_t j = h.start; j < h.end; ++j) {
      const Vec<T>* row = cells + (i * rows + j) * width;
      if (so_far != nullptr) {
        for (int64_t k = 0; k < width; ++k) reduced[k] = r.combine(so_far[k], row[k]);
        row = reduced;
      }
      so_far = row;
    }
  if (so_far != reduced)
    for (int64_t k = 0; k < width; ++k) reduced[k] = so_far[k];
}

// One level of some planes.
template <typename R, typename T = typename R::Stored>
void pool_cells(const R& r, const PyramidLevel& level, const Vec<T>* cells, int64_t plane,
                int64_t planes) {
  const int64_t bins = level.d.bins * level.h.bins * level.w.bins;
  Results<T> results(level.y, plane, planes, bins, 0);
  Vec<T>* y = results.next(bins);
  Vec<T> row[kMostCells];
  for (int64_t i = 0; i < level.d.bins; ++i)
    for (int64_t j = 0; j < level.h.bins; ++j) {
      reduce_cell_rows(r, cells, level.h.length, level.w.length, level.d.windows[i],
                       level.h.windows[j], row);
      for (int64_t k = 0; k < level.w.bins; ++k)
        *y++ = reduce_columns(r, row, level.w.windows[k].start, level.w.windows[k].end);
    }
  Divisor<T> divisor;
  y -= bins;
  for (int64_t i = 0; i < bins; ++i) {
    divisor.set(level.counts[i]);
    y[i] = r.finish(y[i], divisor);
  }
}

template <template <typename> class Reduction, typename T>
void pyramid(const PyramidJob& job, int64_t first_block, int64_t last_block) {
  const Reduction<T> r{};
  Vec<T> cells[kMostCells];
  const int64_t rows = rows_per_plane(job);
  for_each_strip<T>(job, first_block * rows, last_block * rows,
                    [&](int64_t plane, int64_t planes, int64_t first_row, int64_t last_row) {
                      const Strip<T> strip(job, plane, planes);
                      reduce_strip(r, job, strip, first_row, last_row, cells);
                      for (int64_t l = 0; l < job.level_count; ++l)
                        pool_cells(r, job.levels[l], cells, plane, planes);
                    });
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
