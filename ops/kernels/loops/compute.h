// The type that an element type is computed in, and the way there and back: float32 for float16 and
// bfloat16, which are stored only.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "../dtype.h"

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

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
