// What an op of the library is. One op per .cc file; README.md tells how to add one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dtype.h"
#include "error.h"
#include "ort_abi.h"

namespace onnxpool {

using Shape = std::vector<int64_t>;

// The attributes of a node. A missing optional attribute is nullopt; one of another type is an
// Error, and so is a missing required one.
class Attributes {
 public:
  virtual ~Attributes() = default;
  virtual std::vector<int64_t> ints(const char* name) const = 0;
  virtual int64_t integer(const char* name) const = 0;
  virtual std::optional<float> number(const char* name) const = 0;
  virtual std::optional<std::string> text(const char* name) const = 0;
};

struct Tensor {
  const void* data;
  ort::ElementType type;
  Shape shape;
};

// One Run of one node.
class Context {
 public:
  Context(const ort::Api& api, ort::KernelContext* context) : api_(api), context_(context) {}

  // nullopt where the node leaves an optional input out.
  std::optional<Tensor> input(size_t index) const;

  size_t input_count() const;
  size_t output_count() const;

  // nullptr where the node leaves an optional output out.
  void* output(size_t index, const Shape& shape) const;

  // In how many tasks work is divided that reads or writes so many elements: at least 1.
  static int64_t most_tasks(int64_t elements);

  // Calls body(first, last) on ranges that together cover [0, units), in the runtime's thread pool.
  // `elements` is how many elements all units together read or write: small work is not divided.
  // body must not throw, and its results must not depend on where the ranges end.
  void parallel_for(int64_t units, int64_t elements,
                    const std::function<void(int64_t, int64_t)>& body) const;

 private:
  const ort::Api& api_;
  ort::KernelContext* context_;
};

// A node of the model: made once, with its attributes; compute may run in many threads at once.
class Op {
 public:
  virtual ~Op() = default;

  // For each output the sizes of X's last axes: at least 1, or kKeep, or kComputed.
  virtual std::vector<std::vector<int64_t>> output_sizes() const = 0;

  // Whether axis 1 of Y has the elements of those of all inputs, one behind the other.
  virtual bool joins_channels() const { return false; }

  virtual void compute(const Context& context) const = 0;
};

enum class Element { kFloating, kInt64 };

struct Parameter {
  Element element;  // kFloating: the type of X, one of kDTypes.
  ort::Characteristic presence = ort::kRequired;
};

// An op as the runtime sees it.
struct OpType {
  const char* name;
  std::vector<Parameter> inputs;
  std::vector<Parameter> outputs;
  std::function<std::unique_ptr<Op>(const Attributes&)> create;
};

}  // namespace onnxpool
