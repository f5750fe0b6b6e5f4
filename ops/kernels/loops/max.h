// Y = max(X), a NaN being greater than everything; and where the maximum is.
#pragma once

#include <math.h>

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Max : AsTheyAre<T> {
  static Compute<T> identity() { return -HUGE_VALF; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return maximum(a, b); }
  static Vec<T> finish(Vec<T> maximum, const Divisor<T>&) { return maximum; }
};

template <typename T>
void max(const Job& job, int64_t first_item, int64_t last_item) {
  pool(Max<T>{}, job, first_item, last_item);
}

// Maxima of several planes, and the numbers of the row and of the column that they are in. Of equal
// maxima the first counts, row by row, and of NaNs the last, as in PyTorch's
// AdaptiveMaxPoolKernel.cpp.
template <typename T>
struct Maxima {
  Vec<T> value;
  IntegerVec<T> row, column;

  // Takes those of another column, which is further right.
  void take(const Maxima& other) {
    const auto nan = other.value != other.value;
    const auto better = (other.value > value) | ((other.value == value) & (other.row < row)) |
                        (nan & ((value == value) | (other.row >= row)));
    value = better ? other.value : value;
    row = better ? other.row : row;
    column = better ? other.column : column;
  }
};

// The maxima of columns, over some rows.
template <typename T>
class ColumnMaxima {
 public:
  ColumnMaxima(const Strip<T>& strip, const Rows& rows, const Axis& w)
      : strip_(strip), rows_(rows), w_(w) {}

  Maxima<T> operator[](int64_t column) {
    if (column < from_ || column >= to_) read(column, least(column + kTile, w_.length));
    const IntegerVec<T> number = IntegerVec<T>{} + static_cast<Integer<T>>(column);
    return {values_[column - from_], bits_as<Vec<T>, IntegerVec<T>>(numbers_[column - from_]),
            number};
  }

 private:
  void read(int64_t from, int64_t to) {
    from_ = from, to_ = to;
    with_load(strip_, strip_.x[strip_.planes - 1] + rows_.last(), from, to,
              [&](const auto& load_from) {
                for (int64_t column = from; column < to; column += kLanes<T>)
                  find(column, load_from, values_ + (column - from), numbers_ + (column - from));
              });
    for (int64_t i = 0; i < to - from; i += kLanes<T>) {
      transpose<T>(values_ + i);
      transpose<T>(numbers_ + i);
    }
  }

  // The rows' numbers are put in vectors of T, to be transposed alike.
  template <typename Load>
  void find(int64_t column, const Load& load_from, Vec<T>* values, Vec<T>* numbers) {
    for (int plane = 0; plane < kLanes<T>; ++plane) {
      const T* x = strip_.x[plane] + rows_.first;
      Vec<T> maximum = load_from(x, column);
      IntegerVec<T> at = {}, number = {};
      for (int64_t i = 0; i < rows_.d.count; ++i)
        for (int64_t j = 0; j < rows_.h.count; ++j, number += 1) {
          const Vec<T> value = load_from(x + i * rows_.d.stride + j * rows_.h.stride, column);
          const auto better = (value > maximum) | (value != value);
          maximum = better ? value : maximum;
          at = better ? number : at;
        }
      values[plane] = maximum;
      numbers[plane] = bits_as<IntegerVec<T>, Vec<T>>(at);
    }
  }

  const Strip<T>& strip_;
  const Rows& rows_;
  const Axis& w_;
  int64_t from_ = 0, to_ = 0;
  Vec<T> values_[kTile + kLanes<T>], numbers_[kTile + kLanes<T>];
};

// The position in its plane of an element.
[[maybe_unused]] int64_t position(const Rows& rows, int64_t row, int64_t column) {
  if (rows.d.count == 1) return rows.first + row * rows.h.stride + column;
  return rows.first + row / rows.h.count * rows.d.stride + row % rows.h.count * rows.h.stride +
         column;
}

template <typename T>
void max_with_indices(const Job& job, int64_t first_item, int64_t last_item) {
  const int64_t bins = rows_per_plane(job) * job.w.bins;
  for_each_strip<T>(job, first_item, last_item,
                    [&](int64_t plane, int64_t planes, int64_t first_row, int64_t last_row) {
                      const Strip<T> strip(job, plane, planes);
                      Results<T> results(job.y, plane, planes, bins, first_row * job.w.bins);
                      int64_t* indices = job.indices + plane * bins + first_row * job.w.bins;
                      for_each_row(job, first_row, last_row, [&](const Rows& rows) {
                        ColumnMaxima<T> columns(strip, rows, job.w);
                        for (int64_t j = 0; j < job.w.bins; ++j, ++indices) {
                          const Window window = job.w.windows[j];
                          Maxima<T> maxima = columns[window.start];
                          for (int64_t c = window.start + 1; c < window.end; ++c)
                            maxima.take(columns[c]);
                          results.push(maxima.value);
                          for (int p = 0; p < planes; ++p)
                            indices[p * bins] =
                                position(rows, lane<T>(maxima.row, p), lane<T>(maxima.column, p));
                        }
                      });
                    });
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
