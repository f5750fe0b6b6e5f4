// As many vectors as they have lanes: transposed, or each reduced over its lanes.
#pragma once

#include <utility>

#include "vector.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

#if defined(__GNUC__) && !defined(ONNXPOOL_SCALAR)

#if defined(__clang__)
#define ONNXPOOL_SHUFFLE(T, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ONNXPOOL_SHUFFLE(T, a, b, ...) __builtin_shuffle(a, b, IntegerVec<T>{__VA_ARGS__})
#endif

// Lanes are exchanged in blocks: of 16 bytes where that will do, which takes one instruction.
template <typename T, int kUnit>
constexpr int kBlock = 2 * kUnit * sizeof(Compute<T>) < 16 ? 16 / sizeof(Compute<T>) : 2 * kUnit;

// Where lane `lane` comes from, if the units of the lower half of each block of a, of kUnit lanes,
// take turns with those of b.
template <typename T, int kUnit>
constexpr int from_lane(int lane) {
  constexpr int kAll = kLanes<T>, kIn = kBlock<T, kUnit>;
  const int unit = lane % kIn / kUnit;
  return lane / kIn * kIn + unit / 2 * kUnit + lane % kUnit + unit % 2 * kAll;
}

template <typename T, int kUnit, int... kLane>
void interleave(Vec<T> a, Vec<T> b, Vec<T>& lower, Vec<T>& upper,
                std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = kBlock<T, kUnit> / 2;
  lower = ONNXPOOL_SHUFFLE(T, a, b, from_lane<T, kUnit>(kLane)...);
  upper = ONNXPOOL_SHUFFLE(T, a, b, (from_lane<T, kUnit>(kLane) + kHalf)...);
}

// Units of kUnit lanes of a and b in turns: from the lower half of each block, and from the upper.
template <typename T, int kUnit>
void interleave(Vec<T> a, Vec<T> b, Vec<T>& lower, Vec<T>& upper) {
  interleave<T, kUnit>(a, b, lower, upper, std::make_integer_sequence<int, kLanes<T>>{});
}

// One bit of the vectors' numbers, kUnit, changes places with one of the lanes'.
template <typename T, int kUnit>
ONNXPOOL_INLINE inline void transpose_from(Vec<T>* v) {
  if constexpr (kUnit < kLanes<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i)
      if ((i & kUnit) == 0) interleave<T, kUnit>(v[i], v[i + kUnit], v[i], v[i + kUnit]);
    transpose_from<T, 2 * kUnit>(v);
  }
}

// Lane i of vector j becomes lane j of vector i, of kLanes<T> vectors that are `step` apart.
template <typename T>
void transpose(const Vec<T>* vectors, int64_t step, Vec<T>* transposed) {
  constexpr int kAll = kLanes<T>;
  Vec<T> v[kAll];
#pragma GCC unroll 16
  for (int i = 0; i < kAll; ++i) v[i] = vectors[i * step];
  transpose_from<T, 1>(v);
  // In a block of four, unit 1 took the place of bit 2 of the lane, and unit 2 that of bit 1.
  constexpr bool kSwapped = kBlock<T, 1> == 4;
#pragma GCC unroll 16
  for (int i = 0; i < kAll; ++i)
    transposed[kSwapped ? (i & ~3) | (i & 1) << 1 | (i & 2) >> 1 : i] = v[i];
}

template <typename R, typename T, int kUnit>
ONNXPOOL_INLINE inline void reduce_lanes_from(const R& r, Vec<T>* v) {
  if constexpr (kUnit < kLanes<T>) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes<T> / kUnit; i += 2) {
      Vec<T> lower, upper;
      interleave<T, kUnit>(v[i], v[i + 1], lower, upper);
      v[i / 2] = r.combine(lower, upper);
    }
    reduce_lanes_from<R, T, 2 * kUnit>(r, v);
  }
}

// Lane i is vector i, its lanes reduced to one.
template <typename R, typename T = typename R::Stored>
ONNXPOOL_INLINE inline Vec<T> reduce_lanes(const R& r, const Vec<T>* vectors) {
  Vec<T> v[kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) v[i] = vectors[i];
  reduce_lanes_from<R, T, 1>(r, v);
  return v[0];
}

#else

template <typename T>
void transpose(const Vec<T>* vectors, int64_t, Vec<T>* transposed) {
  *transposed = *vectors;
}

template <typename R, typename T = typename R::Stored>
Vec<T> reduce_lanes(const R&, const Vec<T>* vectors) {
  return vectors[0];
}

#endif

// The same, in place.
template <typename T>
void transpose(Vec<T>* vectors) {
  transpose<T>(vectors, 1, vectors);
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
