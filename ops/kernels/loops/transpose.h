// As many vectors as they have lanes, transposed.
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

// a0 b0 a1 b1 …: the lower half of it, and the upper half.
template <typename T, int... kLane>
void interleave(Vec<T> a, Vec<T> b, Vec<T>& lower, Vec<T>& upper,
                std::integer_sequence<int, kLane...>) {
  constexpr int kAll = kLanes<T>;
  lower = ONNXPOOL_SHUFFLE(T, a, b, (kLane / 2 + kLane % 2 * kAll)...);
  upper = ONNXPOOL_SHUFFLE(T, a, b, (kAll / 2 + kLane / 2 + kLane % 2 * kAll)...);
}

// Lane i of vector j becomes lane j of vector i, of kLanes<T> vectors.
//
// To interleave the vectors of the first half with those of the second moves the highest bit of a
// vector's number to the lowest of the lane's; after all bits the two numbers have changed places.
template <typename T>
void transpose(Vec<T>* vectors) {
  constexpr int kAll = kLanes<T>;
  Vec<T> from[kAll], to[kAll];
#pragma GCC unroll 16
  for (int i = 0; i < kAll; ++i) from[i] = vectors[i];
#pragma GCC unroll 4
  for (int bit = 1; bit < kAll; bit *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kAll / 2; ++i)
      interleave<T>(from[i], from[i + kAll / 2], to[2 * i], to[2 * i + 1],
                    std::make_integer_sequence<int, kAll>{});
#pragma GCC unroll 16
    for (int i = 0; i < kAll; ++i) from[i] = to[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kAll; ++i) vectors[i] = from[i];
}

#else

template <typename T>
void transpose(Vec<T>*) {}

#endif

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
