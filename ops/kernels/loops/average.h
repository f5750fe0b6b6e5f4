// Y = sum(X) / count.
#pragma once

#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

template <typename T>
struct Mean {
  using Stored = T;
  static constexpr bool kFinishes = true;

  template <typename V>
  V combine(V a, V b) const {
    return a + b;
  }

  template <typename V>
  V finish(V sum, V count) const {
    return sum / count;
  }
};

template <typename T>
void average(const Job& job, int64_t first_unit, int64_t last_unit) {
  pool(Mean<T>{}, job, first_unit, last_unit);
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
