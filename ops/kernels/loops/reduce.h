// The loops that all poolings share: a window is reduced row by row, then column by column.
//
// A reduction R says what happens to the values:
//
//     using Stored              element type of X and Y
//     kFinishes                 whether finish is not the identity
//     V combine(V a, V b)       + or max; associative, and R starts from the first element
//     V finish(V v, V n)        of windows with n elements
//
// for V a vector or a single value of the type R computes in.
//
// Sums are made in trees and blocks, so that rounding errors grow with the number of blocks and not
// with the number of elements (Higham: The accuracy of floating point summation, SIAM J. Sci.
// Comput. 14, 1993).
#pragma once

#include "job.h"
#include "simd.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// Rows that are reduced in one pass.
constexpr int kRows = 8;

// How much is reduced together, so that the buffers stay in the first-level cache: values of rows,
// windows, and units.
constexpr int64_t kTile = 2048, kBins = 256, kUnits = 32;

// Vectors, or passes, that are summed up before their sum is added to others.
constexpr int64_t kBlock = 64;

// A number that a template can take.
template <int kValue>
struct Int {
  static constexpr int value = kValue;
};

// Calls f(Int<n>{}) for an n of 1 to 8.
template <typename F>
void with_constant(int64_t n, const F& f) {
  switch (n) {
    case 1:
      return f(Int<1>{});
    case 2:
      return f(Int<2>{});
    case 3:
      return f(Int<3>{});
    case 4:
      return f(Int<4>{});
    case 5:
      return f(Int<5>{});
    case 6:
      return f(Int<6>{});
    case 7:
      return f(Int<7>{});
    default:
      return f(Int<8>{});
  }
}

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename T>
constexpr int64_t whole_vectors(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

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
  Rows part(int64_t from, int64_t to) const {
    return {first + from, groups, group_stride, rows, row_stride, to - from};
  }
};

// get(0), …, get(kCount - 1) reduced as a tree.
template <int kCount, typename R, typename Get>
auto tree(const R& r, const Get& get) {
  if constexpr (kCount == 1) {
    return get(0);
  } else {
    constexpr int kHalf = kCount / 2;
    return r.combine(tree<kHalf>(r, get),
                     tree<kCount - kHalf>(r, [&](int i) { return get(kHalf + i); }));
  }
}

// kCount rows from `row` on, reduced to one in `out`, or combined with what is there.
template <int kCount, typename R, typename T = typename R::Stored>
void reduce_pass(const R& r, const T* row, int64_t stride, int64_t columns, bool whole, bool first,
                 Compute<T>* out) {
  const auto step = [&](int64_t column, const auto& load_from) {
    Vec<T> v = tree<kCount>(r, [&](int i) { return load_from(row + i * stride + column); });
    if (!first) v = r.combine(load_computed<T>(out + column), v);
    store<T>(out + column, v);
  };
  int64_t column = 0;
  const int64_t stop = whole ? columns : columns - columns % kLanes<T>;
  for (; column < stop; column += kLanes<T>) step(column, [](const T* p) { return load(p); });
  if (column < columns) step(column, [&](const T* p) { return load_part(p, columns - column); });
}

// All columns of a few `rows`, reduced to one row.
template <typename R, typename T = typename R::Stored>
void reduce_few_rows(const R& r, const Rows<T>& rows, const T* end, Compute<T>* out) {
  const bool whole = rows.last() + whole_vectors<T>(rows.columns) <= end;
  bool first = true;
  for (int64_t group = 0; group < rows.groups; ++group) {
    const T* row = rows.first + group * rows.group_stride;
    for (int64_t left = rows.rows; left > 0; left -= kRows, row += kRows * rows.row_stride) {
      with_constant(least(left, kRows), [&](auto count) {
        constexpr int kCount = decltype(count)::value;
        reduce_pass<kCount>(r, row, rows.row_stride, rows.columns, whole, first, out);
      });
      first = false;
    }
  }
}

// The same for any number of rows. Whole vectors are read, and written to `out`; only past `end`,
// the end of X, nothing is read.
template <typename R, typename T = typename R::Stored>
void reduce_rows(const R& r, const Rows<T>& rows, const T* end, Compute<T>* out) {
  constexpr int64_t kFew = kRows * kBlock;
  if (rows.count() <= kFew) return reduce_few_rows(r, rows, end, out);
  alignas(64) Compute<T> part[kTile];
  const int64_t groups = rows.rows < kFew ? kFew / rows.rows : 1;
  for (int64_t group = 0; group < rows.groups; group += groups) {
    for (int64_t row = 0; row < rows.rows; row += kFew) {
      const Rows<T> few{rows.first + group * rows.group_stride + row * rows.row_stride,
                        least(groups, rows.groups - group),
                        rows.group_stride,
                        least(kFew, rows.rows - row),
                        rows.row_stride,
                        rows.columns};
      const bool first = group == 0 && row == 0;
      reduce_few_rows(r, few, end, first ? out : part);
      for (int64_t i = 0; !first && i < rows.columns; i += kLanes<T>)
        store<T>(out + i, r.combine(load_computed<T>(out + i), load_computed<T>(part + i)));
    }
  }
}

// x[0] to x[count - 1], reduced to one value.
template <typename R, typename C>
C reduce_few(const R& r, const C* x, int64_t count) {
  if (count < 4) {
    C value = x[0];
    for (int64_t i = 1; i < count; ++i) value = r.combine(value, x[i]);
    return value;
  }
  C part[4] = {x[0], x[1], x[2], x[3]};
  int64_t i = 4;
  for (; i + 4 <= count; i += 4)
    for (int l = 0; l < 4; ++l) part[l] = r.combine(part[l], x[i + l]);
  C value = tree<4>(r, [&](int l) { return part[l]; });
  for (; i < count; ++i) value = r.combine(value, x[i]);
  return value;
}

// The same for whole sets of kVectors vectors, of which there are `steps`.
template <int kVectors, typename R, typename C>
C reduce_vectors(const R& r, const C* x, int64_t steps) {
  Vec<C> total[kVectors] = {};
  for (int64_t step = 0; step < steps;) {
    Vec<C> part[kVectors];
    for (int v = 0; v < kVectors; ++v) part[v] = load(x + v * kLanes<C>);
    x += kVectors * kLanes<C>;
    const int64_t stop = least(step + kBlock, steps);
    for (int64_t i = step + 1; i < stop; ++i, x += kVectors * kLanes<C>)
      for (int v = 0; v < kVectors; ++v) part[v] = r.combine(part[v], load(x + v * kLanes<C>));
    for (int v = 0; v < kVectors; ++v)
      total[v] = step == 0 ? part[v] : r.combine(total[v], part[v]);
    step = stop;
  }
  C lanes[kLanes<C>];
  store<C>(lanes, tree<kVectors>(r, [&](int v) { return total[v]; }));
  return tree<kLanes<C>>(r, [&](int l) { return lanes[l]; });
}

// The same for any number of values.
template <typename R, typename C>
C reduce_values(const R& r, const C* x, int64_t count) {
  constexpr int64_t kOne = kLanes<C>, kFour = 4 * kLanes<C>;
  if (count < 2 * kOne) return reduce_few(r, x, count);
  const int64_t step = count < kFour ? kOne : kFour;
  const int64_t steps = count / step, rest = count % step;
  C value = step == kOne ? reduce_vectors<1>(r, x, steps) : reduce_vectors<4>(r, x, steps);
  if (rest > 0) value = r.combine(value, reduce_few(r, x + steps * step, rest));
  return value;
}

// Windows of an axis, of which the shortest has `shortest` elements and the longest one more.
struct Windows {
  const Window* first;
  int64_t count;
  int64_t shortest;

  int64_t start() const { return first[0].start; }
  int64_t end() const { return first[count - 1].end; }
};

// Each window of each row, reduced to one value. The rows begin at the start of the first window.
template <typename R, typename C>
void reduce_columns(const R& r, const C* const* rows, int64_t row_count, const Windows& windows,
                    C* out) {
  const auto each = [&](const auto& reduce_window) {
    for (int64_t row = 0; row < row_count; ++row) {
      const C* x = rows[row] - windows.start();
      for (int64_t j = 0; j < windows.count; ++j) {
        const Window w = windows.first[j];
        *out++ = reduce_window(x + w.start, w.end - w.start);
      }
    }
  };
  if (windows.shortest > 8)
    return each([&](const C* x, int64_t count) { return reduce_values(r, x, count); });
  with_constant(windows.shortest, [&](auto shortest) {
    constexpr int kShortest = decltype(shortest)::value;
    each([&](const C* x, int64_t count) {
      const C value = tree<kShortest>(r, [&](int i) { return x[i]; });
      return count > kShortest ? r.combine(value, x[kShortest]) : value;
    });
  });
}

// Values of windows, and how many elements of X are in each. Whole vectors are read and written, so
// there is room for one more.
template <typename T>
struct Results {
  static constexpr int64_t kSize = kBins + kLanes<T>;
  alignas(64) Compute<T> values[kSize];
  alignas(64) Compute<T> counts[kSize];
  alignas(64) Compute<T> widths[kSize];

  // What a stack holds by chance are subnormal numbers, which take a CPU a hundred times as long:
  // no lane is left as it was.
  explicit Results(const Windows& windows) {
    for (int64_t j = 0; j < windows.count; ++j)
      widths[j] = static_cast<Compute<T>>(windows.first[j].end - windows.first[j].start);
    for (int64_t j = windows.count; j < whole_vectors<T>(windows.count); ++j) widths[j] = 1;
  }

  // The counts of `width_count` windows of a unit with `rows` rows, from counts[at] on.
  void count(int64_t at, int64_t rows, int64_t width_count) {
    const Vec<T> n = broadcast<T>(static_cast<Compute<T>>(rows));
    for (int64_t j = 0; j < width_count; j += kLanes<T>)
      store<T>(counts + at + j, n * load_computed<T>(widths + j));
  }

  template <typename R>
  void finish(const R& r, int64_t count, T* y) {
    for (int64_t i = count; i < whole_vectors<T>(count); ++i) values[i] = 1;
    for (int64_t i = 0; i < count; i += kLanes<T>) {
      Vec<T> v = load_computed<T>(values + i);
      if constexpr (R::kFinishes) v = r.finish(v, load_computed<T>(counts + i));
      store_part(y + i, v, least(count - i, kLanes<T>));
    }
  }
};

// `units` rows of Y, or one and only a few windows of it.
template <typename R, typename T = typename R::Stored>
void pool_block(const R& r, const Rows<T>* rows, int64_t units, const Windows& windows,
                const T* end, Results<T>& results, T* y) {
  using C = Compute<T>;
  alignas(64) C buffer[kTile];
  const C* sources[kUnits];
  C* free = buffer;
  for (int64_t u = 0; u < units; ++u) {
    if constexpr (R::kFinishes) results.count(u * windows.count, rows[u].count(), windows.count);
    sources[u] = as_computed(rows[u].first);
    if (sources[u] == nullptr || rows[u].count() > 1) {
      reduce_rows(r, rows[u], end, free);
      sources[u] = free;
      free += whole_vectors<T>(rows[u].columns);
    }
  }
  reduce_columns(r, sources, units, windows, results.values);
  results.finish(r, units * windows.count, y);
}

// One window that is wider than the buffer.
template <typename R, typename T = typename R::Stored>
void pool_wide(const R& r, const Rows<T>& rows, const Windows& window, const T* end, T* y) {
  using C = Compute<T>;
  alignas(64) C buffer[kTile];
  Results<T> results(window);
  results.count(0, rows.count(), 1);
  for (int64_t start = 0; start < rows.columns; start += kTile) {
    const Rows<T> part = rows.part(start, least(start + kTile, rows.columns));
    reduce_rows(r, part, end, buffer);
    const C value = reduce_values(r, buffer, part.columns);
    results.values[0] = start == 0 ? value : r.combine(results.values[0], value);
  }
  results.finish(r, 1, y);
}

// Goes through the units of a job in order.
template <typename T>
class Units {
 public:
  Units(const Job& job, int64_t unit)
      : job_(job),
        slice_(job.h.length * job.w.length),
        plane_(static_cast<const T*>(job.x) + unit / units_per_plane(job) * job.d.length * slice_),
        d_(unit % units_per_plane(job) / job.h.bins),
        h_(unit % job.h.bins) {}

  // The rows of X that this unit pools.
  Rows<T> rows() const {
    const Window d = job_.d.windows[d_], h = job_.h.windows[h_];
    const int64_t row = job_.w.length;
    return {plane_ + d.start * slice_ + h.start * row,
            d.end - d.start,
            slice_,
            h.end - h.start,
            row,
            row};
  }

  // The position in its plane of an element of these rows.
  int64_t position(const Rows<T>& rows, int64_t row, int64_t column) const {
    return rows.first - plane_ + row / rows.rows * rows.group_stride +
           row % rows.rows * rows.row_stride + column;
  }

  void next() {
    if (++h_ < job_.h.bins) return;
    h_ = 0;
    if (++d_ < job_.d.bins) return;
    d_ = 0;
    plane_ += job_.d.length * slice_;
  }

 private:
  const Job& job_;
  const int64_t slice_;
  const T* plane_;
  int64_t d_, h_;
};

// Units first_unit to last_unit of a job.
template <typename R, typename T = typename R::Stored>
void pool(const R& r, const Job& job, int64_t first_unit, int64_t last_unit) {
  const T* end = static_cast<const T*>(job.x) + job.x_elements;
  T* y = static_cast<T*>(job.y) + first_unit * job.w.bins;
  Units<T> units(job, first_unit);
  const Windows all{job.w.windows, job.w.bins, (job.w.length + job.w.bins - 1) / job.w.bins};
  const int64_t padded = whole_vectors<T>(job.w.length);

  if (padded <= kTile && all.count <= kBins) {
    const int64_t most = least(kUnits, least(kTile / padded, kBins / all.count));
    Rows<T> rows[kUnits];
    Results<T> results(all);
    for (int64_t unit = first_unit; unit < last_unit; unit += most) {
      const int64_t count = least(most, last_unit - unit);
      for (int64_t u = 0; u < count; ++u, units.next()) rows[u] = units.rows();
      pool_block(r, rows, count, all, end, results, y);
      y += count * all.count;
    }
    return;
  }

  for (int64_t unit = first_unit; unit < last_unit; ++unit, units.next()) {
    for (Windows some = all; some.first < all.first + all.count; some.first += some.count) {
      const Window* stop = all.first + all.count;
      some.count = 1;
      while (some.first + some.count < stop && some.count < kBins &&
             some.first[some.count].end - some.start() <= kTile - kLanes<T>)
        ++some.count;
      const Rows<T> rows = units.rows().part(some.start(), some.end());
      if (whole_vectors<T>(rows.columns) > kTile) {
        pool_wide(r, rows, some, end, y);
      } else {
        Results<T> results(some);
        pool_block(r, &rows, 1, some, end, results, y);
      }
      y += some.count;
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
