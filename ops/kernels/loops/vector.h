// Vectors as wide as the instruction set this file is compiled for.
//
// Vec<T> holds kLanes<T> values of the type that T is computed in: float for float16 and bfloat16.
// It is GCC's and Clang's vector type, so + - * / and comparisons are the language's own. For other
// compilers it is one value, with the same operators.
#pragma once

#include <cstdint>
#include <utility>

#if defined(__AVX512F__) && !defined(ONNXPOOL_SCALAR)
#define ONNXPOOL_AVX512
#elif defined(__AVX2__) && !defined(ONNXPOOL_SCALAR)
#define ONNXPOOL_AVX2
#endif

#if defined(ONNXPOOL_AVX512) || defined(ONNXPOOL_AVX2)
#include <immintrin.h>
#endif

#include "compute.h"

#if defined(__GNUC__)
#define ONNXPOOL_INLINE __attribute__((always_inline))
#else
#define ONNXPOOL_INLINE
#endif

namespace onnxpool::ONNXPOOL_ISA {
namespace {

#if defined(__GNUC__) && !defined(ONNXPOOL_SCALAR)

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
constexpr int kLanes = kBytes / static_cast<int>(sizeof(Compute<T>));

template <typename T>
struct VecOf {
  typedef Compute<T> type __attribute__((vector_size(kBytes)));
  typedef Integer<T> integer __attribute__((vector_size(kBytes)));
};
template <typename T>
using Vec = typename VecOf<T>::type;
template <typename T>
using IntegerVec = typename VecOf<T>::integer;

template <typename T>
Compute<T> lane(Vec<T> v, int i) {
  return v[i];
}

template <typename T>
void set_lane(Vec<T>& v, int i, Compute<T> x) {
  v[i] = x;
}

template <typename T>
Integer<T> lane(IntegerVec<T> v, int i) {
  return v[i];
}

// Whether a comparison holds, in each lane.
template <typename T>
using Mask = IntegerVec<T>;

template <typename T>
bool holds(Mask<T> mask, int i) {
  return mask[i] != 0;
}

template <typename T, int... kLane>
IntegerVec<T> lane_numbers(std::integer_sequence<int, kLane...>) {
  return IntegerVec<T>{kLane...};
}

#else

template <typename T>
constexpr int kLanes = 1;

template <typename T>
using Vec = Compute<T>;
template <typename T>
using IntegerVec = Integer<T>;

template <typename T>
Compute<T> lane(Vec<T> v, int) {
  return v;
}

template <typename T>
void set_lane(Vec<T>& v, int, Compute<T> x) {
  v = x;
}

template <typename T>
Integer<T> lane(IntegerVec<T> v, int) {
  return v;
}

template <typename T>
using Mask = bool;

template <typename T>
bool holds(Mask<T> mask, int) {
  return mask;
}

template <typename T, int... kLane>
IntegerVec<T> lane_numbers(std::integer_sequence<int, kLane...>) {
  return 0;
}

#endif

template <typename T>
bool holds_in_all_lanes(Mask<T> mask) {
  bool all = true;
  for (int i = 0; i < kLanes<T>; ++i) all &= holds<T>(mask, i);
  return all;
}

// Lane i of a second vector in a permutation of two: the bit above the lanes' is set, and the sign.
template <typename T>
constexpr Integer<T> second_lane(int64_t i) {
  return static_cast<Integer<T>>(i - kLanes<T>);
}

// Lane i of the result is the lane of v, or of v and `second`, that lane i of `numbers` says; only
// where kPermutes.
#if defined(ONNXPOOL_AVX512)
template <typename T>
constexpr bool kPermutes = true;

[[maybe_unused]] __m512 permute(__m512 v, IntegerVec<float> numbers) {
  return _mm512_permutexvar_ps((__m512i)numbers, v);
}
[[maybe_unused]] __m512d permute(__m512d v, IntegerVec<double> numbers) {
  return _mm512_permutexvar_pd((__m512i)numbers, v);
}
[[maybe_unused]] __m512 permute(__m512 v, __m512 second, IntegerVec<float> numbers) {
  return _mm512_permutex2var_ps(v, (__m512i)numbers, second);
}
[[maybe_unused]] __m512d permute(__m512d v, __m512d second, IntegerVec<double> numbers) {
  return _mm512_permutex2var_pd(v, (__m512i)numbers, second);
}
#elif defined(ONNXPOOL_AVX2)
template <typename T>
constexpr bool kPermutes = kLanes<T> == 8;

[[maybe_unused]] __m256 permute(__m256 v, IntegerVec<float> numbers) {
  return _mm256_permutevar8x32_ps(v, (__m256i)numbers);
}
// A number's last bits count in a permutation, and its sign in a blend.
[[maybe_unused]] __m256 permute(__m256 v, __m256 second, IntegerVec<float> numbers) {
  return _mm256_blendv_ps(permute(v, numbers), permute(second, numbers), (__m256)numbers);
}
#else
template <typename T>
constexpr bool kPermutes = false;
#endif

// 0, 1, 2, …
template <typename T>
IntegerVec<T> lane_numbers() {
  return lane_numbers<T>(std::make_integer_sequence<int, kLanes<T>>{});
}

template <typename T>
Vec<T> broadcast(Compute<T> x) {
  return x - Vec<T>{};
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
