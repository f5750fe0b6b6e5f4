// The part of ONNX Runtime's C ABI that this library uses, in our own words.
//
// No Python or npm package of ONNX Runtime carries its C header. Its ABI is stable: OrtApi is a
// table of function pointers that only grows at its end, OrtCustomOp a struct that does the same.
// tests/ops/kernels/test_abi.py compares everything here with the official header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxpool::ort {

// KernelContext_ParallelFor, the last slot of Api that is used, came with version 17. A library
// that asks for a later version than the runtime has is refused, so this one asks for no more.
constexpr uint32_t kApiVersion = 17;

struct Status;
struct Value;
struct TypeAndShape;
struct KernelInfo;
struct KernelContext;
struct ShapeInferContext;
struct OpAttr;
struct SessionOptions;
struct CustomOpDomain;
struct CustomOp;

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2 };

enum ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kInt64 = 7,
  kFloat16 = 10,
  kDouble = 11,
  kBFloat16 = 16,
};

enum AttrType : int {
  kAttrFloat = 3,
  kAttrInt = 1,
  kAttrInts = 2,
  kAttrString = 5,
};

enum Characteristic : int { kRequired = 0, kOptional = 1, kVariadic = 2 };

enum MemoryType : int { kDefaultMemory = 0 };

// Slots are numbered from 0; the unused ones between two that are used are padding.
struct Api {
  using Slot = void (*)();

  Status* (*CreateStatus)(ErrorCode code, const char* message);
  Slot unused_1[1];
  const char* (*GetErrorMessage)(const Status* status);
  Slot unused_3[23];
  Status* (*CreateCustomOpDomain)(const char* domain, CustomOpDomain** out);
  Status* (*CustomOpDomain_Add)(CustomOpDomain* domain, const CustomOp* op);
  Status* (*AddCustomOpDomain)(SessionOptions* options, CustomOpDomain* domain);
  Slot unused_29[22];
  Status* (*GetTensorMutableData)(Value* value, void** out);
  Slot unused_52[5];
  Status* (*CreateTensorTypeAndShapeInfo)(TypeAndShape** out);
  Status* (*SetTensorElementType)(TypeAndShape* info, ElementType type);
  Status* (*SetDimensions)(TypeAndShape* info, const int64_t* dims, size_t count);
  Status* (*GetTensorElementType)(const TypeAndShape* info, ElementType* out);
  Status* (*GetDimensionsCount)(const TypeAndShape* info, size_t* out);
  Status* (*GetDimensions)(const TypeAndShape* info, int64_t* dims, size_t count);
  Status* (*GetSymbolicDimensions)(const TypeAndShape* info, const char** names, size_t count);
  Slot unused_64[1];
  Status* (*GetTensorTypeAndShape)(const Value* value, TypeAndShape** out);
  Slot unused_66[19];
  Status* (*KernelInfoGetAttribute_float)(const KernelInfo* info, const char* name, float* out);
  Status* (*KernelInfoGetAttribute_int64)(const KernelInfo* info, const char* name, int64_t* out);
  Status* (*KernelInfoGetAttribute_string)(const KernelInfo* info, const char* name, char* out,
                                           size_t* size);
  Status* (*KernelContext_GetInputCount)(const KernelContext* context, size_t* out);
  Status* (*KernelContext_GetOutputCount)(const KernelContext* context, size_t* out);
  Status* (*KernelContext_GetInput)(const KernelContext* context, size_t index, const Value** out);
  Status* (*KernelContext_GetOutput)(KernelContext* context, size_t index, const int64_t* dims,
                                     size_t count, Value** out);
  Slot unused_92[1];
  void (*ReleaseStatus)(Status* status);
  Slot unused_94[5];
  void (*ReleaseTensorTypeAndShapeInfo)(TypeAndShape* info);
  Slot unused_100[1];
  void (*ReleaseCustomOpDomain)(CustomOpDomain* domain);
  Slot unused_102[60];
  Status* (*KernelInfoGetAttributeArray_float)(const KernelInfo* info, const char* name, float* out,
                                               size_t* size);
  Status* (*KernelInfoGetAttributeArray_int64)(const KernelInfo* info, const char* name,
                                               int64_t* out, size_t* size);
  Slot unused_164[80];
  Status* (*KernelInfo_GetNodeName)(const KernelInfo* info, char* out, size_t* size);
  Slot unused_245[22];
  Status* (*ShapeInferContext_GetInputCount)(const ShapeInferContext* context, size_t* out);
  Status* (*ShapeInferContext_GetInputTypeShape)(const ShapeInferContext* context, size_t index,
                                                 TypeAndShape** out);
  Status* (*ShapeInferContext_GetAttribute)(const ShapeInferContext* context, const char* name,
                                            const OpAttr** out);
  Status* (*ShapeInferContext_SetOutputTypeShape)(const ShapeInferContext* context, size_t index,
                                                  const TypeAndShape* info);
  Status* (*SetSymbolicDimensions)(TypeAndShape* info, const char** names, size_t count);
  Status* (*ReadOpAttr)(const OpAttr* attr, AttrType type, void* data, size_t bytes, size_t* out);
  Slot unused_273[1];
  Status* (*KernelContext_ParallelFor)(const KernelContext* context, void (*fn)(void*, size_t),
                                       size_t total, size_t batches, void* data);
};

static_assert(offsetof(Api, KernelContext_ParallelFor) == 274 * sizeof(Api::Slot));

struct ApiBase {
  const Api* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// How an op describes itself to the runtime. Up to GetEndVersion, the last member of version 17.
struct CustomOp {
  uint32_t version;
  void* (*CreateKernel)(const CustomOp*, const Api*, const KernelInfo*);
  const char* (*GetName)(const CustomOp*);
  const char* (*GetExecutionProviderType)(const CustomOp*);
  ElementType (*GetInputType)(const CustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const CustomOp*);
  ElementType (*GetOutputType)(const CustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const CustomOp*);
  void (*KernelCompute)(void* kernel, KernelContext*);
  void (*KernelDestroy)(void* kernel);
  Characteristic (*GetInputCharacteristic)(const CustomOp*, size_t index);
  Characteristic (*GetOutputCharacteristic)(const CustomOp*, size_t index);
  MemoryType (*GetInputMemoryType)(const CustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const CustomOp*);
  int (*GetVariadicInputHomogeneity)(const CustomOp*);
  int (*GetVariadicOutputMinArity)(const CustomOp*);
  int (*GetVariadicOutputHomogeneity)(const CustomOp*);
  Status* (*CreateKernelV2)(const CustomOp*, const Api*, const KernelInfo*, void** kernel);
  Status* (*KernelComputeV2)(void* kernel, KernelContext*);
  Status* (*InferOutputShapeFn)(const CustomOp*, ShapeInferContext*);
  int (*GetStartVersion)(const CustomOp*);
  int (*GetEndVersion)(const CustomOp*);
};

}  // namespace onnxpool::ort
