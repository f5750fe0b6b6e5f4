// Y = mean(max(X, epsilon)^p)^(1/p).
//
// The powers of a window are summed in float32. Where their sum leaves the range in which it is
// accurate, as for large p, they are summed again as (x / m)^p, with m the greatest value, and m is
// put back after the root; and where that does not help either, because of NaN, infinities,
// subnormal or negative numbers, one by one in float64, as the definition says.
#pragma once

// For its pow, which is no inline function; <cmath> has some.
#include <math.h>

#include "job.h"
#include "powers.h"
#include "reduce.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

// Sums of power(max(x, epsilon) * scale, plane), with a scale for each plane.
template <typename T, typename Power>
struct PowerSum {
  using Stored = T;
  static constexpr int kRows = 1;

  const Power& power;
  Compute<T> epsilon;
  const Compute<T>* scales;

  static Compute<T> identity() { return 0; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return a + b; }
  Vec<T> value(Vec<T> x, int plane) const {
    return power((x < epsilon ? broadcast<T>(epsilon) : x) * scales[plane], plane);
  }
};

// Calls visit(x) for each element of a window of a plane, in the type that T is computed in.
template <typename T, typename Visit>
void for_each_element(const T* plane, const Rows& rows, const Window& window, const Visit& visit) {
  for (int64_t i = 0; i < rows.d.count; ++i)
    for (int64_t j = 0; j < rows.h.count; ++j) {
      const T* row = plane + rows.first + i * rows.d.stride + j * rows.h.stride;
      for (int64_t k = window.start; k < window.end; ++k) visit(to_compute(row[k]));
    }
}

// The greatest magnitude of max(x, epsilon), NaN aside.
template <typename T>
double greatest_of(const T* plane, const Rows& rows, const Window& window, double epsilon) {
  double greatest = 0;
  for_each_element(plane, rows, window, [&](Compute<T> x) {
    const double magnitude = fabs(x < epsilon ? epsilon : static_cast<double>(x));
    greatest = magnitude > greatest ? magnitude : greatest;
  });
  return greatest;
}

// The definition, in float64.
template <typename T>
double gem_exactly(const T* plane, const Rows& rows, const Window& window, double epsilon,
                   double p) {
  const double greatest = greatest_of(plane, rows, window, epsilon);
  const double scale = greatest > 0 && greatest <= 0x1.fffffffffffffp1023 ? greatest : 1;
  double sum = 0;
  for_each_element(plane, rows, window,
                   [&](Compute<T> x) { sum += pow((x < epsilon ? epsilon : static_cast<double>(x)) / scale, p); });
  const auto count = static_cast<double>(rows.count() * length(window));
  return scale * pow(sum / count, 1 / p);
}

template <typename T>
void to_doubles(const void* from, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = static_cast<double>(to_compute(static_cast<const T*>(from)[i]));
}

// Numbers like those of Exponent, one for each plane.
template <typename T>
struct Exponents {
  float value[kLanes<T>], high[kLanes<T>], low[kLanes<T>];

  void set(int plane, double p) {
    const Exponent exponent(p);
    value[plane] = exponent.value, high[plane] = exponent.high, low[plane] = exponent.low;
  }
};

// Some rows of Y, in some planes.
template <typename T>
class Gem {
 public:
  Gem(const GemJob& job, int64_t plane, int64_t planes, int64_t first_row, int64_t last_row)
      : job_(job),
        strip_(job, plane, planes),
        first_row_(first_row),
        last_row_(last_row),
        epsilon_(static_cast<Compute<T>>(job.epsilon)),
        results_(job.y, plane, planes, rows_per_plane(job) * job.w.bins, first_row * job.w.bins) {
    for (int i = 0; i < kLanes<T>; ++i) {
      p_[i] = job.exponents[(plane + (i < planes ? i : 0)) % job.exponent_count];
      exponents_.set(i, p_[i]), roots_.set(i, 1 / p_[i]);
      equal_ = equal_ && p_[i] == p_[0];
      least_ = p_[i] < least_ ? p_[i] : least_;
    }
  }

  void run() {
    if (equal_ && p_[0] == 1) return pool([](Vec<T> x, int) { return x; });
    if (equal_ && p_[0] == 2) return pool([](Vec<T> x, int) { return x * x; });
    if (equal_ && p_[0] == 3) return pool([](Vec<T> x, int) { return x * x * x; });
    if (equal_ && p_[0] == 4) return pool([](Vec<T> x, int) { return (x * x) * (x * x); });
    if constexpr (sizeof(Compute<T>) == sizeof(float)) {
      const auto powers = [this](Vec<T> x, int plane) {
        return power(x, broadcast<T>(exponents_.value[plane]),
                     broadcast<T>(exponents_.high[plane]), broadcast<T>(exponents_.low[plane]));
      };
      // Below 1, power does not tell what it cannot take.
      if (least_ >= 1) return pool(powers);
    }
    pool_exactly();
  }

 private:
  template <typename Power>
  void pool(const Power& power) {
    Compute<T> scales[kLanes<T>];
    for (Compute<T>& scale : scales) scale = 1;
    const PowerSum<T, Power> r{power, epsilon_, scales};
    for (int64_t row = first_row_; row < last_row_; ++row) {
      const Rows rows = rows_of(job_, row);
      reduce_windows(r, strip_, rows, job_.w, [&](int64_t j, Vec<T> sum) {
        const Window& window = job_.w.windows[j];
        const int64_t count = rows.count() * length(window);
        const Vec<T> y = root(divide<T>(sum, static_cast<Compute<T>>(count)));
        const auto accurate = is_accurate(sum, count);
        results_.push(all<T>(accurate) ? y : pool_scaled(power, rows, window, sum, y));
      });
    }
  }

  // y, with the planes done again whose sum is not accurate.
  template <typename Power>
  Vec<T> pool_scaled(const Power& power, const Rows& rows, const Window& window, Vec<T> sum,
                     Vec<T> y) {
    const int64_t count = rows.count() * length(window);
    const auto accurate = is_accurate(sum, count);
    double greatest[kLanes<T>];
    Compute<T> scales[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i) {
      const bool again = i < strip_.planes && !lane<T>(accurate, i);
      greatest[i] = again ? greatest_of(strip_.x[i], rows, window, epsilon_) : 1;
      scales[i] = static_cast<Compute<T>>(1 / greatest[i]);
    }
    const Vec<T> scaled_sum =
        reduce_window(PowerSum<T, Power>{power, epsilon_, scales}, strip_, rows, window);
    const Vec<T> scaled = root(divide<T>(scaled_sum, static_cast<Compute<T>>(count)));
    const auto scaled_accurate = is_accurate(scaled_sum, count);
    for (int i = 0; i < strip_.planes; ++i) {
      if (lane<T>(accurate, i)) continue;
      double value;
      if (lane<T>(sum, i) == 0 && greatest[i] == 0)
        value = 0;
      else if (lane<T>(scaled_accurate, i))
        value = static_cast<double>(lane<T>(scaled, i)) * greatest[i];
      else
        value = exact(i, rows, window);
      set_lane<T>(y, i, static_cast<Compute<T>>(value));
    }
    return y;
  }

  void pool_exactly() {
    for (int64_t row = first_row_; row < last_row_; ++row) {
      const Rows rows = rows_of(job_, row);
      for (int64_t j = 0; j < job_.w.bins; ++j) {
        Vec<T> y = {};
        for (int i = 0; i < strip_.planes; ++i)
          set_lane<T>(y, i, static_cast<Compute<T>>(exact(i, rows, job_.w.windows[j])));
        results_.push(y);
      }
    }
  }

  double exact(int plane, const Rows& rows, const Window& window) const {
    return gem_exactly(strip_.x[plane], rows, window, static_cast<double>(epsilon_), p_[plane]);
  }

  // Whether the mean of `count` powers is as accurate as their sum can be.
  auto is_accurate(Vec<T> sum, int64_t count) const {
    constexpr bool kDouble = sizeof(Compute<T>) == sizeof(double);
    // In float32, powers that vanish are below 2^-125. In float64 the range is narrower than it
    // could be, because the root of a very large or small mean suffers from the rounding of 1 / p.
    constexpr auto kLeast = static_cast<Compute<T>>(kDouble ? 0x1p-60 : 0x1p-100);
    constexpr auto kMost = static_cast<Compute<T>>(kDouble ? 0x1p60 : 0x1p120);
    // An average may be negative; infinity less infinity is NaN.
    if (equal_ && p_[0] == 1) return (sum - sum) == Vec<T>{};
    return (sum >= kLeast * static_cast<Compute<T>>(count)) & (sum <= kMost);
  }

  Vec<T> root(Vec<T> mean) const {
    if (equal_ && p_[0] == 1) return mean;
    if constexpr (sizeof(Compute<T>) == sizeof(float)) {
      return power(mean, load(roots_.value), load(roots_.high), load(roots_.low));
    } else {
      Vec<T> y;
      for (int i = 0; i < kLanes<T>; ++i) set_lane<T>(y, i, pow(lane<T>(mean, i), 1 / p_[i]));
      return y;
    }
  }

  const GemJob& job_;
  const Strip<T> strip_;
  const int64_t first_row_, last_row_;
  const Compute<T> epsilon_;
  Results<T> results_;
  double p_[kLanes<T>], least_ = HUGE_VAL;
  bool equal_ = true;
  Exponents<T> exponents_, roots_;
};

template <typename T>
void gem(const GemJob& job, int64_t first_item, int64_t last_item) {
  for_each_strip<T>(job, first_item, last_item,
                    [&](int64_t plane, int64_t planes, int64_t first_row, int64_t last_row) {
                      Gem<T>(job, plane, planes, first_row, last_row).run();
                    });
}

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
