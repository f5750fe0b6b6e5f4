// The loops that all poolings share: a window is reduced row by row, then column by column.
//
// As many planes are pooled together as a vector has lanes. The rows of a window are reduced in
// vectors over columns, one for each plane; these are transposed, and the columns are reduced in
// vectors over planes, or, where windows are as wide as vectors, each is reduced over its lanes. So
// no lane is idle where windows are narrow. X is read in the order of its elements where a row fits
// in a few registers, which a CPU fetches ahead: one plane after the other, all rows of it.
//
// A reduction R says what happens to the values:
//
//     using Stored                    element type of X
//     C identity()                    combine(identity(), v) is v
//     Vec combine(Vec a, Vec b)       associative
//     kRows                           how many rows are reduced in one pass; 1 where map does
//                                     something
//     kPlanes                         how many planes are mapped together
//     map(Vec (&x)[kPlanes], plane)   makes what is combined of elements of X, in planes from that
//                                     one on
//
// for C the type that R computes in, and Vec a vector of it.
//
// Sums are made in blocks, so that rounding errors grow with the number of blocks and not with the
// number of elements (Higham: The accuracy of floating point summation, SIAM J. Sci. Comput. 14,
// 1993).
#pragma once

#include <cstring>

#include "arithmetic.h"
#include "job.h"
#include "memory.h"
#include "transpose.h"
#include "vector.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// Planes that are read at the same time: not more, as planes of 2^n elements share lines of a
// cache.
template <typename T>
constexpr int kStreams = kLanes<T> < 4 ? kLanes<T> : 4;

// A window of more elements is read in vectors along its rows.
constexpr int64_t kShort = 32;

// Columns that are transposed together, so that they stay in the first-level cache.
constexpr int64_t kTile = 128;

// reduce_rows makes sums of at most so many rows; longer chains would lose accuracy.
constexpr int64_t kFewRows = 512;

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

constexpr int64_t length(const Window& window) { return window.end - window.start; }

// As many elements in whole vectors.
template <typename T>
constexpr int64_t padded(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// The length of the longest window.
[[maybe_unused]] int64_t longest(const Axis& axis) {
  int64_t most = 0;
  for (int64_t i = 0; i < axis.bins; ++i)
    if (length(axis.windows[i]) > most) most = length(axis.windows[i]);
  return most;
}

// Bytes of X from which on it is fetched ahead. A CPU sees no pattern in a few rows of one plane
// after those of another, and a smaller X may be in a cache.
constexpr int64_t kFetchedAhead = 4 * 1024 * 1024;

// Bytes of a strip, at most, of which two fit in a second-level cache.
constexpr int64_t kSmallStrip = 320 * 1024;

// Some planes of X, at most kLanes<T>.
template <typename T>
struct Strip {
  const T* x[kLanes<T>];  // Each plane's first element.
  const T* end;           // The end of X.
  int64_t planes;
  bool fetches_ahead;
  int64_t next;  // How many elements ahead: the next strip, or, if 0, the next rows.

  Strip(const Job& job, int64_t plane, int64_t count)
      : planes(count),
        fetches_ahead(job.x_elements * static_cast<int64_t>(sizeof(T)) >= kFetchedAhead) {
    const int64_t size = job.d.length * job.h.length * job.w.length;
    next = kLanes<T> * size * static_cast<int64_t>(sizeof(T)) <= kSmallStrip ? kLanes<T> * size : 0;
    const T* first = static_cast<const T*>(job.x);
    for (int64_t p = 0; p < kLanes<T>; ++p) x[p] = first + (plane + least(p, count - 1)) * size;
    end = first + job.x_elements;
  }
};

// Elements that are `stride` apart.
struct Steps {
  int64_t count, stride;
};

// Rows of a plane: d.count times h.count of them, from the element number `first` on.
struct Rows {
  int64_t first;
  Steps d, h;

  int64_t count() const { return d.count * h.count; }
  int64_t last() const { return first + (d.count - 1) * d.stride + (h.count - 1) * h.stride; }
};

// Calls visit(rows) with what each row of Y from first to last is pooled from.
template <typename Visit>
void for_each_row(const Job& job, int64_t first, int64_t last, const Visit& visit) {
  const int64_t stride = job.w.length, slice = job.h.length * stride;
  const Window* d = job.d.windows + first / job.h.bins;
  const Window* h = job.h.windows + first % job.h.bins;
  for (int64_t row = first; row < last; ++row) {
    visit(Rows{d->start * slice + h->start * stride, {length(*d), slice}, {length(*h), stride}});
    if (++h == job.h.windows + job.h.bins) h = job.h.windows, ++d;
  }
}

// A number that a template can take.
template <int kValue>
struct Int {
  static constexpr int value = kValue;
};

// Calls f(Int<n>{}) for an n of 1 to kMost.
template <int kMost, int kFrom = 1, typename F>
ONNXPOOL_INLINE inline void with_constant(int64_t n, const F& f) {
  if constexpr (kFrom < kMost)
    if (n > kFrom) return with_constant<kMost, kFrom + 1>(n, f);
  f(Int<kFrom>{});
}

// get(0), …, get(kCount - 1) combined as a tree.
template <int kCount, typename R, typename Get>
ONNXPOOL_INLINE inline auto tree(const R& r, const Get& get) {
  if constexpr (kCount == 1) {
    return get(0);
  } else {
    constexpr int kHalf = kCount / 2;
    return r.combine(tree<kHalf>(r, get), tree<kCount - kHalf>(r, [&](int i) ONNXPOOL_INLINE {
                       return get(kHalf + i);
                     }));
  }
}

// Asks for `count` elements to be brought near, which may lie behind the end of X.
template <typename T>
void fetch_ahead([[maybe_unused]] const T* x, [[maybe_unused]] int64_t count) {
#if defined(__GNUC__)
  constexpr int64_t kLine = 64 / sizeof(T);
  constexpr int kToRead = 0, kToSecondLevel = 2;
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(x + i, kToRead, kToSecondLevel);
#endif
}

// Columns from `from` to `to` of each plane, reduced over rows: vector i of plane p is
// lines[i * kLanes<T> + p]. load_from(x, column) is the vector at x + column.
template <typename R, typename Load, typename T = typename R::Stored>
void reduce_rows(const R& r, const Strip<T>& strip, const Rows& rows, int64_t from, int64_t to,
                 const Load& load_from, Vec<T>* lines) {
  bool first = true;
  for (int64_t i = 0; i < rows.d.count; ++i)
    for (int64_t j = 0; j < rows.h.count; j += R::kRows) {
      const int64_t stride = rows.h.stride;
      const int64_t at = rows.first + i * rows.d.stride + j * stride;
      with_constant<R::kRows>(least(rows.h.count - j, R::kRows), [&](auto count) ONNXPOOL_INLINE {
        const auto vectors = [&](int plane, int64_t column, Vec<T>* line) ONNXPOOL_INLINE {
          Vec<T> v[R::kPlanes];
          for (int p = 0; p < R::kPlanes; ++p) {
            const T* x = strip.x[plane + p] + at;
            v[p] = tree<decltype(count)::value>(
                r, [&](int k) ONNXPOOL_INLINE { return load_from(x + k * stride, column); });
          }
          r.map(v, plane);
          for (int p = 0; p < R::kPlanes; ++p) line[p] = first ? v[p] : r.combine(line[p], v[p]);
        };
        if (to - from <= kLanes<T>) {
          for (int plane = 0; plane < strip.planes; plane += R::kPlanes)
            vectors(plane, from, lines + plane);
          return;
        }
        for (int plane = 0; plane < strip.planes; plane += R::kPlanes) {
          for (int64_t column = from, i = 0; column < to; column += kLanes<T>, i += kLanes<T>)
            vectors(plane, column, lines + plane + i);
          // Not where rows are read in parts.
          if (!strip.fetches_ahead || stride > kTile) continue;
          const int64_t ahead = strip.next > 0 ? strip.next : rows.h.count * stride;
          for (int p = plane; p < plane + R::kPlanes; ++p)
            fetch_ahead(strip.x[p] + at + ahead, decltype(count)::value * stride);
        }
      });
      first = false;
    }
}

// Calls f(load_from), with load_from(x, column) the vector at x + column, for columns from `from`
// to `to` of rows up to last_row; nothing is read past the end of X.
template <typename T, typename F>
void with_load(const Strip<T>& strip, const T* last_row, int64_t from, int64_t to, const F& f) {
  if (last_row + from + padded<T>(to - from) <= strip.end)
    f([](const T* x, int64_t column) ONNXPOOL_INLINE { return load(x + column); });
  else
    f([to](const T* x, int64_t column)
          ONNXPOOL_INLINE { return load_part(x + column, least(to - column, kLanes<T>)); });
}

// The same as reduce_rows, wherever the columns are in X.
template <typename R, typename T = typename R::Stored>
void read_lines(const R& r, const Strip<T>& strip, const Rows& rows, int64_t from, int64_t to,
                Vec<T>* lines) {
  with_load(strip, strip.x[strip.planes - 1] + rows.last(), from, to, [&](const auto& load_from) {
    reduce_rows(r, strip, rows, from, to, load_from, lines);
  });
  // Any ordinary number: what a stack holds by chance may be subnormal, and slow.
  for (int64_t i = 0; i < to - from; i += kLanes<T>)
    for (int64_t plane = strip.planes; plane < kLanes<T>; ++plane) lines[i + plane] = lines[i];
}

// The same, transposed: column c is columns[c - from], a vector over planes.
template <typename R, typename T = typename R::Stored>
void read_columns(const R& r, const Strip<T>& strip, const Rows& rows, int64_t from, int64_t to,
                  Vec<T>* columns) {
  read_lines(r, strip, rows, from, to, columns);
  for (int64_t i = 0; i < to - from; i += kLanes<T>) transpose<T>(columns + i);
}

// For each plane the `steps` vectors from `column` on, of all rows, reduced to one. The sum of n
// numbers is made in blocks of about the root of n.
template <typename R, typename T = typename R::Stored>
void fold_rows(const R& r, const Strip<T>& strip, const Rows& rows, int64_t column, int64_t steps,
               Vec<T>* lines) {
  int64_t block = 64;
  while (block * block < rows.count() * steps) block *= 2;
  for (int plane = 0; plane < kLanes<T>; plane += kStreams<T>) {
    if (plane >= strip.planes) {
      for (int s = 0; s < kStreams<T>; ++s) lines[plane + s] = lines[0];
      continue;
    }
    Vec<T> part[kStreams<T>], total[kStreams<T>];
    for (int s = 0; s < kStreams<T>; ++s) part[s] = total[s] = broadcast<T>(r.identity());
    int64_t left = block;
    for (int64_t i = 0; i < rows.d.count; ++i)
      for (int64_t j = 0; j < rows.h.count; ++j) {
        int64_t at = rows.first + i * rows.d.stride + j * rows.h.stride + column;
        for (int64_t k = 0; k < steps; ++k, at += kLanes<T>) {
          for (int s = 0; s < kStreams<T>; s += R::kPlanes) {
            Vec<T> v[R::kPlanes];
            for (int p = 0; p < R::kPlanes; ++p) v[p] = load(strip.x[plane + s + p] + at);
            r.map(v, plane + s);
            for (int p = 0; p < R::kPlanes; ++p) part[s + p] = r.combine(part[s + p], v[p]);
          }
          if (--left > 0) continue;
          left = block;
          for (int s = 0; s < kStreams<T>; ++s) {
            total[s] = r.combine(total[s], part[s]);
            part[s] = broadcast<T>(r.identity());
          }
        }
      }
    for (int s = 0; s < kStreams<T>; ++s) lines[plane + s] = r.combine(total[s], part[s]);
  }
}

// One window, however wide: its rows are folded to as many columns as a vector has lanes.
template <typename R, typename T = typename R::Stored>
Vec<T> reduce_window(const R& r, const Strip<T>& strip, Rows rows, const Window& window) {
  int64_t columns = length(window);
  // Rows, and slices, that follow each other are one row.
  if (columns == rows.h.stride) columns *= rows.h.count, rows.h.count = 1;
  if (columns == rows.d.stride) columns *= rows.d.count, rows.d.count = 1;
  const int64_t rest = columns % kLanes<T>, whole = columns - rest;
  Vec<T> lines[kLanes<T>], last[kLanes<T>];
  if (whole > 0) fold_rows(r, strip, rows, window.start, whole / kLanes<T>, lines);
  if (rest > 0) {
    read_lines(r, strip, rows, window.start + whole, window.start + columns, last);
    const auto here = lane_numbers<T>() < static_cast<Integer<T>>(rest);
    for (Vec<T>& line : last) line = here ? line : broadcast<T>(r.identity());
  }
  for (int i = 0; i < kLanes<T>; ++i)
    lines[i] = whole == 0 ? last[i] : rest == 0 ? lines[i] : r.combine(lines[i], last[i]);
  return reduce_lanes(r, lines);
}

// columns[from] to columns[to - 1], reduced to one.
template <typename R, typename T = typename R::Stored>
Vec<T> reduce_columns(const R& r, const Vec<T>* columns, int64_t from, int64_t to) {
  Vec<T> v = columns[from];
  for (int64_t c = from + 1; c < to; ++c) v = r.combine(v, columns[c]);
  return v;
}

// Calls emit(j, v) for each window in order, with v its values reduced, as a vector over planes.
template <typename R, typename Emit, typename T = typename R::Stored>
void reduce_windows(const R& r, const Strip<T>& strip, const Rows& rows, const Axis& w,
                    const Emit& emit) {
  Vec<T> columns[kTile + kLanes<T>];
  const int64_t longest = rows.count() <= kFewRows ? kShort : 0;
  for (int64_t j = 0; j < w.bins;) {
    const int64_t from = w.windows[j].start;
    int64_t stop = j;
    while (stop < w.bins && length(w.windows[stop]) <= longest &&
           w.windows[stop].end - from <= kTile)
      ++stop;
    if (stop == j) {
      emit(j, reduce_window(r, strip, rows, w.windows[j]));
      ++j;
      continue;
    }
    read_columns(r, strip, rows, from, w.windows[stop - 1].end, columns);
    for (; j < stop; ++j)
      emit(j, reduce_columns(r, columns, w.windows[j].start - from, w.windows[j].end - from));
  }
}

// Vectors of a row that are reduced over rows together, in registers.
constexpr int kAtOnce = 12;

// Bytes of the rows of Y that are reduced together: where they are not all of a strip, X is read in
// parts of planes.
constexpr int64_t kBand = 64 * 1024;

// Rows that are summed one after the other: about the root of kFewRows.
constexpr int64_t kRun = 16;

// Rows of a plane that follow each other, from the element number `first` on: all that a row of Y
// is pooled from, or some.
struct Run {
  int64_t first, rows;
  bool starts;  // The first of a row of Y.
};

// How many runs a row of Y has at most.
[[maybe_unused]] int64_t most_runs(const Job& job) {
  return longest(job.d) * ((longest(job.h) + kRun - 1) / kRun);
}

// The runs for the rows of Y from first_row to last_row; returns their end.
[[maybe_unused]] const Run* list_runs(const Job& job, int64_t first_row, int64_t last_row,
                                      Run* runs) {
  for_each_row(job, first_row, last_row, [&](const Rows& rows) {
    for (int64_t i = 0; i < rows.d.count; ++i)
      for (int64_t j = 0; j < rows.h.count; j += kRun)
        *runs++ = {rows.first + i * rows.d.stride + j * rows.h.stride,
                   least(rows.h.count - j, kRun), i + j == 0};
  });
  return runs;
}

// kCount vectors from x on, reduced over the rows of each run. Those for the first row of Y are in
// lines[0] and behind it, and `next` vectors further those for the next.
template <int kCount, typename R, typename Load, typename T = typename R::Stored>
ONNXPOOL_INLINE inline void fold_columns(const R& r, const T* x, int64_t stride, const Run* runs,
                                         const Run* end, const Load& load_from, Vec<T>* lines,
                                         int64_t next) {
  lines -= next;
  for (const Run* run = runs; run < end; ++run) {
    const T* row = x + run->first;
    Vec<T> v[kCount];
#pragma GCC unroll 12
    for (int c = 0; c < kCount; ++c) v[c] = load_from(row, c * kLanes<T>);
#pragma GCC unroll 1
    for (int64_t k = run->rows; k > 1; --k) {
      row += stride;
#pragma GCC unroll 12
      for (int c = 0; c < kCount; ++c) v[c] = r.combine(v[c], load_from(row, c * kLanes<T>));
    }
    if (run->starts)
      lines += next;
    else
#pragma GCC unroll 12
      for (int c = 0; c < kCount; ++c) v[c] = r.combine(lines[c], v[c]);
#pragma GCC unroll 12
    for (int c = 0; c < kCount; ++c) lines[c] = v[c];
  }
}

// Whole rows of X, reduced for some rows of Y: a row of Y has a line for each of kLanes<T> planes,
// of `vectors` vectors. One plane follows the other, as they do in memory, which a CPU knows to
// read ahead.
template <typename R, typename T = typename R::Stored>
void fold_planes(const R& r, const Job& job, const Strip<T>& strip, const Run* runs, const Run* end,
                 int64_t vectors, Vec<T>* lines) {
  const int64_t width = job.w.length, last = (job.d.length * job.h.length - 1) * width;
  const int64_t parts = (vectors + kAtOnce - 1) / kAtOnce, together = (vectors + parts - 1) / parts;
  with_constant<kAtOnce>(together, [&](auto count) ONNXPOOL_INLINE {
    for (int64_t plane = 0; plane < strip.planes; ++plane)
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t from = least(part * together, vectors - together);
        const T* x = strip.x[plane] + from * kLanes<T>;
        Vec<T>* line = lines + plane * vectors + from;
        with_load(strip, x + last, 0, width - from * kLanes<T>, [&](const auto& load_from) {
          fold_columns<decltype(count)::value>(r, x, width, runs, end, load_from, line,
                                               kLanes<T> * vectors);
        });
      }
  });
  // Any ordinary number: what a stack holds by chance may be subnormal, and slow.
  for (const Run* run = runs; run < end; ++run) {
    if (!run->starts) continue;
    for (int64_t i = strip.planes * vectors; i < kLanes<T> * vectors; ++i)
      lines[i] = broadcast<T>(0);
    lines += kLanes<T> * vectors;
  }
}

// A window of the lines, reduced to one, for each of some rows of Y: that of row i is
// reduced[i * step]. It has at most kParts vectors, and more than kParts - 1.
template <int kParts, typename R, typename T = typename R::Stored>
void reduce_lines(const R& r, const Vec<T>* lines, int64_t vectors, const Window& window,
                  int64_t rows, Vec<T>* reduced, int64_t step) {
  const auto* at = reinterpret_cast<const Compute<T>*>(lines) + window.start;
  const auto in_last = static_cast<Integer<T>>(length(window) - (kParts - 1) * kLanes<T>);
  const Mask<T> is_in_last = lane_numbers<T>() < in_last;
  const Vec<T> identity = broadcast<T>(r.identity());
  for (int64_t row = 0; row < rows; ++row) {
    Vec<T> v[kLanes<T>];
#pragma GCC unroll 16
    for (int plane = 0; plane < kLanes<T>; ++plane, at += vectors * kLanes<T>) {
      const Vec<T> last = load<Compute<T>>(at + (kParts - 1) * kLanes<T>);
      v[plane] = is_in_last ? last : identity;
      for (int i = 0; i < kParts - 1; ++i)
        v[plane] = r.combine(load<Compute<T>>(at + i * kLanes<T>), v[plane]);
    }
    reduced[row * step] = reduce_lanes(r, v);
  }
}

// At most so many vectors are a wide window.
constexpr int kWide = 4;

// Whether to reduce windows one by one over their lanes: half a vector each, or more.
template <typename T>
bool are_wide(const Axis& w) {
  return 2 * w.length >= kLanes<T> * w.bins && longest(w) <= kWide * kLanes<T>;
}

// The windows of the lines, wide ones: window j of row i is reduced[i * w.bins + j].
template <typename R, typename T = typename R::Stored>
void reduce_wide(const R& r, const Vec<T>* lines, int64_t vectors, const Axis& w, int64_t rows,
                 Vec<T>* reduced) {
  for (int64_t j = 0; j < w.bins; ++j) {
    const Window& window = w.windows[j];
    with_constant<kWide>(padded<T>(length(window)) / kLanes<T>, [&](auto parts) ONNXPOOL_INLINE {
      constexpr int kParts = decltype(parts)::value;
      reduce_lines<kParts>(r, lines, vectors, window, rows, reduced + j, w.bins);
    });
  }
}

// The same for narrow ones.
template <typename R, typename T = typename R::Stored>
void reduce_narrow(const R& r, const Vec<T>* lines, int64_t vectors, const Axis& w, int64_t rows,
                   Vec<T>* reduced) {
  Vec<T> columns[kTile + kLanes<T>];
  for (int64_t row = 0; row < rows; ++row, lines += vectors * kLanes<T>) {
    for (int64_t i = 0; i < vectors; ++i) transpose<T>(lines + i, vectors, columns + i * kLanes<T>);
    for (int64_t j = 0; j < w.bins; ++j)
      *reduced++ = reduce_columns(r, columns, w.windows[j].start, w.windows[j].end);
  }
}

// The windows of the rows of Y from first_row to last_row, each reduced to one, in order, as
// vectors over planes.
template <typename R, typename T = typename R::Stored>
void reduce_strip(const R& r, const Job& job, const Strip<T>& strip, int64_t first_row,
                  int64_t last_row, Vec<T>* reduced) {
  const Axis& w = job.w;
  const int64_t most_rows = longest(job.d) * longest(job.h);
  if (w.length <= kLanes<T> || w.length > kTile || longest(w) > kShort || most_rows > kFewRows)
    return for_each_row(job, first_row, last_row, [&](const Rows& rows) {
      reduce_windows(r, strip, rows, w, [&](int64_t, Vec<T> v) { *reduced++ = v; });
    });
  constexpr int64_t kVectors = kBand / sizeof(Vec<T>);
  Vec<T> band[kVectors + kLanes<T>];
  Run runs[kFewRows];
  const int64_t vectors = padded<T>(w.length) / kLanes<T>, row_vectors = vectors * kLanes<T>;
  const int64_t together = least(kVectors / row_vectors, kFewRows / most_runs(job));
  const bool wide = are_wide<T>(w);
  for (int64_t row = first_row; row < last_row; row += together) {
    const int64_t rows = least(together, last_row - row);
    const Run* end = list_runs(job, row, row + rows, runs);
    fold_planes(r, job, strip, runs, end, vectors, band);
    if (wide)
      reduce_wide(r, band, vectors, w, rows, reduced);
    else
      reduce_narrow(r, band, vectors, w, rows, reduced);
    reduced += rows * w.bins;
  }
}

// Results on their way to Y, where those of a plane follow each other; a lane for each plane.
template <typename T>
class Results {
 public:
  static constexpr int64_t kMost = kMostCells;

  Results(void* y, int64_t plane, int64_t planes, int64_t bins, int64_t first_bin)
      : y_(static_cast<T*>(y) + plane * bins + first_bin), planes_(planes), bins_(bins) {}
  ~Results() { flush(); }

  // Where the next `count` results are put, at most kMost.
  Vec<T>* next(int64_t count) {
    if (count_ + count > kMost) flush();
    count_ += count;
    return waiting_ + count_ - count;
  }

  void push(Vec<T> v) { *next(1) = v; }

 private:
  void flush() {
    for (int64_t i = 0; i < count_; i += kLanes<T>) {
      const int64_t count = least(count_ - i, kLanes<T>);
      if (bins_ == 1) {
        store_part(y_, waiting_[i], planes_);
      } else {
        transpose<T>(waiting_ + i);
        for (int64_t p = 0; p < planes_; ++p) store_part(y_ + p * bins_, waiting_[i + p], count);
      }
      y_ += count;
    }
    count_ = 0;
  }

  T* y_;
  const int64_t planes_, bins_;
  int64_t count_ = 0;
  Vec<T> waiting_[kMost + kLanes<T>];
};

// For a reduction that combines the elements of X as they are.
template <typename T>
struct AsTheyAre {
  using Stored = T;
  static constexpr int kRows = 8, kPlanes = 1;
  static void map(Vec<T> (&)[kPlanes], int) {}
};

// Calls visit(plane, planes, first_row, last_row) for the rows of Y, in as many planes as a vector
// has lanes, that are in items first_item to last_item of a job.
template <typename T, typename Visit>
void for_each_strip(const Job& job, int64_t first_item, int64_t last_item, const Visit& visit) {
  const int64_t rows = rows_per_plane(job);
  for (int64_t item = first_item; item < last_item;) {
    const int64_t first_row = item % rows, last_row = least(rows, first_row + last_item - item);
    const int64_t first_plane = item / rows * job.block;
    const int64_t last_plane = least(first_plane + job.block, job.planes);
    for (int64_t plane = first_plane; plane < last_plane; plane += kLanes<T>)
      visit(plane, least(kLanes<T>, last_plane - plane), first_row, last_row);
    item += last_row - first_row;
  }
}

// The windows of rows that fit in kParts vectors, the last of which ends with the row: lane j of a
// row's result is window j.
template <typename T, int kParts>
class LaneWindows {
 public:
  static constexpr int64_t kMostElements = 8;

  static bool fit(const Job& job) {
    if (!kPermutes<T> || job.w.length > kParts * kLanes<T> || job.w.bins > kLanes<T>) return false;
    // Windows of an axis differ in length by one at most.
    return job.w.length / job.w.bins < kMostElements - 1 && job.d.length * job.h.length <= kFewRows;
  }

  explicit LaneWindows(const Axis& w) {
    Integer<T> at[kMostElements][kLanes<T>] = {};
    Compute<T> lengths[kLanes<T>];
    for (int64_t j = 0; j < kLanes<T>; ++j) {
      const Window window = w.windows[least(j, w.bins - 1)];
      lengths[j] = static_cast<Compute<T>>(length(window));
      longest_ = length(window) > longest_ ? length(window) : longest_;
      for (int64_t k = 0; k < length(window); ++k) {
        const int64_t column = window.start + k;
        at[k][j] = column < kLanes<T> ? static_cast<Integer<T>>(column)
                                      : second_lane<T>(column - w.length + kLanes<T>);
      }
    }
    std::memcpy(at_, at, sizeof at);
    std::memcpy(&lengths_, lengths, sizeof lengths);
    in_last_ = lengths_ == static_cast<Compute<T>>(longest_);
  }

  Vec<T> lengths() const { return lengths_; }

  // Calls f(Int<n>{}) with the length of the longest window.
  template <typename F>
  void with_longest(const F& f) const {
    with_constant<kMostElements>(longest_, f);
  }

  // The windows of a row; kLongest from with_longest.
  template <int kLongest, typename R>
  ONNXPOOL_INLINE Vec<T> reduce(const R& r, const Vec<T> (&row)[kParts]) const {
    const Vec<T> last = in_last_ ? pick(row, kLongest - 1) : broadcast<T>(r.identity());
    if constexpr (kLongest == 1) return last;
    const auto element = [&](int k) ONNXPOOL_INLINE { return pick(row, k); };
    return r.combine(tree<kLongest - (kLongest > 1)>(r, element), last);
  }

 private:
  // Element k of each window.
  Vec<T> pick(const Vec<T> (&row)[kParts], int64_t k) const {
    if constexpr (kParts == 1)
      return permute(row[0], at_[k]);
    else
      return permute(row[0], row[1], at_[k]);
  }

  int64_t longest_ = 1;
  IntegerVec<T> at_[kMostElements];
  Vec<T> lengths_;
  Mask<T> in_last_;
};

// One vector of columns from x on, in planes that are `size` elements apart, reduced over rows.
template <typename R, typename Load, typename T = typename R::Stored>
void reduce_vectors(const R& r, const T* x, int64_t size, int64_t planes, const Rows& rows,
                    const Load& load_from, Vec<T>* vectors) {
  for (int64_t i = 0; i < rows.d.count; ++i)
    for (int64_t j = 0; j < rows.h.count; j += R::kRows)
      with_constant<R::kRows>(least(rows.h.count - j, R::kRows), [&](auto count) ONNXPOOL_INLINE {
        const int64_t stride = rows.h.stride;
        const T* at = x + rows.first + i * rows.d.stride + j * stride;
        const bool first = i + j == 0;
#pragma GCC unroll 2
        for (int64_t p = 0; p < planes; ++p, at += size) {
          const Vec<T> v = tree<decltype(count)::value>(
              r, [&](int k) ONNXPOOL_INLINE { return load_from(at + k * stride); });
          vectors[p] = first ? v : r.combine(vectors[p], v);
        }
      });
}

// Rows of Y from first_row to last_row in some planes, where LaneWindows fit.
template <int kParts, typename R, typename T = typename R::Stored>
void pool_narrow(const R& r, const Job& job, const LaneWindows<T, kParts>& windows, int64_t plane,
                 int64_t planes, int64_t first_row, int64_t last_row) {
  const int64_t size = job.d.length * job.h.length * job.w.length;
  const int64_t width = job.w.length, bins = rows_per_plane(job) * job.w.bins;
  const T* x = static_cast<const T*>(job.x) + plane * size;
  const T* end = static_cast<const T*>(job.x) + job.x_elements;
  T* y = static_cast<T*>(job.y) + plane * bins + first_row * job.w.bins;
  for_each_row(job, first_row, last_row, [&](const Rows& rows) {
    Vec<T> parts[kParts][kLanes<T>];
    const auto load_all = [](const T* row) ONNXPOOL_INLINE { return load(row); };
    if (kParts > 1 || x + (planes - 1) * size + rows.last() + kLanes<T> <= end)
      reduce_vectors(r, x, size, planes, rows, load_all, parts[0]);
    else
      reduce_vectors(
          r, x, size, planes, rows,
          [width](const T* row) ONNXPOOL_INLINE { return load_part(row, width); }, parts[0]);
    if constexpr (kParts > 1)
      reduce_vectors(r, x + width - kLanes<T>, size, planes, rows, load_all, parts[1]);
    const Divisor<T> count(windows.lengths() * static_cast<Compute<T>>(rows.count()));
    windows.with_longest([&](auto longest) ONNXPOOL_INLINE {
#pragma GCC unroll 2
      for (int64_t p = 0; p < planes; ++p) {
        Vec<T> line[kParts];
        for (int i = 0; i < kParts; ++i) line[i] = parts[i][p];
        const Vec<T> v = windows.template reduce<decltype(longest)::value>(r, line);
        store_part(y + p * bins, r.finish(v, count), job.w.bins);
      }
    });
    y += job.w.bins;
  });
}

// Pools items first_item to last_item of a job, if LaneWindows of kParts fit.
template <int kParts, typename R, typename T = typename R::Stored>
bool pool_if_narrow(const R& r, const Job& job, int64_t first_item, int64_t last_item) {
  if (!LaneWindows<T, kParts>::fit(job)) return false;
  const LaneWindows<T, kParts> windows(job.w);
  for_each_strip<T>(job, first_item, last_item,
                    [&](auto... where) { pool_narrow(r, job, windows, where...); });
  return true;
}

// Items first_item to last_item of a job.
template <typename R, typename T = typename R::Stored>
void pool(const R& r, const Job& job, int64_t first_item, int64_t last_item) {
  if constexpr (kPermutes<T>) {
    if (pool_if_narrow<1>(r, job, first_item, last_item) ||
        pool_if_narrow<2>(r, job, first_item, last_item))
      return;
  }
  const int64_t bins = rows_per_plane(job) * job.w.bins;
  for_each_strip<T>(job, first_item, last_item,
                    [&](int64_t plane, int64_t planes, int64_t first_row, int64_t last_row) {
                      const Strip<T> strip(job, plane, planes);
                      Results<T> results(job.y, plane, planes, bins, first_row * job.w.bins);
                      Divisor<T> divisor;
                      if (job.w.bins > Results<T>::kMost)
                        return for_each_row(job, first_row, last_row, [&](const Rows& rows) {
                          reduce_windows(r, strip, rows, job.w, [&](int64_t j, Vec<T> v) {
                            divisor.set(rows.count() * length(job.w.windows[j]));
                            results.push(r.finish(v, divisor));
                          });
                        });
                      const int64_t together = Results<T>::kMost / job.w.bins;
                      for (int64_t row = first_row; row < last_row; row += together) {
                        const int64_t end = least(row + together, last_row);
                        Vec<T>* y = results.next((end - row) * job.w.bins);
                        reduce_strip(r, job, strip, row, end, y);
                        for_each_row(job, row, end, [&](const Rows& rows) {
                          for (int64_t j = 0; j < job.w.bins; ++j, ++y) {
                            divisor.set(rows.count() * length(job.w.windows[j]));
                            *y = r.finish(*y, divisor);
                          }
                        });
                      }
                    });
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
