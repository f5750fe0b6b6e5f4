// Y = sum(X) / count.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Mean : AsTheyAre<T> {
  static Compute<T> identity() { return 0; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return a + b; }
  static Vec<T> finish(Vec<T> sum, const Divisor<T>& count) { return count.divide(sum); }
};

template <typename T>
void average(const Job& job, int64_t first_item, int64_t last_item) {
  pool(Mean<T>{}, job, first_item, last_item);
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
