// AdaptiveMaxPool: Y[…, i] = max(X[…, start(i):end(i)]), on each of the last k axes; and where.
#include <limits>

#include "ops.h"
#include "pooling.h"

namespace onnxpool {
namespace {

class AdaptiveMaxPool : public Op {
 public:
  explicit AdaptiveMaxPool(const Attributes& attributes)
      : output_size_(read_output_size(attributes, /*computed=*/true)) {}

  std::vector<std::vector<int64_t>> output_sizes() const override {
    return {output_size_, output_size_};
  }

  void compute(const Context& context) const override {
    const Tensor x = *context.input(0);
    const Plan plan(x, resolve_size(output_size_, context.input(1)));
    void* y = context.output(0, plan.y_shape());
    auto* indices = static_cast<int64_t*>(context.output(1, plan.y_shape()));
    if (indices != nullptr) check_rows(plan.rows_per_plane());
    plan.run(context, indices ? table().max_with_indices : table().max, y, indices);
  }

 private:
  // The loops number the rows of a plane in 32 bits.
  static void check_rows(int64_t rows) {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (rows > kMost) fail("with Indices takes at most ", kMost, " rows in a plane, found ", rows);
  }

  const std::vector<int64_t> output_size_;
};

}  // namespace

const OpType& adaptive_max_pool() {
  static const OpType type{
      "AdaptiveMaxPool",
      /*inputs=*/{{Element::kFloating}, {Element::kInt64, ort::kOptional}},
      /*outputs=*/{{Element::kFloating}, {Element::kInt64, ort::kOptional}},
      [](const Attributes& attributes) { return std::make_unique<AdaptiveMaxPool>(attributes); },
  };
  return type;
}

}  // namespace onnxpool
