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
    if (indices != nullptr) {
      check_number("rows in a plane", plan.rows_per_plane());
      check_number("elements in a row", plan.row_length());
    }
    plan.run(context, indices ? table().max_with_indices : table().max, y, indices);
  }

 private:
  // The loops number them in 32 bits.
  static void check_number(const char* what, int64_t number) {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (number > kMost) fail("with Indices takes at most ", kMost, " ", what, ", found ", number);
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
