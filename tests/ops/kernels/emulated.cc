// Runs kernels without ONNX Runtime, for machines that are emulated: reads cases from a file, as
// test_arm.py writes them, and writes their outputs to another.
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>

#include "ops.h"
#include "runtime.h"

namespace onnxpool::ort {

struct Status {
  std::string message;
};

struct TypeAndShape {
  ElementType type;
  Shape dims;
};

struct Value : TypeAndShape {
  std::vector<char> data;
};

struct KernelContext {
  std::vector<Value> inputs, outputs;
};

}  // namespace onnxpool::ort

using namespace onnxpool;

namespace {

int64_t size_of(ort::ElementType type) {
  return type == ort::kInt64 || type == ort::kDouble ? 8 : type == ort::kFloat ? 4 : 2;
}

int64_t bytes(const ort::TypeAndShape& tensor) {
  int64_t count = size_of(tensor.type);
  for (const int64_t dim : tensor.dims) count *= dim;
  return count;
}

class Reader {
 public:
  explicit Reader(const char* path) : in_(path, std::ios::binary) {}

  int64_t integer() { return read<int64_t>(); }
  float number() { return read<float>(); }

  std::string text() {
    std::string text(static_cast<size_t>(integer()), '\0');
    in_.read(text.data(), static_cast<std::streamsize>(text.size()));
    return text;
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> values(static_cast<size_t>(integer()));
    for (int64_t& value : values) value = integer();
    return values;
  }

  ort::Value tensor() {
    ort::Value value{};
    value.type = static_cast<ort::ElementType>(integer());
    value.dims = integers();
    value.data.resize(static_cast<size_t>(bytes(value)));
    in_.read(value.data.data(), static_cast<std::streamsize>(value.data.size()));
    return value;
  }

 private:
  template <typename T>
  T read() {
    T value{};
    if (!in_.read(reinterpret_cast<char*>(&value), sizeof value)) fail("the file ends too early");
    return value;
  }

  std::ifstream in_;
};

class GivenAttributes : public Attributes {
 public:
  explicit GivenAttributes(Reader& reader) {
    for (int64_t left = reader.integer(); left > 0; --left) {
      const std::string name = reader.text(), kind = reader.text();
      if (kind == "ints") ints_[name] = reader.integers();
      if (kind == "int") integers_[name] = reader.integer();
      if (kind == "float") numbers_[name] = reader.number();
      if (kind == "string") texts_[name] = reader.text();
    }
  }

  std::vector<int64_t> ints(const char* name) const override { return ints_.at(name); }
  int64_t integer(const char* name) const override { return integers_.at(name); }
  std::optional<float> number(const char* name) const override { return find(numbers_, name); }
  std::optional<std::string> text(const char* name) const override { return find(texts_, name); }

 private:
  template <typename T>
  static std::optional<T> find(const std::map<std::string, T>& values, const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  }

  std::map<std::string, std::vector<int64_t>> ints_;
  std::map<std::string, int64_t> integers_;
  std::map<std::string, float> numbers_;
  std::map<std::string, std::string> texts_;
};

// What a kernel calls as it runs; parallel work is done in one thread, the last part first.
ort::Api make_api() {
  ort::Api api{};
  api.KernelContext_GetInputCount = [](const ort::KernelContext* context, size_t* out) {
    *out = context->inputs.size();
    return static_cast<ort::Status*>(nullptr);
  };
  api.KernelContext_GetOutputCount = [](const ort::KernelContext* context, size_t* out) {
    *out = context->outputs.size();
    return static_cast<ort::Status*>(nullptr);
  };
  api.KernelContext_GetInput = [](const ort::KernelContext* context, size_t i,
                                  const ort::Value** out) {
    *out = i < context->inputs.size() ? &context->inputs[i] : nullptr;
    return static_cast<ort::Status*>(nullptr);
  };
  api.KernelContext_GetOutput = [](ort::KernelContext* context, size_t i, const int64_t* dims,
                                   size_t count, ort::Value** out) {
    ort::Value& value = context->outputs[i];
    value.dims.assign(dims, dims + count);
    value.data.resize(static_cast<size_t>(bytes(value)));
    *out = &value;
    return static_cast<ort::Status*>(nullptr);
  };
  api.GetTensorTypeAndShape = [](const ort::Value* value, ort::TypeAndShape** out) {
    *out = const_cast<ort::Value*>(value);
    return static_cast<ort::Status*>(nullptr);
  };
  api.ReleaseTensorTypeAndShapeInfo = [](ort::TypeAndShape*) {};
  api.GetTensorElementType = [](const ort::TypeAndShape* info, ort::ElementType* out) {
    *out = info->type;
    return static_cast<ort::Status*>(nullptr);
  };
  api.GetDimensionsCount = [](const ort::TypeAndShape* info, size_t* out) {
    *out = info->dims.size();
    return static_cast<ort::Status*>(nullptr);
  };
  api.GetDimensions = [](const ort::TypeAndShape* info, int64_t* dims, size_t count) {
    std::memcpy(dims, info->dims.data(), count * sizeof *dims);
    return static_cast<ort::Status*>(nullptr);
  };
  api.GetTensorMutableData = [](ort::Value* value, void** out) {
    *out = value->data.data();
    return static_cast<ort::Status*>(nullptr);
  };
  api.KernelContext_ParallelFor = [](const ort::KernelContext*, void (*fn)(void*, size_t),
                                     size_t total, size_t, void* data) {
    for (size_t i = total; i > 0; --i) fn(data, i - 1);
    return static_cast<ort::Status*>(nullptr);
  };
  return api;
}

const OpType& find(const std::string& name) {
  for (const OpType* type : op_types())
    if (name == type->name) return *type;
  fail("there is no op ", name);
}

void write(std::ofstream& out, int64_t value) {
  out.write(reinterpret_cast<const char*>(&value), sizeof value);
}

void run_case(Reader& reader, const ort::Api& api, std::ofstream& out) {
  const OpType& type = find(reader.text());
  const auto op = type.create(GivenAttributes(reader));
  ort::KernelContext context;
  for (int64_t left = reader.integer(); left > 0; --left) context.inputs.push_back(reader.tensor());
  for (int64_t left = reader.integer(), i = 0; left > 0; --left, ++i) {
    const size_t last = type.outputs.size() - 1;
    const Parameter& parameter = type.outputs[std::min(static_cast<size_t>(i), last)];
    ort::Value value{};
    value.type = parameter.element == Element::kInt64 ? ort::kInt64 : context.inputs[0].type;
    context.outputs.push_back(value);
  }
  op->compute(Context(api, &context));
  for (const ort::Value& value : context.outputs) {
    write(out, static_cast<int64_t>(value.dims.size()));
    for (const int64_t dim : value.dims) write(out, dim);
    out.write(value.data.data(), static_cast<std::streamsize>(value.data.size()));
  }
}

}  // namespace

int main(int, char** arguments) {
  try {
    Reader reader(arguments[1]);
    std::ofstream out(arguments[2], std::ios::binary);
    const ort::Api api = make_api();
    for (int64_t left = reader.integer(); left > 0; --left) run_case(reader, api, out);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
