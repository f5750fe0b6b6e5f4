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

#include "arithmetic.h"
#include "vector.h"

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

// x = c0 + c1 x + c2 x^2 + …
template <int kCount, typename... Coefficients>
void polynomial(Floats (&x)[kCount], float first, Coefficients... coefficients) {
  const float c[] = {first, coefficients...};
  Floats sum[kCount];
  for (int i = 0; i < kCount; ++i) sum[i] = broadcast<float>(c[sizeof...(coefficients)]);
  for (int k = static_cast<int>(sizeof...(coefficients)) - 1; k >= 0; --k)
    for (int i = 0; i < kCount; ++i) sum[i] = multiply_add(sum[i], x[i], broadcast<float>(c[k]));
  for (int i = 0; i < kCount; ++i) x[i] = sum[i];
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

// One exponent in each lane.
struct Exponents {
  Floats value, high, low;

  static Exponents all(float value, float high, float low) {
    return {broadcast<float>(value), broadcast<float>(high), broadcast<float>(low)};
  }
};

// x = 2^(high + low), where high is much more precise than low: 0 below 2^-125, infinity from 2^127
// on, and of NaN.
template <int kCount>
void exp2(const Floats (&high)[kCount], const Floats (&low)[kCount], Floats (&x)[kCount]) {
  constexpr float kRound = 0x1.8p23f;  // A number plus this is an integer, in its last bits.
  Floats t[kCount], shifted[kCount];
  for (int i = 0; i < kCount; ++i) {
    t[i] = high[i] + low[i];
    shifted[i] = t[i] + kRound;
    x[i] = (high[i] - (shifted[i] - kRound)) + low[i];
  }
  // Minimax on [-1/2, 1/2]: relative error 2e-9.
  polynomial(x, 1.0f, 0.69314718f, 0.24022646f, 0.055503286f, 0.009618489f, 0.001339993f,
             0.00015345812f);
  for (int i = 0; i < kCount; ++i) {
    const Bits exponent = bits_as<Floats, Bits>(shifted[i]) << 23;
    const Floats scaled = bits_as<Bits, Floats>(bits_as<Floats, Bits>(x[i]) + exponent);
    const Floats bounded = t[i] < 127.0f ? scaled : broadcast<float>(kInfinity);
    x[i] = t[i] <= -125.0f ? Floats{} : bounded;
  }
}

// x = x^p for normal positive x. For p >= 1, 0 and positive subnormal x give 0, and any other
// infinity. Several at once, because each is a long chain of operations; p(i) is that of x[i].
template <int kCount, typename ExponentsOf>
void power(Floats (&x)[kCount], const ExponentsOf& p) {
  constexpr uint32_t kOne = 0x3f800000u, kRootOfHalf = 0x3f3504f3u;
  Floats z[kCount], f[kCount], high[kCount], low[kCount];
  for (int i = 0; i < kCount; ++i) {
    const Bits shifted = bits_as<Floats, Bits>(x[i]) + (kOne - kRootOfHalf);
    const Bits mantissa = (shifted & 0x007fffffu) + kRootOfHalf;
    // x * 0 is NaN for infinity and NaN.
    f[i] = z[i] = multiply_add(x[i], Floats{}, bits_as<Bits, Floats>(mantissa) - 1.0f);
    // The sign bit makes an exponent of 129 and more, and so infinity.
    const Floats biased = to_floats(bits_as<Bits, Ints>(shifted >> 23));
    high[i] = multiply_add(p(i).high, biased, -127.0f * p(i).high);
    low[i] = multiply_add(p(i).low, biased, -127.0f * p(i).low);
  }
  // log2(1 + z) / z, minimax on [sqrt(1/2) - 1, sqrt(2) - 1]: relative error 3e-8.
  polynomial(f, 1.442695f, -0.72134733f, 0.48091063f, -0.36070368f, 0.28791624f, -0.23894481f,
             0.2157156f, -0.20726976f, 0.12583706f);
  for (int i = 0; i < kCount; ++i) low[i] = multiply_add(p(i).value, z[i] * f[i], low[i]);
  exp2(high, low, x);
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
