// Vectors as wide as the instruction set this file is compiled for.
//
// Vec<T> holds kLanes<T> values of the type that T is computed in: float for float16 and bfloat16.
// It is GCC's and Clang's vector type, so + - * / and comparisons are the language's own. For other
// compilers it is one value, with the same operators.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "../dtype.h"

#if defined(__GNUC__)
#define ONNXPOOL_INLINE __attribute__((always_inline))
#else
#define ONNXPOOL_INLINE
#endif

#if defined(__AVX512F__) && !defined(ONNXPOOL_SCALAR)
#define ONNXPOOL_AVX512
#elif defined(__AVX2__) && !defined(ONNXPOOL_SCALAR)
#define ONNXPOOL_AVX2
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

// Lane i of `numbers` says which lane of v becomes lane i; only where kPermutes.
#if defined(ONNXPOOL_AVX512)
template <typename T>
constexpr bool kPermutes = true;

[[maybe_unused]] __m512 permute(__m512 v, IntegerVec<float> numbers) {
  return _mm512_permutexvar_ps((__m512i)numbers, v);
}
[[maybe_unused]] __m512d permute(__m512d v, IntegerVec<double> numbers) {
  return _mm512_permutexvar_pd((__m512i)numbers, v);
}
#elif defined(ONNXPOOL_AVX2)
template <typename T>
constexpr bool kPermutes = kLanes<T> == 8;

[[maybe_unused]] __m256 permute(__m256 v, IntegerVec<float> numbers) {
  return _mm256_permutevar8x32_ps(v, (__m256i)numbers);
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

// a * b + c, rounded once where the instruction set can.
#if defined(ONNXPOOL_AVX512)
#define ONNXPOOL_FMA
[[maybe_unused]] __m512 multiply_add(__m512 a, __m512 b, __m512 c) {
  return _mm512_fmadd_ps(a, b, c);
}
[[maybe_unused]] __m512d multiply_add(__m512d a, __m512d b, __m512d c) {
  return _mm512_fmadd_pd(a, b, c);
}
#elif defined(__FMA__) && !defined(ONNXPOOL_SCALAR)
#define ONNXPOOL_FMA
[[maybe_unused]] __m256 multiply_add(__m256 a, __m256 b, __m256 c) {
  return _mm256_fmadd_ps(a, b, c);
}
[[maybe_unused]] __m256d multiply_add(__m256d a, __m256d b, __m256d c) {
  return _mm256_fmadd_pd(a, b, c);
}
#else
[[maybe_unused]] Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return a * b + c;
}
#endif

// Divides by whole numbers.
//
// Where there is a fused product, by a product and a correction, which take a fraction of the time
// and give the same bits where the quotient is a normal number (Markstein: Computation of
// elementary functions on the IBM RISC System/6000 processor, IBM J. Res. Dev. 34, 1990).
template <typename T>
class Divisor {
 public:
  explicit Divisor(int64_t n)
      : n_(broadcast<T>(static_cast<Compute<T>>(n))),
        reciprocal_(broadcast<T>(1 / static_cast<Compute<T>>(n))) {}
  explicit Divisor(Vec<T> n) : n_(n), reciprocal_(1 / n) {}

  Vec<T> divide(Vec<T> a) const {
#if defined(ONNXPOOL_FMA)
    const Vec<T> quotient = a * reciprocal_;
    const Vec<T> rest = multiply_add(-quotient, n_, a);
    // The rest of infinity and NaN is NaN.
    return rest == rest ? multiply_add(rest, reciprocal_, quotient) : quotient;
#else
    return a / n_;
#endif
  }

 private:
  Vec<T> n_, reciprocal_;
};

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

template <>
[[maybe_unused]] void store_part(float* p, Vec<float> v, int64_t count) {
  _mm256_maskstore_ps(p, first_lanes<float>(count), v);
}

template <>
[[maybe_unused]] void store_part(double* p, Vec<double> v, int64_t count) {
  _mm256_maskstore_pd(p, first_lanes<double>(count), v);
}

#endif

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
