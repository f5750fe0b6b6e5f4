// GeMPool: Y = mean(max(X, epsilon)^p)^(1/p), the generalised mean over adaptive windows.
#include <cmath>
#include <limits>

#include "ops.h"
#include "pooling.h"

namespace onnxpool {
namespace {

class GeMPool : public Op {
 public:
  explicit GeMPool(const Attributes& attributes)
      : output_size_(read_output_size(attributes, /*computed=*/false)),
        epsilon_(attributes.number("epsilon")) {
    if (epsilon_ && !(*epsilon_ >= 0)) fail("takes an epsilon of at least 0, found ", *epsilon_);
  }

  std::vector<std::vector<int64_t>> output_sizes() const override { return {output_size_}; }

  void compute(const Context& context) const override {
    const Tensor x = *context.input(0);
    const Plan plan(x, output_size_);
    const auto exponents = read_exponents(*context.input(1), channels(x));
    GemJob job{plan.job(context.output(0, plan.y_shape())), exponents.data(),
               static_cast<int64_t>(exponents.size()),
               epsilon_.value_or(-std::numeric_limits<float>::infinity())};
    const GemFunction gem = table().gem[x.type];
    constexpr int64_t kPowers = 4;
    run_items(context, job, [&](int64_t first, int64_t last) { gem(job, first, last); }, kPowers);
  }

 private:
  int64_t channels(const Tensor& x) const {
    return x.shape[x.shape.size() - output_size_.size() - 1];
  }

  static std::vector<double> read_exponents(const Tensor& p, int64_t channels) {
    int64_t count = 1;
    for (const int64_t size : p.shape) count *= size;
    if (count != 1 && count != channels) fail("takes 1 or ", channels, " exponents, found ", count);
    std::vector<double> exponents(static_cast<size_t>(count));
    table().to_doubles[p.type](p.data, count, exponents.data());
    for (const double exponent : exponents)
      if (!(exponent > 0) || std::isinf(exponent))
        fail("takes finite exponents greater than 0, found ", exponent);
    return exponents;
  }

  const std::vector<int64_t> output_size_;
  const std::optional<float> epsilon_;
};

}  // namespace

const OpType& gem_pool() {
  static const OpType type{
      "GeMPool",
      /*inputs=*/{{Element::kFloating}, {Element::kFloating}},
      /*outputs=*/{{Element::kFloating}},
      [](const Attributes& attributes) { return std::make_unique<GeMPool>(attributes); },
  };
  return type;
}

}  // namespace onnxpool
