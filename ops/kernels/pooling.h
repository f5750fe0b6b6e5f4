// What the pooling ops share between their attributes and the loops.
#pragma once

#include "loops/table.h"
#include "op.h"

namespace onnxpool {

// The attribute output_size: 1 to 3 sizes, each at least 1, or kKeep, or, where `computed`,
// kComputed.
std::vector<int64_t> read_output_size(const Attributes& attributes, bool computed);

// Checks that `sizes` are 1 to 3 output sizes; `computed` as above.
void check_output_size(const std::vector<int64_t>& sizes, bool computed);

// `sizes` with the elements of the input `size` where they are kComputed.
std::vector<int64_t> resolve_size(std::vector<int64_t> sizes, const std::optional<Tensor>& size);

// How many planes an item of a job has, if there were `items` of one plane: as many as fill a
// vector, or half of one and so on, where threads would have nothing to do.
int64_t planes_at_once(int64_t items, int64_t elements);

// Calls body(first_item, last_item) for the items of a job, in parallel; an element costs `cost`
// times what it takes to read it.
void run_items(const Context& context, const Job& job,
               const std::function<void(int64_t, int64_t)>& body, int64_t cost = 1);

// X pooled over its last axes to `sizes`, none of them kComputed.
class Plan {
 public:
  Plan(const Tensor& x, const std::vector<int64_t>& sizes);

  const Shape& y_shape() const { return y_shape_; }
  int64_t row_length() const { return lengths_[2]; }
  int64_t rows_per_plane() const { return lengths_[0] * lengths_[1]; }

  // What the loops are given; it refers to this plan.
  Job job(void* y, int64_t* indices = nullptr) const;

  // Runs one of the loops for X's element type.
  void run(const Context& context, const ByDType<PoolFunction>& function, void* y,
           int64_t* indices = nullptr) const;

 private:
  const Tensor& x_;
  Shape y_shape_;
  int64_t planes_ = 1;
  int64_t lengths_[3] = {1, 1, 1}, bins_[3] = {1, 1, 1};
  std::vector<Window> windows_[3];
};

}  // namespace onnxpool
