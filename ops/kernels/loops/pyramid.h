// Y_l = pool(X, size of level l), for all levels from one pass over X.
//
// The ends of the windows of all levels divide each axis in cells. Each cell of a plane is reduced
// to one value, and every window of every level is a box of cells.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// The cells from first to last in each direction, reduced to one. They are vectors over planes; a
// slice of them has h_length rows of w_length.
template <typename R, typename T = typename R::Stored>
Vec<T> reduce_box(const R& r, const Vec<T>* cells, int64_t h_length, int64_t w_length,
                  const Window& d, const Window& h, const Window& w) {
  Vec<T> box;
  for (int64_t i = d.start; i < d.end; ++i)
    for (int64_t j = h.start; j < h.end; ++j) {
      const Vec<T> row = reduce_columns(r, cells + (i * h_length + j) * w_length, w.start, w.end);
      box = i == d.start && j == h.start ? row : r.combine(box, row);
    }
  return box;
}

// One level of some planes.
template <typename R, typename T = typename R::Stored>
void pool_cells(const R& r, const PyramidLevel& level, const Vec<T>* cells, int64_t plane,
                int64_t planes) {
  Results<T> results(level.y, plane, planes, level.d.bins * level.h.bins * level.w.bins, 0);
  const int64_t* count = level.counts;
  for (int64_t i = 0; i < level.d.bins; ++i)
    for (int64_t j = 0; j < level.h.bins; ++j)
      for (int64_t k = 0; k < level.w.bins; ++k) {
        const Vec<T> box = reduce_box(r, cells, level.h.length, level.w.length, level.d.windows[i],
                                      level.h.windows[j], level.w.windows[k]);
        results.push(r.finish(box, Divisor<T>(*count++)));
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
                      Vec<T>* cell = cells;
                      for_each_row(job, first_row, last_row, [&](const Rows& rows) {
                        reduce_windows(r, strip, rows, job.w,
                                       [&](int64_t, Vec<T> v) { *cell++ = v; });
                      });
                      for (int64_t l = 0; l < job.level_count; ++l)
                        pool_cells(r, job.levels[l], cells, plane, planes);
                    });
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
