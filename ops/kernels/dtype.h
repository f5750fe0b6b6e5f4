// The element types that the ops take.
#pragma once

#include <cstdint>

#include "ort_abi.h"

namespace onnxpool {

// float16 and bfloat16 as they are stored; loops/compute.h computes with them in float32.
struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

constexpr ort::ElementType kDTypes[] = {ort::kFloat, ort::kDouble, ort::kFloat16, ort::kBFloat16};

// A function for each of kDTypes.
template <typename Function>
struct ByDType {
  Function float32, float64, float16, bfloat16;

  Function operator[](ort::ElementType type) const {
    switch (type) {
      case ort::kDouble:
        return float64;
      case ort::kFloat16:
        return float16;
      case ort::kBFloat16:
        return bfloat16;
      default:
        return float32;
    }
  }
};

}  // namespace onnxpool
