// Y = concat(inputs), each upsampled bilinearly to the plane of Y, which is written once.
//
// A row of Y lies between two rows of an input; each of these is brought to the columns of Y first.
#pragma once

#include "arithmetic.h"
#include "job.h"
#include "memory.h"
#include "reduce.h"
#include "stream.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// Columns of Y that are made together, and elements of it that are made before they are written.
constexpr int64_t kMostColumns = 1024, kMade = 2048;

template <typename T>
const Compute<T>* shares(const Neighbours& neighbours) {
  if constexpr (sizeof(Compute<T>) == sizeof(float))
    return neighbours.share32;
  else
    return neighbours.share64;
}

template <typename T>
Vec<T> between(Vec<T> below, Vec<T> above, Vec<T> share) {
  return below * (1 - share) + above * share;
}

// `count` columns of a row of an input, `columns` those of Y from some column on.
template <typename T>
class ToColumns {
 public:
  ToColumns(const UpsampleInput& input, int64_t first, int64_t count)
      : below_(input.columns.below + first),
        above_(input.columns.above + first),
        shares_(shares<T>(input.columns) + first),
        w_(input.w),
        count_(count) {}

  void make(const T* row, Vec<T>* line) const {
    if constexpr (kPermutes<T> && sizeof(Integer<T>) == sizeof(int32_t)) {
      if (w_ <= kLanes<T>) return make_from_one_vector(row, line);
    }
    for (int64_t j = 0; j < count_; j += kLanes<T>) {
      Compute<T> below[kLanes<T>] = {}, above[kLanes<T>] = {};
      for (int64_t i = 0; i < least(kLanes<T>, count_ - j); ++i) {
        below[i] = to_compute(row[below_[j + i]]);
        above[i] = to_compute(row[above_[j + i]]);
      }
      *line++ = between<T>(as_vector(below), as_vector(above), share(j));
    }
  }

 private:
  static Vec<T> as_vector(const Compute<T>* values) {
    Vec<T> v;
    std::memcpy(&v, values, sizeof v);
    return v;
  }

  static IntegerVec<T> as_numbers(const int32_t* values) {
    IntegerVec<T> v;
    std::memcpy(&v, values, sizeof v);
    return v;
  }

  Vec<T> share(int64_t j) const { return as_vector(shares_ + j); }

  void make_from_one_vector(const T* row, Vec<T>* line) const {
    const Vec<T> all = load_part(row, w_);
    for (int64_t j = 0; j < count_; j += kLanes<T>)
      *line++ = between<T>(permute(all, as_numbers(below_ + j)),
                           permute(all, as_numbers(above_ + j)), share(j));
  }

  const int32_t *below_, *above_;
  const Compute<T>* shares_;
  const int64_t w_, count_;
};

// Calls emit(row, line) for all rows of Y of a plane of an input, `count` columns from `first` on.
template <typename T, typename Emit>
void upsample_rows(const UpsampleInput& input, const T* plane, int64_t h, int64_t first,
                   int64_t count, const Emit& emit) {
  const ToColumns<T> columns(input, first, count);
  constexpr int64_t kVectors = kMostColumns / kLanes<T>;
  Vec<T> kept[2][kVectors];
  int32_t in_kept[2] = {-1, -1};
  const auto line = [&](int32_t row) {
    Vec<T>* vectors = kept[row % 2];
    if (in_kept[row % 2] != row) {
      columns.make(plane + row * input.w, vectors);
      in_kept[row % 2] = row;
    }
    return vectors;
  };
  const Compute<T>* share = shares<T>(input.rows);
  for (int64_t i = 0; i < h; ++i)
    emit(i, line(input.rows.below[i]), line(input.rows.above[i]), broadcast<T>(share[i]));
}

// A plane of an input whose rows are as long as those of Y that are made together.
template <typename T>
void upsample_plane(const UpsampleInput& input, const T* plane, int64_t h, int64_t w,
                    Stream& stream) {
  T made[kMade + kMostColumns + kMostPlanes];
  int64_t waiting = 0;
  upsample_rows<T>(input, plane, h, 0, w,
                   [&](int64_t, const Vec<T>* below, const Vec<T>* above, Vec<T> share)
                       ONNXPOOL_INLINE {
                         T* row = made + waiting;
                         // The lanes behind the row are written over by the next one.
                         for (int64_t j = 0; j < w; j += kLanes<T>)
                           store_part(row + j, between<T>(*below++, *above++, share), kLanes<T>);
                         waiting += w;
                         if (waiting < kMade) return;
                         stream.append(made, waiting * static_cast<int64_t>(sizeof(T)));
                         waiting = 0;
                       });
  stream.append(made, waiting * static_cast<int64_t>(sizeof(T)));
}

// A plane with longer rows.
template <typename T>
void upsample_wide_plane(const UpsampleInput& input, const T* plane, int64_t h, int64_t w, T* y) {
  for (int64_t first = 0; first < w; first += kMostColumns) {
    const int64_t count = least(kMostColumns, w - first);
    upsample_rows<T>(input, plane, h, first, count,
                     [&](int64_t i, const Vec<T>* below, const Vec<T>* above, Vec<T> share) {
                       T* row = y + i * w + first;
                       for (int64_t j = 0; j < count; j += kLanes<T>)
                         store_part(row + j, between<T>(*below++, *above++, share),
                                    least(kLanes<T>, count - j));
                     });
  }
}

template <typename T>
void upsample(const UpsampleJob& job, int64_t first_plane, int64_t last_plane) {
  const int64_t size = job.h * job.w, bytes = size * static_cast<int64_t>(sizeof(T));
  T* y = static_cast<T*>(job.y) + first_plane * size;
  const bool wide = job.w > kMostColumns;
  Stream stream(y, job.streams && !wide);
  for (int64_t plane = first_plane; plane < last_plane; ++plane, y += size) {
    const int64_t batch = plane / job.channels, channel = plane % job.channels;
    const UpsampleInput* input = job.inputs;
    while (channel >= input->first + input->channels) ++input;
    const int64_t number = batch * input->channels + channel - input->first;
    const T* x = static_cast<const T*>(input->x) + number * input->h * input->w;
    if (wide && input->copied)
      std::memcpy(y, x, static_cast<size_t>(bytes));
    else if (wide)
      upsample_wide_plane(*input, x, job.h, job.w, y);
    else if (input->copied)
      stream.append(x, bytes);
    else
      upsample_plane(*input, x, job.h, job.w, stream);
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
