// Prints for several exponents the greatest error of power() against long double, as a multiple of
// the bound that loops/powers.h states: for every exponent of x, with random mantissas.
#include <cmath>
#include <cstdio>
#include <random>

#include "loops/memory.h"
#include "loops/powers.h"

using namespace onnxpool;
using namespace onnxpool::ONNXPOOL_ISA;

Floats power_of(Floats x, const Exponent& p) {
  Floats several[] = {x, x, x};
  power(several, [&](int) { return Exponents::all(p.value, p.high, p.low); });
  return several[1];
}

double worst_error(float p, std::mt19937& random) {
  const Exponent exponent(p);
  double worst = 0;
  for (uint32_t biased = 1; biased < 255; ++biased)
    for (int repeat = 0; repeat < 1024 / kLanes<float>; ++repeat) {
      float x[kLanes<float>], y[kLanes<float>];
      for (float& value : x)
        value = bits_as<uint32_t, float>(biased << 23 | (random() & 0x7fffffu));
      store<float>(y, power_of(load(x), exponent));
      for (int i = 0; i < kLanes<float>; ++i) {
        const long double exact = std::pow(static_cast<long double>(x[i]), p);
        // Outside of this range power() may already give 0 or infinity.
        if (exact < 0x1p-124L || exact > 0x1p126L) continue;
        const auto error = static_cast<double>(std::abs((y[i] - exact) / exact));
        worst = std::fmax(worst, error);
      }
    }
  return worst;
}

int main() {
  std::mt19937 random(0);
  for (const float p : {1.0f / 3, 1 / 2.87f, 0.5f, 1.0f, 1.5f, 2.0f, 2.87f, 3.0f, 4.25f, 6.5f, 10.0f,
                        30.0f, 100.0f})
    std::printf("%g %g\n", p, worst_error(p, random) / ((1 + p / 2) * 0x1p-23));
  // 0, subnormal, negative, infinite and NaN, for p above 1.
  for (const float x : {0.0f, 1e-40f, -0.0f, -1e-40f, -1.0f, -INFINITY, INFINITY, NAN, -NAN}) {
    const float y = lane<float>(power_of(broadcast<float>(x), Exponent(2.5)), 0);
    const bool right = x >= 0 && x < 1e-30f && !std::signbit(x) ? y == 0 : std::isinf(y);
    std::printf("%g %d\n", x, right ? 0 : 2);
  }
}
