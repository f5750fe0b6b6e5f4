// Y = max(X), a NaN being greater than everything; and where the maximum is.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Max {
  using Stored = T;
  static constexpr bool kFinishes = false;

  template <typename V>
  V combine(V a, V b) const {
    const V greater = a > b ? a : b;  // b where either is NaN
    return a != a ? a : greater;
  }

  // For single values a branch that is hardly ever taken is cheaper than a selection.
  Compute<T> combine(Compute<T> a, Compute<T> b) const {
    if (ONNXPOOL_UNLIKELY(a != a)) return a;
    return a > b ? a : b;
  }

  template <typename V>
  V finish(V maximum, V) const {
    return maximum;
  }
};

template <typename T>
void max(const Job& job, int64_t first_unit, int64_t last_unit) {
  pool(Max<T>{}, job, first_unit, last_unit);
}

// The maximum of each column of some rows, and the number of the row it is in. Of equal maxima the
// first counts, of NaNs the last, as in PyTorch's AdaptiveMaxPoolKernel.cpp.
template <typename T>
struct ColumnMaxima {
  alignas(64) Compute<T> values[kTile];
  alignas(64) Integer<T> rows[kTile];

  void find(const Rows<T>& x, const T* end) {
    const bool whole = x.last() + whole_vectors<T>(x.columns) <= end;
    for (int64_t column = 0; column < x.columns; column += kLanes<T>) {
      if (const int64_t left = x.columns - column; whole || left >= kLanes<T>)
        find(x, column, [](const T* p) { return load(p); });
      else
        find(x, column, [left](const T* p) { return load_part(p, left); });
    }
  }

 private:
  template <typename Load>
  void find(const Rows<T>& x, int64_t column, const Load& load_from) {
    Vec<T> maximum = load_from(x.first + column);
    IntegerVec<T> at = {}, number = {};
    for (int64_t group = 0; group < x.groups; ++group) {
      const T* row = x.first + group * x.group_stride + column;
      for (int64_t i = 0; i < x.rows; ++i, row += x.row_stride, number += 1) {
        const Vec<T> value = load_from(row);
        const auto better = (value > maximum) | (value != value);
        maximum = better ? value : maximum;
        at = better ? number : at;
      }
    }
    store<T>(values + column, maximum);
    std::memcpy(rows + column, &at, sizeof at);
  }
};

// The maximum of a window, whose columns are seen from left to right.
template <typename T>
struct WindowMaximum {
  Compute<T> value;
  int64_t row = -1, column;

  void see(Compute<T> other, int64_t other_row, int64_t other_column) {
    const bool nan = other != other;
    const bool better = row < 0                 ? true
                        : other == value        ? other_row < row
                        : nan && value != value ? other_row >= row
                                                : nan || other > value;
    if (better) *this = {other, other_row, other_column};
  }
};

template <typename T>
void max_with_indices(const Job& job, int64_t first_unit, int64_t last_unit) {
  const T* end = static_cast<const T*>(job.x) + job.x_elements;
  T* y = static_cast<T*>(job.y) + first_unit * job.w.bins;
  int64_t* indices = job.indices + first_unit * job.w.bins;
  ColumnMaxima<T> maxima;
  Units<T> units(job, first_unit);
  for (int64_t unit = first_unit; unit < last_unit; ++unit, units.next()) {
    const Rows<T> rows = units.rows();
    int64_t from = 0, to = 0;  // The columns in `maxima`.
    for (int64_t j = 0; j < job.w.bins; ++j) {
      const Window w = job.w.windows[j];
      WindowMaximum<T> maximum;
      for (int64_t column = w.start; column < w.end; ++column) {
        if (column < from || column >= to) {
          from = column;
          to = least(from + kTile, job.w.length);
          maxima.find(rows.part(from, to), end);
        }
        maximum.see(maxima.values[column - from], maxima.rows[column - from], column);
      }
      *y++ = from_compute<T>(maximum.value);
      *indices++ = units.position(rows, maximum.row, maximum.column);
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
