#include "pooling.h"

#include <limits>
#include <numeric>

namespace onnxpool {
namespace {

int64_t product(Shape::const_iterator first, Shape::const_iterator last) {
  return std::accumulate(first, last, int64_t{1}, std::multiplies<>());
}

}  // namespace

void check_output_size(const std::vector<int64_t>& sizes, bool computed) {
  const auto fits = [&](int64_t s) { return s >= 1 || s == kKeep || (computed && s == kComputed); };
  if (sizes.empty() || sizes.size() > 3 || !std::all_of(sizes.begin(), sizes.end(), fits))
    fail("takes an output_size of 1 to 3 sizes, each at least 1 or -1 (keep)",
         computed ? " or 0 (computed)" : "", ", found ", sizes);
}

std::vector<int64_t> read_output_size(const Attributes& attributes, bool computed) {
  auto sizes = attributes.ints("output_size");
  check_output_size(sizes, computed);
  return sizes;
}

std::vector<int64_t> resolve_size(std::vector<int64_t> sizes, const std::optional<Tensor>& size) {
  if (std::count(sizes.begin(), sizes.end(), kComputed) == 0) return sizes;
  const Shape wanted{static_cast<int64_t>(sizes.size())};
  if (!size)
    fail("with output_size ", sizes, " takes an input size of shape ", wanted, ", found none");
  if (size->shape != wanted)
    fail("with output_size ", sizes, " takes an input size of shape ", wanted, ", found shape ",
         size->shape);
  const auto* computed = static_cast<const int64_t*>(size->data);
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != kComputed) continue;
    if (computed[i] < 1)
      fail("takes a size of at least 1, found ",
           std::vector<int64_t>(computed, computed + sizes.size()));
    sizes[i] = computed[i];
  }
  return sizes;
}

int64_t planes_at_once(int64_t items, int64_t elements) {
  int64_t planes = kMostPlanes;
  while (planes > 1 && planes > items / Context::most_tasks(elements)) planes /= 2;
  return planes;
}

Plan::Plan(const Tensor& x, const std::vector<int64_t>& sizes) : x_(x), y_shape_(x.shape) {
  const size_t k = sizes.size(), rank = x.shape.size();
  if (rank != k + 1 && rank != k + 2)
    fail("with output_size ", sizes, " takes an input of rank ", k + 1, " or ", k + 2,
         ", found shape ", x.shape);
  planes_ = product(x.shape.begin(), x.shape.end() - static_cast<std::ptrdiff_t>(k));
  for (size_t i = 0; i < k; ++i) {
    const size_t axis = 3 - k + i;
    const int64_t length = x.shape[rank - k + i];
    const int64_t bins = sizes[i] == kKeep ? length : sizes[i];
    if (length == 0 && bins > 0) fail("takes pooled axes of at least 1, found shape ", x.shape);
    y_shape_[rank - k + i] = lengths_[axis] = length;
    y_shape_[rank - k + i] = bins_[axis] = bins;
  }
  for (int i = 0; i < 3; ++i) windows_[i] = windows(lengths_[i], bins_[i]);
}

Job Plan::job(void* y, int64_t* indices) const {
  const auto axis = [&](int i) { return Axis{lengths_[i], bins_[i], windows_[i].data()}; };
  const int64_t x_elements = product(x_.shape.begin(), x_.shape.end());
  const int64_t y_elements = product(y_shape_.begin(), y_shape_.end());
  const int64_t elements = std::max(x_elements, y_elements);
  const int64_t block = planes_at_once(planes_ * bins_[0] * bins_[1], elements);
  return {x_.data, x_elements, y, y_elements, indices, axis(0), axis(1), axis(2), planes_, block};
}

void Plan::run(const Context& context, const ByDType<PoolFunction>& function, void* y,
               int64_t* indices) const {
  const Job pooled = job(y, indices);
  run_items(context, pooled,
            [&](int64_t first, int64_t last) { function[x_.type](pooled, first, last); });
}

void run_items(const Context& context, const Job& job,
               const std::function<void(int64_t, int64_t)>& body, int64_t cost) {
  if (job.y_elements == 0) return;
  const int64_t elements = cost * std::max(job.x_elements, job.y_elements);
  const int64_t blocks = block_count(job), rows = rows_per_plane(job);
  // Whole planes are read in the order of their elements, which is faster.
  const int64_t unit = blocks >= Context::most_tasks(elements) ? rows : 1;
  context.parallel_for(blocks * rows / unit, elements,
                       [&](int64_t first, int64_t last) { body(first * unit, last * unit); });
}

}  // namespace onnxpool
