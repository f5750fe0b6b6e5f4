// PyramidPool: Y_l = pool(X, output_sizes[l]): several adaptive pools of one tensor.
#include <iterator>
#include <set>

#include "ops.h"
#include "pooling.h"

namespace onnxpool {
namespace {

// An axis of X, divided in cells by the ends of the windows of all levels.
class CellAxis {
 public:
  void add(const Axis& level) {
    for (int64_t i = 0; i < level.bins; ++i)
      ends_.insert({level.windows[i].start, level.windows[i].end});
  }

  std::vector<Window> windows() const {
    std::vector<Window> cells;
    for (auto start = ends_.begin(), end = std::next(start); end != ends_.end(); ++start, ++end)
      cells.push_back({*start, *end});
    return cells;
  }

  // The windows of a level, as ranges of cells.
  std::vector<Window> in_cells(const Axis& level) const {
    const std::vector<int64_t> ends(ends_.begin(), ends_.end());
    const auto cell = [&](int64_t position) {
      return std::lower_bound(ends.begin(), ends.end(), position) - ends.begin();
    };
    std::vector<Window> windows;
    for (int64_t i = 0; i < level.bins; ++i)
      windows.push_back({cell(level.windows[i].start), cell(level.windows[i].end)});
    return windows;
  }

 private:
  std::set<int64_t> ends_;
};

// The levels, with their windows as ranges of cells.
class Cells {
 public:
  explicit Cells(const std::vector<Job>& levels) {
    for (const Job& level : levels) {
      d_.add(level.d);
      h_.add(level.h);
      w_.add(level.w);
    }
    cells_ = {d_.windows(), h_.windows(), w_.windows(), {}};
    windows_.reserve(levels.size());  // The levels point into it.
    for (const Job& level : levels) {
      windows_.push_back(
          {d_.in_cells(level.d), h_.in_cells(level.h), w_.in_cells(level.w), counts(level)});
      const LevelWindows& windows = windows_.back();
      levels_.push_back({level.y, windows.counts.data(), axis(cells_.d, windows.d),
                         axis(cells_.h, windows.h), axis(cells_.w, windows.w)});
    }
  }

  // Whether the loops can do it.
  bool fit() const {
    bool fits = size(cells_.d) * size(cells_.h) * size(cells_.w) <= kMostCells;
    for (const LevelWindows& level : windows_)
      fits = fits && static_cast<int64_t>(level.counts.size()) <= kMostCells;
    return fits;
  }

  // `x` gives the tensor and the lengths of its axes.
  PyramidJob job(Job x) const {
    x.d = {x.d.length, size(cells_.d), cells_.d.data()};
    x.h = {x.h.length, size(cells_.h), cells_.h.data()};
    x.w = {x.w.length, size(cells_.w), cells_.w.data()};
    x.block = planes_at_once(x.planes, x.x_elements);
    return {x, levels_.data(), static_cast<int64_t>(levels_.size())};
  }

 private:
  struct LevelWindows {
    std::vector<Window> d, h, w;
    std::vector<int64_t> counts;
  };

  static std::vector<int64_t> counts(const Job& level) {
    const auto length = [](const Axis& axis, int64_t i) {
      return axis.windows[i].end - axis.windows[i].start;
    };
    std::vector<int64_t> counts;
    for (int64_t d = 0; d < level.d.bins; ++d)
      for (int64_t h = 0; h < level.h.bins; ++h)
        for (int64_t w = 0; w < level.w.bins; ++w)
          counts.push_back(length(level.d, d) * length(level.h, h) * length(level.w, w));
    return counts;
  }

  static int64_t size(const std::vector<Window>& windows) {
    return static_cast<int64_t>(windows.size());
  }

  static Axis axis(const std::vector<Window>& cells, const std::vector<Window>& windows) {
    return {size(cells), size(windows), windows.data()};
  }

  CellAxis d_, h_, w_;
  LevelWindows cells_;
  std::vector<LevelWindows> windows_;
  std::vector<PyramidLevel> levels_;
};

class PyramidPool : public Op {
 public:
  explicit PyramidPool(const Attributes& attributes)
      : mode_(attributes.text("mode").value_or("average")) {
    if (mode_ != "average" && mode_ != "max") fail("takes a mode of average or max, found ", mode_);
    const auto numbers = attributes.ints("output_sizes");
    const auto count = static_cast<int64_t>(numbers.size()), levels = attributes.integer("levels");
    if (levels < 1 || count % levels != 0)
      fail("takes output_sizes for each of its ", levels, " levels, found ", count, " numbers");
    const int64_t k = count / levels;
    for (auto first = numbers.begin(); first != numbers.end(); first += k) {
      output_sizes_.emplace_back(first, first + k);
      check_output_size(output_sizes_.back(), /*computed=*/false);
    }
    if (output_sizes_.empty()) check_output_size({}, /*computed=*/false);
  }

  std::vector<std::vector<int64_t>> output_sizes() const override { return output_sizes_; }

  void compute(const Context& context) const override {
    const Tensor x = *context.input(0);
    std::vector<Plan> plans;
    for (const auto& sizes : output_sizes_) plans.emplace_back(x, sizes);
    if (context.output_count() != plans.size())
      fail("has ", plans.size(), " levels, found ", context.output_count(), " outputs");
    std::vector<Job> levels;
    for (size_t i = 0; i < plans.size(); ++i)
      levels.push_back(plans[i].job(context.output(i, plans[i].y_shape())));
    const Job& first = levels.front();
    if (first.x_elements == 0) return;

    const bool average = mode_ == "average";
    const Cells cells(levels);
    if (!cells.fit()) {
      for (size_t i = 0; i < plans.size(); ++i)
        plans[i].run(context, average ? table().average : table().max, levels[i].y);
      return;
    }
    const PyramidJob job = cells.job(first);
    const PyramidFunction pool = (average ? table().average_pyramid : table().max_pyramid)[x.type];
    context.parallel_for(block_count(job), job.x_elements,
                         [&](int64_t start, int64_t end) { pool(job, start, end); });
  }

 private:
  const std::string mode_;
  std::vector<std::vector<int64_t>> output_sizes_;
};

}  // namespace

const OpType& pyramid_pool() {
  static const OpType type{
      "PyramidPool",
      /*inputs=*/{{Element::kFloating}},
      /*outputs=*/{{Element::kFloating, ort::kVariadic}},
      [](const Attributes& attributes) { return std::make_unique<PyramidPool>(attributes); },
  };
  return type;
}

}  // namespace onnxpool
