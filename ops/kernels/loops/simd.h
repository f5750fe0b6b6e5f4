// Vectors as wide as the instruction set this file is compiled for.
//
// Vec<T> holds kLanes<T> values of the type that T is computed in: float for float16 and bfloat16.
// It is GCC's and Clang's vector type, so + - * / and comparisons are the language's own. For other
// compilers it is one value, with the same operators.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "../dtype.h"

#if defined(__GNUC__)
#define ONNXPOOL_UNLIKELY(condition) __builtin_expect(condition, 0)
#else
#define ONNXPOOL_UNLIKELY(condition) (condition)
#endif

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Computed {
  using type = float;
  using integer = int32_t;
};
template <>
struct Computed<double> {
  using type = double;
  using integer = int64_t;
};

// The type that T is computed in, and an integer as wide.
template <typename T>
using Compute = typename Computed<T>::type;
template <typename T>
using Integer = typename Computed<T>::integer;

template <typename From, typename To>
To bits_as(From from) {
  static_assert(sizeof(From) == sizeof(To));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

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

#endif

template <typename T>
Compute<T> to_compute(T x) {
  return x;
}

// float16 to float32: the exponent is rebiased by a product, which is exact for subnormals too.
template <>
[[maybe_unused]] float to_compute(Half x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  const uint32_t magnitude = (x.bits & 0x7fffu) << 13;
  const float rebiased = bits_as<uint32_t, float>(magnitude) * 0x1p112f;
  const uint32_t infinite_or_nan = (x.bits & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  const uint32_t sign = (x.bits & 0x8000u) << 16;
  return bits_as<uint32_t, float>(bits_as<float, uint32_t>(rebiased) | infinite_or_nan | sign);
#endif
}

template <>
[[maybe_unused]] float to_compute(BFloat16 x) {
  return bits_as<uint32_t, float>(static_cast<uint32_t>(x.bits) << 16);
}

// The nearest T, the even one of two.
template <typename T>
T from_compute(Compute<T> x) {
  return x;
}

template <>
[[maybe_unused]] Half from_compute<Half>(float x) {
#if defined(__F16C__)
  return {static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
#else
  const uint32_t bits = bits_as<float, uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // Rounds to infinity.
  } else if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 leaves a unit of 2^-24 in the last place, and rounds to it.
    const float shifted = bits_as<uint32_t, float>(magnitude) + 0.5f;
    half = bits_as<float, uint32_t>(shifted) - 0x3f000000u;
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    half = (magnitude - 0x38000000u + 0xfffu + odd) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
#endif
}

template <>
[[maybe_unused]] BFloat16 from_compute<BFloat16>(float x) {
  const uint32_t bits = bits_as<float, uint32_t>(x);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  const uint32_t odd = (bits >> 16) & 1u;
  return {static_cast<uint16_t>((bits + 0x7fffu + odd) >> 16)};
}

template <typename T>
Vec<T> broadcast(Compute<T> x) {
  return x - Vec<T>{};
}

// The kLanes<T> values from p on.
template <typename T>
Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
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

#if defined(__AVX512F__) && !defined(ONNXPOOL_SCALAR)
template <>
[[maybe_unused]] Vec<float> load_part(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
#endif

template <typename T>
Vec<T> load_computed(const Compute<T>* p) {
  return load(p);
}

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

// The values at p if they are stored as they are computed, else nullptr.
template <typename T>
const Compute<T>* as_computed(const T* p) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) return p;
  return nullptr;
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
