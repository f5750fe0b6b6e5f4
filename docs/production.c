/* Pools one image with a model of custom ops:
 *
 *     cc production.c -lonnxruntime -o production
 *     ./production "$(onnxpool ops --library)" prod.onnx
 *
 * prod.onnx is models/adaptive_avg_2d.onnx after `onnxpool rewrite --to custom-op`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "onnxruntime_c_api.h"

enum { CHANNELS = 8, LENGTH = 13, COUNT = CHANNELS * LENGTH * LENGTH };

static const OrtApi *api;

static void check(OrtStatus *status) {
  if (status == NULL) return;
  fprintf(stderr, "%s\n", api->GetErrorMessage(status));
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s LIBRARY MODEL\n", argv[0]);
    return 2;
  }
  api = OrtGetApiBase()->GetApi(17); /* the library needs ONNX Runtime 1.17 or newer */
  if (api == NULL) return 2;

  OrtEnv *env;
  OrtSessionOptions *options;
  OrtSession *session;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "production", &env));
  check(api->CreateSessionOptions(&options));
  check(api->RegisterCustomOpsLibrary_V2(options, argv[1]));
  check(api->CreateSession(env, argv[2], options, &session));

  static float image[COUNT];
  for (int i = 0; i < COUNT; i++) image[i] = (float)i;
  const int64_t shape[] = {1, CHANNELS, LENGTH, LENGTH};
  OrtMemoryInfo *memory;
  OrtValue *x, *y = NULL;
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  check(api->CreateTensorWithDataAsOrtValue(memory, image, sizeof image, shape, 4,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &x));

  const char *inputs[] = {"input"}, *outputs[] = {"mean"};
  check(api->Run(session, NULL, inputs, (const OrtValue *const *)&x, 1, outputs, 1, &y));

  OrtTensorTypeAndShapeInfo *info;
  size_t count;
  float *pooled;
  check(api->GetTensorTypeAndShape(y, &info));
  check(api->GetTensorShapeElementCount(info, &count));
  check(api->GetTensorMutableData(y, (void **)&pooled));
  for (size_t i = 0; i < count; i++) printf("%.9g\n", pooled[i]);

  api->ReleaseTensorTypeAndShapeInfo(info);
  api->ReleaseValue(y);
  api->ReleaseValue(x);
  api->ReleaseMemoryInfo(memory);
  api->ReleaseSession(session);
  api->ReleaseSessionOptions(options);
  api->ReleaseEnv(env);
  return 0;
}
