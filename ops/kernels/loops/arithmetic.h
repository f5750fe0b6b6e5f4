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

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
