// x^p in vectors of float32, through log2 and exp2.
//
//     log2 x = e + f, with e an integer and |f| <= 1/2        x^p = 2^(p e + p f)
//
// p e is exact, as the sum of two products, and only p f is rounded. So the error does not grow
// with the exponent of x: x^p is off by less than (1 + p / 2) 2^-23 of itself, and its root, which
// takes the p-th part of that, by little more than a rounding. tests/ops/kernels/powers_sweep.cc
// compares it with long double.
#pragma once

#include <math.h>

#include "simd.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

using Floats = Vec<float>;

#if defined(__GNUC__) && !defined(ONNXPOOL_SCALAR)
typedef uint32_t Bits __attribute__((vector_size(kBytes)));
typedef int32_t Ints __attribute__((vector_size(kBytes)));
[[maybe_unused]] Floats to_floats(Ints i) { return __builtin_convertvector(i, Floats); }
#else
using Bits = uint32_t;
using Ints = int32_t;
[[maybe_unused]] Floats to_floats(Ints i) { return static_cast<Floats>(i); }
#endif

constexpr float kInfinity = HUGE_VALF;

// c0 + c1 x + c2 x^2 + …
template <typename... Coefficients>
Floats polynomial(Floats x, float c0, Coefficients... higher) {
  if constexpr (sizeof...(higher) == 0)
    return broadcast<float>(c0);
  else
    return multiply_add(polynomial(x, higher...), x, broadcast<float>(c0));
}

// An exponent p, as the sum of a number of 15 bits and the rest: the first times an integer of 9
// bits is exact.
struct Exponent {
  explicit Exponent(double p)
      : value(static_cast<float>(p)),
        high(bits_as<uint32_t, float>(bits_as<float, uint32_t>(value) & 0xfffffe00u)),
        low(static_cast<float>(p - static_cast<double>(high))) {}

  float value, high, low;
};

// 2^(high + low), where high is much more precise than low: 0 below 2^-125, infinity from 2^127 on,
// and of NaN.
[[maybe_unused]] Floats exp2(Floats high, Floats low) {
  constexpr float kRound = 0x1.8p23f;  // A number plus this is an integer, in its last bits.
  const Floats t = high + low;
  const Floats shifted = t + kRound;
  const Floats r = (high - (shifted - kRound)) + low;
  // Minimax on [-1/2, 1/2]: relative error 2e-9.
  const Floats fraction = polynomial(r, 1.0f, 0.69314718f, 0.24022646f, 0.055503286f, 0.009618489f,
                                     0.001339993f, 0.00015345812f);
  const Bits exponent = bits_as<Floats, Bits>(shifted) << 23;
  const Floats scaled = bits_as<Bits, Floats>(bits_as<Floats, Bits>(fraction) + exponent);
  const Floats bounded = t < 127.0f ? scaled : broadcast<float>(kInfinity);
  return t <= -125.0f ? Floats{} : bounded;
}

// x^p for normal positive x. For p >= 1, 0 and positive subnormal x give 0, and any other infinity.
[[maybe_unused]] Floats power(Floats x, Floats p, Floats p_high, Floats p_low) {
  constexpr uint32_t kOne = 0x3f800000u, kRootOfHalf = 0x3f3504f3u;
  const Bits shifted = bits_as<Floats, Bits>(x) + (kOne - kRootOfHalf);
  const Bits mantissa = (shifted & 0x007fffffu) + kRootOfHalf;
  // x * 0 is NaN for infinity and NaN.
  const Floats z = multiply_add(x, Floats{}, bits_as<Bits, Floats>(mantissa) - 1.0f);
  // log2(1 + z) / z, minimax on [sqrt(1/2) - 1, sqrt(2) - 1]: relative error 3e-8.
  const Floats f = z * polynomial(z, 1.442695f, -0.72134733f, 0.48091063f, -0.36070368f,
                                  0.28791624f, -0.23894481f, 0.2157156f, -0.20726976f, 0.12583706f);
  // The sign bit makes an exponent of 129 and more, and so infinity.
  const Floats biased = to_floats(bits_as<Bits, Ints>(shifted >> 23));
  const Floats high = multiply_add(p_high, biased, -127.0f * p_high);
  const Floats low = multiply_add(p_low, biased, -127.0f * p_low);
  return exp2(high, multiply_add(p, f, low));
}

[[maybe_unused]] Floats power(Floats x, const Exponent& p) {
  return power(x, broadcast<float>(p.value), broadcast<float>(p.high), broadcast<float>(p.low));
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
