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

// Sums of powers of max(x, epsilon) * scale, with a scale for each plane. power(x, plane) takes the
// vectors of some planes, from that one on.
template <typename T, typename Power>
struct PowerSum {
  using Stored = T;
  static constexpr int kRows = 1, kPlanes = kLanes<T> < 4 ? kLanes<T> : 4;

  const Power& power;
  Compute<T> epsilon;
  const Compute<T>* scales;

  static Compute<T> identity() { return 0; }
  static Vec<T> combine(Vec<T> a, Vec<T> b) { return a + b; }
  void map(Vec<T> (&x)[kPlanes], int plane) const {
    for (int i = 0; i < kPlanes; ++i)
      x[i] = (x[i] < epsilon ? broadcast<T>(epsilon) : x[i]) * scales[plane + i];
    power(x, plane);
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
  for_each_element(plane, rows, window, [&](Compute<T> x) {
    sum += pow((x < epsilon ? epsilon : static_cast<double>(x)) / scale, p);
  });
  const auto count = static_cast<double>(rows.count() * length(window));
  return scale * pow(sum / count, 1 / p);
}

template <typename T>
void to_doubles(const void* from, int64_t count, double* to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = static_cast<double>(to_compute(static_cast<const T*>(from)[i]));
}

// An exponent for each plane.
template <typename T>
struct PlaneExponents {
  float value[kLanes<T>], high[kLanes<T>], low[kLanes<T>];

  void set(int plane, const Exponent& exponent) {
    value[plane] = exponent.value, high[plane] = exponent.high, low[plane] = exponent.low;
  }

  // A plane's, in all lanes.
  Exponents of(int plane) const { return Exponents::all(value[plane], high[plane], low[plane]); }

  // Each plane's in its lane.
  Exponents lanes() const { return {load(value), load(high), load(low)}; }
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
    int64_t channel = plane % job.exponent_count;
    double p = job.exponents[channel];
    Exponent exponent(p), root(1 / p);
    for (int i = 0; i < kLanes<T>; ++i) {
      if (p != job.exponents[channel]) {
        p = job.exponents[channel];
        exponent = Exponent(p), root = Exponent(1 / p);
      }
      p_[i] = p;
      exponents_.set(i, exponent), roots_.set(i, root);
      equal_ = equal_ && p == p_[0];
      least_ = p < least_ ? p : least_;
      if (i + 1 < planes && ++channel == job.exponent_count) channel = 0;
    }
  }

  void run() {
    if (equal_ && p_[0] == 1) return pool_by([](Vec<T> x) { return x; });
    if (equal_ && p_[0] == 2) return pool_by([](Vec<T> x) { return x * x; });
    if (equal_ && p_[0] == 3) return pool_by([](Vec<T> x) { return x * x * x; });
    if (equal_ && p_[0] == 4) return pool_by([](Vec<T> x) { return (x * x) * (x * x); });
    if constexpr (sizeof(Compute<T>) == sizeof(float)) {
      // Below 1, power does not tell what it cannot take.
      if (least_ >= 1 && equal_)
        return pool([all = exponents_.of(0)](auto& x, int) { power(x, [&](int) { return all; }); });
      if (least_ >= 1)
        return pool([this](auto& x, int plane) {
          power(x, [&](int i) { return exponents_.of(plane + i); });
        });
    }
    pool_exactly();
  }

 private:
  // f(x) is the power of a vector.
  template <typename F>
  void pool_by(const F& f) {
    pool([&](auto& x, int) {
      for (Vec<T>& v : x) v = f(v);
    });
  }

  template <typename Power>
  void pool(const Power& power) {
    Compute<T> scales[kLanes<T>];
    for (Compute<T>& scale : scales) scale = 1;
    const PowerSum<T, Power> r{power, epsilon_, scales};
    for_each_row(job_, first_row_, last_row_, [&](const Rows& rows) {
      reduce_windows(r, strip_, rows, job_.w, [&](int64_t j, Vec<T> sum) {
        const Window& window = job_.w.windows[j];
        const int64_t count = rows.count() * length(window);
        const Vec<T> y = root(Divisor<T>(count).divide(sum));
        const Mask<T> accurate = is_accurate(sum, count);
        results_.push(holds_in_all_lanes<T>(accurate)
                          ? y
                          : pool_scaled(power, rows, window, sum, accurate, y));
      });
    });
  }

  // y, with the planes done again whose sum is not accurate.
  template <typename Power>
  Vec<T> pool_scaled(const Power& power, const Rows& rows, const Window& window, Vec<T> sum,
                     Mask<T> accurate, Vec<T> y) {
    const int64_t count = rows.count() * length(window);
    double greatest[kLanes<T>];
    Compute<T> scales[kLanes<T>];
    for (int i = 0; i < kLanes<T>; ++i) {
      const bool again = i < strip_.planes && !holds<T>(accurate, i);
      greatest[i] = again ? greatest_of(strip_.x[i], rows, window, epsilon_) : 1;
      scales[i] = static_cast<Compute<T>>(1 / greatest[i]);
    }
    const Vec<T> scaled_sum =
        reduce_window(PowerSum<T, Power>{power, epsilon_, scales}, strip_, rows, window);
    const Vec<T> scaled = root(Divisor<T>(count).divide(scaled_sum));
    const Mask<T> scaled_accurate = is_accurate(scaled_sum, count);
    for (int i = 0; i < strip_.planes; ++i) {
      if (holds<T>(accurate, i)) continue;
      double value;
      if (lane<T>(sum, i) == 0 && greatest[i] == 0)
        value = 0;
      else if (holds<T>(scaled_accurate, i))
        value = static_cast<double>(lane<T>(scaled, i)) * greatest[i];
      else
        value = exact(i, rows, window);
      set_lane<T>(y, i, static_cast<Compute<T>>(value));
    }
    return y;
  }

  void pool_exactly() {
    for_each_row(job_, first_row_, last_row_, [&](const Rows& rows) {
      for (int64_t j = 0; j < job_.w.bins; ++j) {
        Vec<T> y = {};
        for (int i = 0; i < strip_.planes; ++i)
          set_lane<T>(y, i, static_cast<Compute<T>>(exact(i, rows, job_.w.windows[j])));
        results_.push(y);
      }
    });
  }

  double exact(int plane, const Rows& rows, const Window& window) const {
    return gem_exactly(strip_.x[plane], rows, window, static_cast<double>(epsilon_), p_[plane]);
  }

  // Whether the mean of `count` powers is as accurate as their sum can be.
  Mask<T> is_accurate(Vec<T> sum, int64_t count) const {
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
      Vec<T> y[] = {mean};
      power(y, [this](int) { return roots_.lanes(); });
      return y[0];
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
  PlaneExponents<T> exponents_, roots_;
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
