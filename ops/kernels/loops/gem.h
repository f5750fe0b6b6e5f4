// Y = mean(max(X, epsilon)^p)^(1/p).
//
// The powers of a window are summed in float32. Where their sum leaves the range in which it is
// accurate, as for large p, they are summed again as (x / m)^p, with m the greatest value, and m is
// put back after the root; and where that does not help either, because of NaN, infinities,
// subnormal or negative numbers, one by one in float64, as the definition says.
#pragma once

// For its pow, which is no inline function; <cmath> has some.
#include <math.h>

#include "average.h"
#include "job.h"
#include "powers.h"
#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// The values of one window: `slices` times `rows` runs of elements that follow each other.
template <typename T>
struct WindowValues {
  const T* first;
  int64_t slices, slice_stride;
  int64_t rows, row_stride;
  int64_t run;

  WindowValues(const T* plane, const Axis& height, const Axis& width, Window d, Window h, Window w)
      : slice_stride(height.length * width.length), row_stride(width.length) {
    first = plane + d.start * slice_stride + h.start * row_stride + w.start;
    slices = d.end - d.start, rows = h.end - h.start, run = w.end - w.start;
    if (run == row_stride) run *= rows, rows = 1;
    if (run == slice_stride) run *= slices, slices = 1;
  }

  int64_t count() const { return slices * rows * run; }

  template <typename Visit>
  void for_each_run(const Visit& visit) const {
    for (int64_t s = 0; s < slices; ++s)
      for (int64_t r = 0; r < rows; ++r) visit(first + s * slice_stride + r * row_stride);
  }
};

// Calls visit(p, count) with values that follow each other in memory, until it has seen all.
template <typename T, typename Visit>
void for_each_span(const WindowValues<T>& window, const Visit& visit) {
  constexpr int64_t kLong = 4 * kLanes<T>, kPacked = 16 * kLanes<T>;
  if (window.run >= kLong || window.slices * window.rows == 1) {
    window.for_each_run([&](const T* run) { visit(run, window.run); });
    return;
  }
  T packed[kPacked];
  int64_t size = 0;
  window.for_each_run([&](const T* run) {
    if (size + window.run > kPacked) {
      visit(packed, size);
      size = 0;
    }
    for (int64_t i = 0; i < window.run; ++i) packed[size++] = run[i];
  });
  visit(packed, size);
}

// 1 in the first `lanes` lanes, 0 in the others.
template <typename T>
Vec<T> first_lanes(int64_t lanes) {
  struct Table {
    constexpr Table() {
      for (int i = 0; i < kLanes<T>; ++i) values[i] = 1;
    }
    Compute<T> values[2 * kLanes<T>] = {};
  };
  static constexpr Table table;
  Vec<T> v;
  std::memcpy(&v, table.values + kLanes<T> - lanes, sizeof v);
  return v;
}

// The sum of f(x[i]), in the lanes of a vector.
template <typename T, typename F>
Vec<T> sum_span(const T* x, int64_t count, const F& f) {
  constexpr int64_t kVectors = 2, kStep = kVectors * kLanes<T>;
  Vec<T> total{};
  int64_t i = 0;
  while (i + kStep <= count) {
    const int64_t end = i + least(kBlock, (count - i) / kStep) * kStep;
    Vec<T> part[kVectors] = {};
    for (; i < end; i += kStep)
      for (int v = 0; v < kVectors; ++v) part[v] += f(load(x + i + v * kLanes<T>));
    total += part[0] + part[1];
  }
  for (; i + kLanes<T> <= count; i += kLanes<T>) total += f(load(x + i));
  if (i < count) total += f(load_part(x + i, count - i)) * first_lanes<T>(count - i);
  return total;
}

// The sum of f(max(x, epsilon) * factor).
template <typename T, typename F>
double sum_of(const WindowValues<T>& window, Compute<T> epsilon, Compute<T> factor, const F& f) {
  Vec<T> total{};
  for_each_span(window, [&](const T* x, int64_t count) {
    total += sum_span(
        x, count, [&](Vec<T> v) { return f((v < epsilon ? broadcast<T>(epsilon) : v) * factor); });
  });
  Compute<T> lanes[kLanes<T>];
  store<T>(lanes, total);
  return static_cast<double>(tree<kLanes<T>>(Mean<T>{}, [&](int i) { return lanes[i]; }));
}

// The greatest magnitude of max(x, epsilon), NaN aside.
template <typename T>
double greatest_of(const WindowValues<T>& window, Compute<T> epsilon) {
  double greatest = 0;
  window.for_each_run([&](const T* x) {
    for (int64_t i = 0; i < window.run; ++i) {
      const auto value = static_cast<double>(to_compute(x[i]));
      const double magnitude = fabs(value < epsilon ? epsilon : value);
      greatest = magnitude > greatest ? magnitude : greatest;
    }
  });
  return greatest;
}

// The definition, in float64.
template <typename T>
double pool_exactly(const WindowValues<T>& window, double epsilon, double p, double greatest) {
  const double scale = greatest > 0 && greatest <= 0x1.fffffffffffffp1023 ? greatest : 1;
  double sum = 0;
  window.for_each_run([&](const T* x) {
    for (int64_t i = 0; i < window.run; ++i) {
      const double value = static_cast<double>(to_compute(x[i]));
      sum += pow((value < epsilon ? epsilon : value) / scale, p);
    }
  });
  return scale * pow(sum / static_cast<double>(window.count()), 1 / p);
}

// Y is scale * mean^(1/p).
struct PowerMean {
  double mean, scale;
};

template <typename T>
bool is_accurate(double sum, double count) {
  constexpr bool kDouble = sizeof(Compute<T>) == sizeof(double);
  // In float32, powers that vanish are below 2^-125. In float64 the range is narrower than it could
  // be, because the root of a very large or small mean suffers from the rounding of 1 / p.
  constexpr double kLeast = kDouble ? 0x1p-60 : 0x1p-100, kMost = kDouble ? 0x1p60 : 0x1p120;
  return sum >= count * kLeast && sum <= kMost;
}

// f(x) is x^p.
template <typename T, typename F>
PowerMean pool_window(const WindowValues<T>& window, Compute<T> epsilon, double p, const F& f) {
  const auto count = static_cast<double>(window.count());
  const double sum = sum_of(window, epsilon, Compute<T>{1}, f);
  if (is_accurate<T>(sum, count)) return {sum / count, 1};
  const double greatest = greatest_of(window, epsilon);
  if (sum == 0 && greatest == 0) return {1, 0};
  const double scaled_sum = sum_of(window, epsilon, static_cast<Compute<T>>(1 / greatest), f);
  if (is_accurate<T>(scaled_sum, count)) return {scaled_sum / count, greatest};
  return {1, pool_exactly(window, epsilon, p, greatest)};
}

template <typename T>
PowerMean pool_window(const WindowValues<T>& window, Compute<T> epsilon, double p) {
  const auto pool = [&](const auto& f) { return pool_window(window, epsilon, p, f); };
  if (p == 2) return pool([](Vec<T> x) { return x * x; });
  if (p == 3) return pool([](Vec<T> x) { return x * x * x; });
  if (p == 4) return pool([](Vec<T> x) { return (x * x) * (x * x); });
  if constexpr (sizeof(Compute<T>) == sizeof(float)) {
    const Exponent exponent(p);
    // Below 1, power does not tell what it cannot take.
    if (p > 1) return pool([&](Vec<T> x) { return power(x, exponent); });
  }
  return {1, pool_exactly(window, epsilon, p, greatest_of(window, epsilon))};
}

// p = 1: an average, which may be negative.
template <typename T>
PowerMean average_window(const WindowValues<T>& window, Compute<T> epsilon) {
  const double sum = sum_of(window, epsilon, Compute<T>{1}, [](Vec<T> x) { return x; });
  if (sum - sum == 0) return {1, sum / static_cast<double>(window.count())};
  return {1, pool_exactly(window, epsilon, 1, greatest_of(window, epsilon))};
}

// Results on their way to Y, for as many roots at once as a vector has lanes.
template <typename T>
class Roots {
 public:
  explicit Roots(T* y) : y_(y) {}
  ~Roots() { flush(); }

  void push(PowerMean mean, double p) {
    const Exponent root(1 / p);
    means_[size_] = static_cast<float>(mean.mean), scales_[size_] = static_cast<float>(mean.scale);
    values_[size_] = root.value, highs_[size_] = root.high, lows_[size_] = root.low;
    if (++size_ == kSize) flush();
  }

 private:
  static constexpr int kSize = kLanes<float>;

  void flush() {
    const Floats y = power(load(means_), load(values_), load(highs_), load(lows_));
    const Floats scaled = y * load(scales_);
    for (int i = 0; i < size_; ++i) *y_++ = from_compute<T>(lane<float>(scaled, i));
    size_ = 0;
  }

  T* y_;
  int size_ = 0;
  float means_[kSize] = {}, scales_[kSize] = {}, values_[kSize] = {}, highs_[kSize] = {},
        lows_[kSize] = {};
};

template <>
class Roots<double> {
 public:
  explicit Roots(double* y) : y_(y) {}
  void push(PowerMean mean, double p) { *y_++ = pow(mean.mean, 1 / p) * mean.scale; }

 private:
  double* y_;
};

template <typename T>
void to_doubles(const void* from, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = static_cast<double>(to_compute(static_cast<const T*>(from)[i]));
}

template <typename T>
void gem(const GemJob& job, int64_t first_unit, int64_t last_unit) {
  const int64_t plane = job.d.length * job.h.length * job.w.length;
  Roots<T> roots(static_cast<T*>(job.y) + first_unit * job.w.bins);
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t index = unit / units_per_plane(job), u = unit % units_per_plane(job);
    const T* x = static_cast<const T*>(job.x) + index * plane;
    const double p = job.exponents[index % job.exponent_count];
    for (int64_t j = 0; j < job.w.bins; ++j) {
      const WindowValues<T> window(x, job.h, job.w, job.d.windows[u / job.h.bins],
                                   job.h.windows[u % job.h.bins], job.w.windows[j]);
      const auto epsilon = static_cast<Compute<T>>(job.epsilon);
      roots.push(p == 1 ? average_window(window, epsilon) : pool_window(window, epsilon, p), p);
    }
  }
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
