// Products with a sum, and divisions by whole numbers, in vectors.
#pragma once

#include <cstdint>

#include "vector.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

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

// The greater, b of two zeros; NaN where either is. The instruction gives b where either is NaN.
#if defined(ONNXPOOL_AVX512)
[[maybe_unused]] __m512 maximum(__m512 a, __m512 b) {
  return _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b);
}
[[maybe_unused]] __m512d maximum(__m512d a, __m512d b) {
  return _mm512_mask_max_pd(a, _mm512_cmp_pd_mask(a, a, _CMP_ORD_Q), a, b);
}
#elif defined(ONNXPOOL_AVX2)
[[maybe_unused]] __m256 maximum(__m256 a, __m256 b) {
  return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
[[maybe_unused]] __m256d maximum(__m256d a, __m256d b) {
  return _mm256_blendv_pd(_mm256_max_pd(a, b), a, _mm256_cmp_pd(a, a, _CMP_UNORD_Q));
}
#else
template <typename V>
V maximum(V a, V b) {
  const V greater = a > b ? a : b;  // b where either is NaN
  return a != a ? a : greater;
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
  Divisor() : Divisor(int64_t{1}) {}
  explicit Divisor(int64_t n)
      : count_(n),
        n_(broadcast<T>(static_cast<Compute<T>>(n))),
        reciprocal_(broadcast<T>(1 / static_cast<Compute<T>>(n))) {}
  explicit Divisor(Vec<T> n) : n_(n), reciprocal_(1 / n) {}

  // Windows often have as many elements as the one before.
  void set(int64_t n) {
    if (n != count_) *this = Divisor(n);
  }

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
  int64_t count_ = 0;
  Vec<T> n_, reciprocal_;
};

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
