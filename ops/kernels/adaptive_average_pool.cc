// AdaptiveAveragePool: Y[…, i] = mean(X[…, start(i):end(i)]), on each of the last k axes.
#include "ops.h"
#include "pooling.h"

namespace onnxpool {
namespace {

class AdaptiveAveragePool : public Op {
 public:
  explicit AdaptiveAveragePool(const Attributes& attributes)
      : output_size_(read_output_size(attributes, /*computed=*/true)) {}

  std::vector<std::vector<int64_t>> output_sizes() const override { return {output_size_}; }

  void compute(const Context& context) const override {
    const Tensor x = *context.input(0);
    const Plan plan(x, resolve_size(output_size_, context.input(1)));
    plan.run(context, table().average, context.output(0, plan.y_shape()));
  }

 private:
  const std::vector<int64_t> output_size_;
};

}  // namespace

const OpType& adaptive_average_pool() {
  static const OpType type{
      "AdaptiveAveragePool",
      /*inputs=*/{{Element::kFloating}, {Element::kInt64, ort::kOptional}},
      /*outputs=*/{{Element::kFloating}},
      [](const Attributes& attributes) {
        return std::make_unique<AdaptiveAveragePool>(attributes);
      },
  };
  return type;
}

}  // namespace onnxpool
