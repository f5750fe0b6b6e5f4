// The loops that all poolings share: a window is reduced row by row, then column by column.
//
// A reduction R says what happens to the values:
//
//     using Stored              element type of X and Y
//     kMaps                     whether map is not the identity
//     V map(V x)                each element first, as in GeM's power
//     V combine(V a, V b)       + or max; associative, and R starts from the first element
//     Compute finish(c, count)  of a window with `count` elements
//
// for V a vector or a single value of the type R computes in.
//
// Sums are made in blocks, of 64 rows and of 64 elements a lane, so that rounding errors grow with
// the number of blocks and not with the number of elements (Higham: The accuracy of floating point
// summation, SIAM J. Sci. Comput. 14, 1993).
#pragma once

#include "job.h"
#include "simd.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

constexpr int64_t kBlock = 64;

// Columns that are reduced together: the row buffer stays in the first-level cache.
constexpr int64_t kTile = 2048;

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows of X: `groups` times `rows` of them, all `columns` long; they are `row_stride` apart in a
// group, and the groups `group_stride`.
template <typename T>
struct Rows {
  const T* first;
  int64_t groups, group_stride;
  int64_t rows, row_stride;
  int64_t columns;

  int64_t count() const { return groups * rows; }
  const T* last() const { return first + (groups - 1) * group_stride + (rows - 1) * row_stride; }
};

// One row of `kVectors` vectors from all of `rows`, from `column` on.
template <int kVectors, typename R, typename Load>
void reduce_strip(const R& r, const Rows<typename R::Stored>& rows, int64_t column,
                  Compute<typename R::Stored>* out, const Load& load_vector) {
  using T = typename R::Stored;
  Vec<T> total[kVectors] = {};
  bool first = true;
  for (int64_t group = 0; group < rows.groups; ++group) {
    for (int64_t block = 0; block < rows.rows; block += kBlock) {
      const T* row = rows.first + group * rows.group_stride + block * rows.row_stride + column;
      Vec<T> part[kVectors];
      for (int v = 0; v < kVectors; ++v) part[v] = r.map(load_vector(row + v * kLanes<T>));
      for (int64_t i = least(kBlock, rows.rows - block); i > 1; --i) {
        row += rows.row_stride;
        for (int v = 0; v < kVectors; ++v)
          part[v] = r.combine(part[v], r.map(load_vector(row + v * kLanes<T>)));
      }
      for (int v = 0; v < kVectors; ++v) total[v] = first ? part[v] : r.combine(total[v], part[v]);
      first = false;
    }
  }
  for (int v = 0; v < kVectors; ++v) store<T>(out + v * kLanes<T>, total[v]);
}

// All columns of `rows`, reduced to one row. Whole vectors are read, and written to `out`; only
// past `end`, the end of X, nothing is read.
template <typename R>
void reduce_rows(const R& r, const Rows<typename R::Stored>& rows, const typename R::Stored* end,
                 Compute<typename R::Stored>* out) {
  using T = typename R::Stored;
  const auto whole = [](const T* p) { return load(p); };
  const int64_t vectors = (rows.columns + kLanes<T> - 1) / kLanes<T>;
  const bool overruns = rows.last() + vectors * kLanes<T> > end;
  int64_t left = overruns ? rows.columns / kLanes<T> : vectors;
  int64_t column = 0;
  for (; left >= 4; left -= 4, column += 4 * kLanes<T>)
    reduce_strip<4>(r, rows, column, out + column, whole);
  for (; left >= 1; --left, column += kLanes<T>)
    reduce_strip<1>(r, rows, column, out + column, whole);
  if (const int64_t rest = rows.columns - column; rest > 0)
    reduce_strip<1>(r, rows, column, out + column, [rest](const T* p) { return load_part(p, rest); });
}

// x[0] to x[count - 1], reduced to one value.
template <typename R, typename T>
Compute<T> reduce_values(const R& r, const T* x, int64_t count) {
  constexpr int kVectors = 4;
  constexpr int64_t kStep = kVectors * kLanes<T>;
  if (count < kStep) {
    Compute<T> value = to_compute(x[0]);
    for (int64_t i = 1; i < count; ++i) value = r.combine(value, to_compute(x[i]));
    return value;
  }
  Vec<T> total[kVectors] = {};
  bool first = true;
  int64_t i = 0;
  while (i + kStep <= count) {
    Vec<T> part[kVectors];
    for (int v = 0; v < kVectors; ++v) part[v] = load(x + i + v * kLanes<T>);
    const int64_t steps = least(kBlock, (count - i) / kStep);
    i += kStep;
    for (int64_t step = 1; step < steps; ++step, i += kStep)
      for (int v = 0; v < kVectors; ++v)
        part[v] = r.combine(part[v], load(x + i + v * kLanes<T>));
    for (int v = 0; v < kVectors; ++v) total[v] = first ? part[v] : r.combine(total[v], part[v]);
    first = false;
  }
  const Vec<T> sum = r.combine(r.combine(total[0], total[1]), r.combine(total[2], total[3]));
  Compute<T> lanes[kLanes<T>];
  store<T>(lanes, sum);
  for (int width = kLanes<T> / 2; width > 0; width /= 2)
    for (int l = 0; l < width; ++l) lanes[l] = r.combine(lanes[l], lanes[l + width]);
  Compute<T> value = lanes[0];
  for (; i < count; ++i) value = r.combine(value, to_compute(x[i]));
  return value;
}

// One row of Y.
template <typename R>
void pool_row(const R& r, Rows<typename R::Stored> rows, const Axis& columns,
              const typename R::Stored* end, typename R::Stored* y) {
  using T = typename R::Stored;
  using C = Compute<T>;
  constexpr bool kStoredAsComputed = sizeof(T) == sizeof(C);
  const T* x = rows.first;
  const auto finish = [&](int64_t j, C value, int64_t width) {
    y[j] = from_compute<T>(r.finish(value, static_cast<C>(rows.count() * width)));
  };

  if constexpr (kStoredAsComputed && !R::kMaps) {
    if (rows.count() == 1) {
      for (int64_t j = 0; j < columns.bins; ++j) {
        const Window w = columns.windows[j];
        finish(j, reduce_values(r, x + w.start, w.end - w.start), w.end - w.start);
      }
      return;
    }
  }

  alignas(64) C buffer[kTile + kLanes<T>];
  const auto reduce_to_buffer = [&](int64_t start, int64_t end_column) {
    rows.first = x + start;
    rows.columns = end_column - start;
    reduce_rows(r, rows, end, buffer);
  };
  for (int64_t j = 0; j < columns.bins;) {
    const Window first = columns.windows[j];
    if (first.end - first.start > kTile) {
      C value{};
      for (int64_t start = first.start; start < first.end; start += kTile) {
        const int64_t stop = least(start + kTile, first.end);
        reduce_to_buffer(start, stop);
        const C part = reduce_values(r, buffer, stop - start);
        value = start == first.start ? part : r.combine(value, part);
      }
      finish(j++, value, first.end - first.start);
      continue;
    }
    int64_t stop = j + 1;
    while (stop < columns.bins && columns.windows[stop].end - first.start <= kTile) ++stop;
    reduce_to_buffer(first.start, columns.windows[stop - 1].end);
    for (; j < stop; ++j) {
      const Window w = columns.windows[j];
      finish(j, reduce_values(r, buffer + (w.start - first.start), w.end - w.start),
             w.end - w.start);
    }
  }
}

// Units first_unit to last_unit of a job.
template <typename R>
void pool(const R& r, const Job& job, int64_t first_unit, int64_t last_unit) {
  using T = typename R::Stored;
  const T* x = static_cast<const T*>(job.x);
  const int64_t row = job.w.length, slice = job.h.length * row, plane = job.d.length * slice;
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t p = unit / job.units_per_plane();
    const int64_t u = unit % job.units_per_plane();
    const Window d = job.d.windows[u / job.h.bins];
    const Window h = job.h.windows[u % job.h.bins];
    const Rows<T> rows{x + p * plane + d.start * slice + h.start * row,
                       d.end - d.start,
                       slice,
                       h.end - h.start,
                       row,
                       row};
    pool_row(r, rows, job.w, x + job.x_elements, static_cast<T*>(job.y) + unit * job.w.bins);
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
