// PyramidUpsample: Y = concat(X, upsample(L_1), …): the levels of a pyramid beside its input.
#include <cmath>
#include <limits>

#include "ops.h"
#include "pooling.h"

namespace onnxpool {
namespace {

constexpr int64_t kWidestVector = 16;

// Bytes of Y from which on it is written past the caches, which it would not stay in.
constexpr int64_t kStreamed = 8 * 1024 * 1024;

// The neighbours of each output of an axis. Where it lies on a position, both are that, with half a
// share each: an infinity times the share 0 would be lost, or reach what it is not part of.
class AxisNeighbours {
 public:
  AxisNeighbours(int64_t length, int64_t size, const std::string& mode) {
    const auto padded = static_cast<size_t>((size + kWidestVector - 1) / kWidestVector) *
                        static_cast<size_t>(kWidestVector);
    below_.resize(padded), above_.resize(padded), share32_.resize(padded), share64_.resize(padded);
    for (int64_t i = 0; i < size; ++i) {
      const double x =
          std::clamp(position(i, length, size, mode), 0.0, static_cast<double>(length - 1));
      const auto below = static_cast<int32_t>(x);
      const double rest = x - below, share = rest > 0 ? rest : 0.5;
      const auto at = static_cast<size_t>(i);
      below_[at] = below, above_[at] = below + (rest > 0);
      share64_[at] = share, share32_[at] = static_cast<float>(share);
    }
  }

  Neighbours get() const {
    return {below_.data(), above_.data(), share32_.data(), share64_.data()};
  }

 private:
  // Quotients of whole numbers, so that whole positions are whole.
  static double position(int64_t i, int64_t length, int64_t size, const std::string& mode) {
    if (mode != "half_pixel" && size == 1) return 0;
    if (mode == "align_corners") return quotient(i * (length - 1), size - 1);
    return quotient((2 * i + 1) * length - size, 2 * size);
  }
  static double quotient(int64_t a, int64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  }

  std::vector<int32_t> below_, above_;
  std::vector<float> share32_;
  std::vector<double> share64_;
};

class PyramidUpsample : public Op {
 public:
  explicit PyramidUpsample(const Attributes& attributes)
      : mode_(attributes.text("coordinate_transformation_mode").value_or("")),
        position_(attributes.integer("position")) {
    if (mode_ != "align_corners" && mode_ != "half_pixel" && mode_ != "pytorch_half_pixel")
      fail(
          "takes a coordinate_transformation_mode of align_corners or half_pixel or "
          "pytorch_half_pixel, found ",
          mode_);
    if (position_ < 0) fail("takes a position of 0 or more, found ", position_);
  }

  std::vector<std::vector<int64_t>> output_sizes() const override { return {{}}; }
  bool joins_channels() const override { return true; }

  void compute(const Context& context) const override {
    const std::vector<Tensor> tensors = in_order_of_y(context);
    const Tensor& x = tensors[static_cast<size_t>(position_)];
    Shape y_shape = x.shape;
    y_shape[1] = 0;
    for (const Tensor& tensor : tensors) y_shape[1] += tensor.shape[1];
    UpsampleJob job{context.output(0, y_shape),
                    y_shape[0],
                    y_shape[1],
                    y_shape[2],
                    y_shape[3],
                    nullptr,
                    static_cast<int64_t>(tensors.size()),
                    false};
    const int64_t planes = job.batch * job.channels, elements = planes * job.h * job.w;
    if (elements == 0) return;

    std::vector<AxisNeighbours> neighbours;
    neighbours.reserve(2 * tensors.size());  // The inputs point into them.
    std::vector<UpsampleInput> inputs;
    int64_t first = 0;
    for (const Tensor& tensor : tensors) {
      inputs.push_back(upsampled(tensor, first, job, neighbours));
      first += tensor.shape[1];
    }
    job.inputs = inputs.data();
    job.streams = elements * element_size(x.type) >= kStreamed;
    const UpsampleFunction upsample = table().upsample[x.type];
    context.parallel_for(planes, elements,
                         [&](int64_t start, int64_t end) { upsample(job, start, end); });
  }

 private:
  // The inputs as they follow each other in Y.
  std::vector<Tensor> in_order_of_y(const Context& context) const {
    const auto levels = static_cast<int64_t>(context.input_count()) - 1;
    if (position_ > levels)
      fail("with ", levels, " levels takes a position of at most ", levels, ", found ", position_);
    std::vector<Tensor> tensors;
    for (int64_t i = 0; i <= levels; ++i) tensors.push_back(*context.input(static_cast<size_t>(i)));
    for (const Tensor& tensor : tensors) {
      if (tensor.shape.size() != 4) fail("takes inputs of rank 4, found shape ", tensor.shape);
      if (tensor.shape[0] != tensors[0].shape[0])
        fail("takes inputs of one batch, found shapes ", tensors[0].shape, " and ", tensor.shape);
    }
    std::rotate(tensors.begin(), tensors.begin() + 1, tensors.begin() + position_ + 1);
    return tensors;
  }

  UpsampleInput upsampled(const Tensor& tensor, int64_t first, const UpsampleJob& job,
                          std::vector<AxisNeighbours>& neighbours) const {
    const int64_t channels = tensor.shape[1], h = tensor.shape[2], w = tensor.shape[3];
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (h > kMost || w > kMost || job.h > kMost || job.w > kMost)
      fail("takes planes of at most ", kMost, " rows and columns, found shape ", tensor.shape);
    UpsampleInput input{tensor.data, first, channels, h, w, h == job.h && w == job.w, {}, {}};
    if (input.copied || channels == 0) return input;
    if (h == 0 || w == 0) fail("takes levels of at least one element, found shape ", tensor.shape);
    input.rows = neighbours.emplace_back(h, job.h, mode_).get();
    input.columns = neighbours.emplace_back(w, job.w, mode_).get();
    return input;
  }

  static int64_t element_size(ort::ElementType type) {
    return type == ort::kDouble ? 8 : type == ort::kFloat ? 4 : 2;
  }

  const std::string mode_;
  const int64_t position_;
};

}  // namespace

const OpType& pyramid_upsample() {
  static const OpType type{
      "PyramidUpsample",
      /*inputs=*/{{Element::kFloating}, {Element::kFloating, ort::kVariadic}},
      /*outputs=*/{{Element::kFloating}},
      [](const Attributes& attributes) { return std::make_unique<PyramidUpsample>(attributes); },
  };
  return type;
}

}  // namespace onnxpool
