// Vectors from memory and back, whole or in part, converted on the way.
#pragma once

#include <cstdint>
#include <cstring>

#include "vector.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// The kLanes<T> values from p on.
template <typename T>
Vec<T> load(const T* p) {
#if defined(__GNUC__) && !defined(ONNXPOOL_SCALAR)
  // Not by memcpy, which GCC 12 sends through the stack in long loops.
  typedef Compute<T> Unaligned __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
  return *reinterpret_cast<const Unaligned*>(p);
#else
  return *p;
#endif
}

template <>
[[maybe_unused]] Vec<Half> load(const Half* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  Vec<Half> v;
  for (int i = 0; i < kLanes<Half>; ++i) set_lane<Half>(v, i, to_compute(p[i]));
  return v;
#endif
}

template <>
[[maybe_unused]] Vec<BFloat16> load(const BFloat16* p) {
  Vec<BFloat16> v;
  for (int i = 0; i < kLanes<BFloat16>; ++i) set_lane<BFloat16>(v, i, to_compute(p[i]));
  return v;
}

// The first `count` of them; the others are zero.
template <typename T>
Vec<T> load_part(const T* p, int64_t count) {
  T padded[kLanes<T>] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
  return load(padded);
}

#if defined(ONNXPOOL_AVX512)

[[maybe_unused]] __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

template <>
[[maybe_unused]] Vec<float> load_part(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}

template <>
[[maybe_unused]] Vec<double> load_part(const double* p, int64_t count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(count)), p);
}

template <>
[[maybe_unused]] Vec<Half> load_part(const Half* p, int64_t count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), p));
}

#elif defined(ONNXPOOL_AVX2)

template <typename T>
__m256i first_lanes(int64_t count) {
  return (__m256i)(lane_numbers<T>() < static_cast<Integer<T>>(count));
}

template <>
[[maybe_unused]] Vec<float> load_part(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, first_lanes<float>(count));
}

template <>
[[maybe_unused]] Vec<double> load_part(const double* p, int64_t count) {
  return _mm256_maskload_pd(p, first_lanes<double>(count));
}

#endif

template <typename T>
void store(Compute<T>* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}

// The first `count` values, as T.
template <typename T>
void store_part(T* p, Vec<T> v, int64_t count) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) {
    if (count == kLanes<T>) return store<T>(p, v);
  }
  Compute<T> lanes[kLanes<T>];
  store<T>(lanes, v);
  for (int64_t i = 0; i < count; ++i) p[i] = from_compute<T>(lanes[i]);
}

#if defined(ONNXPOOL_AVX512)

template <>
[[maybe_unused]] void store_part(float* p, Vec<float> v, int64_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}

template <>
[[maybe_unused]] void store_part(double* p, Vec<double> v, int64_t count) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(count)), v);
}

template <>
[[maybe_unused]] void store_part(Half* p, Vec<Half> v, int64_t count) {
  const __m256i halves = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_mask_storeu_epi16(p, first_lanes(count), halves);
}

#elif defined(ONNXPOOL_AVX2)

// By halves: a masked store takes ten times as long as a whole one on AMD's Zen.
template <>
[[maybe_unused]] void store_part(float* p, Vec<float> v, int64_t count) {
  if (count == kLanes<float>) return store<float>(p, v);
  __m128 rest = _mm256_castps256_ps128(v);
  if (count & 4) {
    _mm_storeu_ps(p, rest);
    p += 4, rest = _mm256_extractf128_ps(v, 1);
  }
  if (count & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
    p += 2, rest = _mm_movehl_ps(rest, rest);
  }
  if (count & 1) _mm_store_ss(p, rest);
}

template <>
[[maybe_unused]] void store_part(double* p, Vec<double> v, int64_t count) {
  if (count == kLanes<double>) return store<double>(p, v);
  __m128d rest = _mm256_castpd256_pd128(v);
  if (count & 2) {
    _mm_storeu_pd(p, rest);
    p += 2, rest = _mm256_extractf128_pd(v, 1);
  }
  if (count & 1) _mm_store_sd(p, rest);
}

template <>
[[maybe_unused]] void store_part(Half* p, Vec<Half> v, int64_t count) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  if (count == kLanes<Half>) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
  Half lanes[kLanes<Half>];
  std::memcpy(lanes, &halves, sizeof lanes);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

#endif

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
