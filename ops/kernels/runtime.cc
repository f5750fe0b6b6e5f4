// The C boundary: our ops as OrtCustomOp structs, OrtStatus from exceptions, RegisterCustomOps.
#include "runtime.h"

#include <map>
#include <mutex>

#include "windows.h"

namespace onnxpool {
namespace {

// Throws what the runtime reports.
void check(const ort::Api& api, ort::Status* status) {
  if (status == nullptr) return;
  const std::string message = api.GetErrorMessage(status);
  api.ReleaseStatus(status);
  throw Error(message);
}

// Whether a call succeeded, for calls that fail on what may be missing.
bool succeeded(const ort::Api& api, ort::Status* status) {
  if (status != nullptr) api.ReleaseStatus(status);
  return status == nullptr;
}

ort::Status* to_status(const ort::Api& api, const std::string& message) {
  return api.CreateStatus(ort::kInvalidArgument, message.c_str());
}

// The attributes as a kernel is created.
class KernelAttributes : public Attributes {
 public:
  KernelAttributes(const ort::Api& api, const ort::KernelInfo* info) : api_(api), info_(info) {}

  std::vector<int64_t> ints(const char* name) const override {
    size_t count = 0;
    require(name, api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &count));
    std::vector<int64_t> values(count);
    require(name, api_.KernelInfoGetAttributeArray_int64(info_, name, values.data(), &count));
    return values;
  }

  int64_t integer(const char* name) const override {
    int64_t value = 0;
    require(name, api_.KernelInfoGetAttribute_int64(info_, name, &value));
    return value;
  }

  std::optional<float> number(const char* name) const override {
    if (!exists(name)) return {};
    float value = 0;
    require(name, api_.KernelInfoGetAttribute_float(info_, name, &value));
    return value;
  }

  std::optional<std::string> text(const char* name) const override {
    if (!exists(name)) return {};
    size_t size = 0;
    require(name, api_.KernelInfoGetAttribute_string(info_, name, nullptr, &size));
    std::string value(size, '\0');
    require(name, api_.KernelInfoGetAttribute_string(info_, name, value.data(), &size));
    value.resize(size - 1);  // The terminating zero counts.
    return value;
  }

 private:
  void require(const char* name, ort::Status* status) const {
    try {
      check(api_, status);
    } catch (const Error& error) {
      fail("attribute ", name, ": ", error.what());
    }
  }

  // The ABI does not tell a missing attribute from one of another type, so each type is tried.
  bool exists(const char* name) const {
    int64_t integer = 0;
    float number = 0;
    size_t size = 0;
    return succeeded(api_, api_.KernelInfoGetAttribute_float(info_, name, &number)) ||
           succeeded(api_, api_.KernelInfoGetAttribute_int64(info_, name, &integer)) ||
           succeeded(api_, api_.KernelInfoGetAttribute_string(info_, name, nullptr, &size)) ||
           succeeded(api_, api_.KernelInfoGetAttributeArray_float(info_, name, nullptr, &size)) ||
           succeeded(api_, api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size));
  }

  const ort::Api& api_;
  const ort::KernelInfo* info_;
};

// The attributes as shapes are inferred.
class InferenceAttributes : public Attributes {
 public:
  InferenceAttributes(const ort::Api& api, const ort::ShapeInferContext* context)
      : api_(api), context_(context) {}

  std::vector<int64_t> ints(const char* name) const override {
    return *read<std::vector<int64_t>>(name, ort::kAttrInts);
  }

  int64_t integer(const char* name) const override {
    return read<std::vector<int64_t>>(name, ort::kAttrInt)->at(0);
  }

  std::optional<float> number(const char* name) const override {
    const auto values = read<std::vector<float>>(name, ort::kAttrFloat, kMayBeMissing);
    return values ? std::optional(values->at(0)) : std::nullopt;
  }

  std::optional<std::string> text(const char* name) const override {
    auto value = read<std::string>(name, ort::kAttrString, kMayBeMissing);
    // Whether the terminating zero counts differs from version to version.
    if (value && !value->empty() && value->back() == '\0') value->pop_back();
    return value;
  }

 private:
  static constexpr bool kMayBeMissing = true;

  template <typename Values>
  std::optional<Values> read(const char* name, ort::AttrType type, bool optional = false) const {
    const ort::OpAttr* attr = nullptr;
    if (!succeeded(api_, api_.ShapeInferContext_GetAttribute(context_, name, &attr))) {
      if (optional) return {};
      fail("the attribute '", name, "' is missing");
    }
    size_t bytes = 0;
    succeeded(api_, api_.ReadOpAttr(attr, type, nullptr, 0, &bytes));
    Values values(bytes / sizeof(typename Values::value_type), {});
    check(api_, api_.ReadOpAttr(attr, type, values.data(), bytes, &bytes));
    return values;
  }

  const ort::Api& api_;
  const ort::ShapeInferContext* context_;
};

// An op for one element type, as the runtime registers it.
struct Variant : ort::CustomOp {
  Variant(const ort::Api& api, const OpType& type, ort::ElementType dtype);

  static const Variant& of(const ort::CustomOp* op) { return *static_cast<const Variant*>(op); }

  const ort::Api& api;
  const OpType& type;
  ort::ElementType dtype;
};

// What CreateKernelV2 hands to KernelComputeV2.
struct Kernel {
  const Variant& variant;
  std::unique_ptr<Op> op;
};

std::string node_name(const ort::Api& api, const ort::KernelInfo* info) {
  size_t size = 0;
  succeeded(api, api.KernelInfo_GetNodeName(info, nullptr, &size));
  std::string name(size, '\0');
  if (size == 0 || !succeeded(api, api.KernelInfo_GetNodeName(info, name.data(), &size))) return "";
  name.resize(size - 1);
  return name;
}

ort::Status* create_kernel(const ort::CustomOp* op, const ort::Api* api,
                           const ort::KernelInfo* info, void** kernel) {
  const Variant& variant = Variant::of(op);
  try {
    *kernel = new Kernel{variant, variant.type.create(KernelAttributes(*api, info))};
    return nullptr;
  } catch (const std::exception& error) {
    return to_status(
        *api, std::string(variant.type.name) + " '" + node_name(*api, info) + "': " + error.what());
  }
}

ort::Status* compute(void* kernel, ort::KernelContext* context) {
  const auto& [variant, op] = *static_cast<Kernel*>(kernel);
  try {
    op->compute(Context(variant.api, context));
    return nullptr;
  } catch (const std::exception& error) {
    return to_status(variant.api, std::string(variant.type.name) + ": " + error.what());
  }
}

ort::ElementType element_type(ort::ElementType dtype, const Parameter& parameter) {
  return parameter.element == Element::kInt64 ? ort::kInt64 : dtype;
}

// X's axes, the last of them resized; names stand for sizes that are not known.
struct SymbolicShape {
  Shape dims;
  std::vector<const char*> names;

  bool resize(const std::vector<int64_t>& sizes) {
    if (sizes.size() > dims.size()) return false;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const size_t axis = dims.size() - sizes.size() + i;
      if (sizes[i] == kKeep) continue;
      dims[axis] = sizes[i] == kComputed ? -1 : sizes[i];
      names[axis] = "";
    }
    return true;
  }

  // The runtime has no spelling for a size that has neither a number nor a name.
  bool spellable() const {
    for (size_t axis = 0; axis < dims.size(); ++axis)
      if (dims[axis] < 0 && *names[axis] == '\0') return false;
    return true;
  }
};

SymbolicShape input_shape(const ort::Api& api, const ort::TypeAndShape* info) {
  size_t rank = 0;
  check(api, api.GetDimensionsCount(info, &rank));
  SymbolicShape shape{Shape(rank), std::vector<const char*>(rank)};
  check(api, api.GetDimensions(info, shape.dims.data(), rank));
  check(api, api.GetSymbolicDimensions(info, shape.names.data(), rank));
  return shape;
}

// The sum of the sizes of axis 1 of all inputs; -1 where one is not known.
int64_t joined_channels(const ort::Api& api, const ort::ShapeInferContext* context) {
  size_t inputs = 0;
  check(api, api.ShapeInferContext_GetInputCount(context, &inputs));
  int64_t channels = 0;
  for (size_t i = 0; i < inputs; ++i) {
    ort::TypeAndShape* info = nullptr;  // The context's own.
    check(api, api.ShapeInferContext_GetInputTypeShape(context, i, &info));
    const SymbolicShape shape = input_shape(api, info);
    if (shape.dims.size() < 2 || shape.dims[1] < 0) return -1;
    channels += shape.dims[1];
  }
  return channels;
}

void infer(const Variant& variant, ort::ShapeInferContext* context) {
  const ort::Api& api = variant.api;
  ort::TypeAndShape* x = nullptr;  // The context's own.
  check(api, api.ShapeInferContext_GetInputTypeShape(context, 0, &x));
  const SymbolicShape shape = input_shape(api, x);
  const size_t rank = shape.dims.size();

  // Not the variant's: the runtime asks the first variant for all element types.
  ort::ElementType dtype = ort::kUndefined;
  check(api, api.GetTensorElementType(x, &dtype));

  const auto& outputs = variant.type.outputs;
  const auto op = variant.type.create(InferenceAttributes(api, context));
  const auto sizes = op->output_sizes();
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto& parameter = outputs[std::min(i, outputs.size() - 1)];  // The last may be variadic.
    // A node may lack it, which cannot be asked, and ONNX Runtime 1.20 writes past its outputs.
    if (parameter.presence == ort::kOptional) break;
    SymbolicShape y = shape;
    if (op->joins_channels() && rank > 1)
      y.dims[1] = joined_channels(api, context), y.names[1] = "";
    if (!y.resize(sizes[i]) || !y.spellable()) continue;
    ort::TypeAndShape* info = nullptr;
    check(api, api.CreateTensorTypeAndShapeInfo(&info));
    const std::unique_ptr<ort::TypeAndShape, void (*)(ort::TypeAndShape*)> owner(
        info, api.ReleaseTensorTypeAndShapeInfo);
    check(api, api.SetTensorElementType(info, element_type(dtype, parameter)));
    check(api, api.SetDimensions(info, y.dims.data(), rank));
    check(api, api.SetSymbolicDimensions(info, y.names.data(), rank));
    // An optional output that the node leaves out is none that can be set.
    succeeded(api, api.ShapeInferContext_SetOutputTypeShape(context, i, info));
  }
}

// What is wrong with a node, create_kernel says: the runtime drops the status of shape inference.
ort::Status* infer_shapes(const ort::CustomOp* op, ort::ShapeInferContext* context) {
  try {
    infer(Variant::of(op), context);
  } catch (const std::exception&) {
  }
  return nullptr;
}

Variant::Variant(const ort::Api& api_table, const OpType& op_type, ort::ElementType element)
    : CustomOp{}, api(api_table), type(op_type), dtype(element) {
  version = ort::kApiVersion;
  GetName = [](const CustomOp* op) { return of(op).type.name; };
  GetExecutionProviderType = [](const CustomOp*) -> const char* { return nullptr; };  // The CPU's.
  GetInputType = [](const CustomOp* op, size_t i) {
    return element_type(of(op).dtype, of(op).type.inputs[i]);
  };
  GetInputTypeCount = [](const CustomOp* op) { return of(op).type.inputs.size(); };
  GetInputCharacteristic = [](const CustomOp* op, size_t i) {
    return of(op).type.inputs[i].presence;
  };
  GetInputMemoryType = [](const CustomOp*, size_t) { return ort::kDefaultMemory; };
  GetOutputType = [](const CustomOp* op, size_t i) {
    return element_type(of(op).dtype, of(op).type.outputs[i]);
  };
  GetOutputTypeCount = [](const CustomOp* op) { return of(op).type.outputs.size(); };
  GetOutputCharacteristic = [](const CustomOp* op, size_t i) {
    return of(op).type.outputs[i].presence;
  };
  GetVariadicInputMinArity = [](const CustomOp*) { return 1; };
  GetVariadicInputHomogeneity = [](const CustomOp*) { return 1; };
  GetVariadicOutputMinArity = [](const CustomOp*) { return 1; };
  GetVariadicOutputHomogeneity = [](const CustomOp*) { return 1; };
  CreateKernelV2 = create_kernel;
  KernelComputeV2 = onnxpool::compute;
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  InferOutputShapeFn = infer_shapes;
  GetStartVersion = [](const CustomOp*) { return 1; };
}

// The ops for one runtime. Sessions refer to it, so it lives as long as the library.
class Registration {
 public:
  explicit Registration(const ort::Api& api) {
    check(api, api.CreateCustomOpDomain("onnxpool", &domain_));
    for (const OpType* type : op_types())
      for (const ort::ElementType dtype : kDTypes) {
        variants_.push_back(std::make_unique<Variant>(api, *type, dtype));
        check(api, api.CustomOpDomain_Add(domain_, variants_.back().get()));
      }
  }

  static ort::CustomOpDomain* domain(const ort::Api& api) {
    static std::mutex mutex;
    // Never destroyed: a session may outlive the statics of this library.
    static auto& registrations = *new std::map<const ort::Api*, Registration>;
    const std::lock_guard lock(mutex);
    return registrations.try_emplace(&api, api).first->second.domain_;
  }

 private:
  ort::CustomOpDomain* domain_ = nullptr;
  std::vector<std::unique_ptr<Variant>> variants_;
};

}  // namespace

std::optional<Tensor> Context::input(size_t index) const {
  const ort::Value* value = nullptr;
  check(api_, api_.KernelContext_GetInput(context_, index, &value));
  if (value == nullptr) return {};
  ort::TypeAndShape* info = nullptr;
  check(api_, api_.GetTensorTypeAndShape(value, &info));
  const std::unique_ptr<ort::TypeAndShape, void (*)(ort::TypeAndShape*)> owner(
      info, api_.ReleaseTensorTypeAndShapeInfo);
  Tensor tensor{};
  size_t rank = 0;
  check(api_, api_.GetTensorElementType(info, &tensor.type));
  check(api_, api_.GetDimensionsCount(info, &rank));
  tensor.shape.resize(rank);
  check(api_, api_.GetDimensions(info, tensor.shape.data(), rank));
  void* data = nullptr;  // The ABI has one call for reading and writing.
  check(api_, api_.GetTensorMutableData(const_cast<ort::Value*>(value), &data));
  tensor.data = data;
  return tensor;
}

size_t Context::input_count() const {
  size_t count = 0;
  check(api_, api_.KernelContext_GetInputCount(context_, &count));
  return count;
}

size_t Context::output_count() const {
  size_t count = 0;
  check(api_, api_.KernelContext_GetOutputCount(context_, &count));
  return count;
}

void* Context::output(size_t index, const Shape& shape) const {
  if (index >= output_count()) return nullptr;
  ort::Value* value = nullptr;
  check(api_, api_.KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  check(api_, api_.GetTensorMutableData(value, &data));
  return data;
}

int64_t Context::most_tasks(int64_t elements) {
  // 20 to 40 µs of work, which a thread that has to be woken comes too late for.
  constexpr int64_t kForOneThread = 256 * 1024;
  constexpr int64_t kElementsPerTask = 32 * 1024;
  // Enough for any number of threads; smaller ones would cut what is read in its order.
  constexpr int64_t kMost = 64;
  return elements < kForOneThread ? 1 : std::min(elements / kElementsPerTask, kMost);
}

void Context::parallel_for(int64_t units, int64_t elements,
                           const std::function<void(int64_t, int64_t)>& body) const {
  const int64_t tasks = std::min(most_tasks(elements), units);
  if (tasks <= 1) return body(0, units);

  struct Work {
    const std::function<void(int64_t, int64_t)>& body;
    int64_t units, tasks;
    int64_t start(int64_t task) const {
      return task * (units / tasks) + std::min(task, units % tasks);
    }
  } work{body, units, tasks};
  const auto run = [](void* data, size_t task) {
    const auto& w = *static_cast<const Work*>(data);
    const auto t = static_cast<int64_t>(task);
    w.body(w.start(t), w.start(t + 1));
  };
  check(api_, api_.KernelContext_ParallelFor(context_, run, static_cast<size_t>(tasks), 0, &work));
}

ort::Status* register_ops(ort::SessionOptions* options, const ort::ApiBase* base) {
  const ort::Api* api = base->GetApi(ort::kApiVersion);
  if (api == nullptr) {
    // Every runtime has version 1, and CreateStatus, which is all that is used of it here.
    return to_status(*base->GetApi(1), std::string("onnxpool's ops need ONNX Runtime 1.") +
                                           std::to_string(ort::kApiVersion) + " or newer, found " +
                                           base->GetVersionString());
  }
  try {
    return api->AddCustomOpDomain(options, Registration::domain(*api));
  } catch (const std::exception& error) {
    return to_status(*api, error.what());
  }
}

}  // namespace onnxpool
