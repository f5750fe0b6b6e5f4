#include "table.h"

namespace onnxpool {
namespace {

const Table& pick() {
#if defined(ONNXPOOL_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return avx512::table;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    return avx2::table;
#endif
  return baseline::table;
}

}  // namespace

const Table& table() {
  static const Table& picked = pick();
  return picked;
}

}  // namespace onnxpool
