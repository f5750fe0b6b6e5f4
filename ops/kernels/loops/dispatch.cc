#include <cstdlib>
#include <string>

#include "table.h"

namespace onnxpool {
namespace {

#if defined(ONNXPOOL_X86)

bool has_avx2() {
  // A CPU with both has F16C as well, for which Clang 14 cannot ask.
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// The widest that this CPU has; ONNXPOOL_ISA in the environment names a narrower one.
const Table& pick() {
  __builtin_cpu_init();
  const char* named = std::getenv("ONNXPOOL_ISA");
  const std::string most = named == nullptr ? "avx512" : named;
  if (most == "avx512" && has_avx512()) return avx512::table;
  if (most != "baseline" && has_avx2()) return avx2::table;
  return baseline::table;
}

#else

const Table& pick() { return baseline::table; }

#endif

}  // namespace

const Table& table() {
  static const Table& picked = pick();
  return picked;
}

}  // namespace onnxpool
