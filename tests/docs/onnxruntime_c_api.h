/* What docs/production.c needs of ONNX Runtime's C header, which no Python package carries.
 *
 * The slots of OrtApi never move: each is named here with the number that it has in the table.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

enum { ORT_LOGGING_LEVEL_WARNING = 2 };
enum { OrtArenaAllocator = 1, OrtMemTypeDefault = 0 };
enum { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };

typedef void (*Slot)(void);

typedef struct {
  Slot unused_0[2];
  const char *(*GetErrorMessage)(const OrtStatus *);            /* 2 */
  OrtStatus *(*CreateEnv)(int level, const char *id, OrtEnv **); /* 3 */
  Slot unused_4[3];
  OrtStatus *(*CreateSession)(const OrtEnv *, const char *path, const OrtSessionOptions *,
                              OrtSession **); /* 7 */
  Slot unused_8[1];
  OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *input_names,
                    const OrtValue *const *inputs, size_t, const char *const *output_names,
                    size_t, OrtValue **outputs); /* 9 */
  OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **); /* 10 */
  Slot unused_11[38];
  OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *data, size_t bytes,
                                               const int64_t *shape, size_t rank, int type,
                                               OrtValue **); /* 49 */
  Slot unused_50[1];
  OrtStatus *(*GetTensorMutableData)(OrtValue *, void **); /* 51 */
  Slot unused_52[12];
  OrtStatus *(*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo *, size_t *); /* 64 */
  OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **);   /* 65 */
  Slot unused_66[3];
  OrtStatus *(*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo **); /* 69 */
  Slot unused_70[22];
  void (*ReleaseEnv)(OrtEnv *);               /* 92 */
  void (*ReleaseStatus)(OrtStatus *);         /* 93 */
  void (*ReleaseMemoryInfo)(OrtMemoryInfo *); /* 94 */
  void (*ReleaseSession)(OrtSession *);       /* 95 */
  void (*ReleaseValue)(OrtValue *);           /* 96 */
  Slot unused_97[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *); /* 99 */
  void (*ReleaseSessionOptions)(OrtSessionOptions *);                 /* 100 */
  Slot unused_101[127];
  OrtStatus *(*RegisterCustomOpsLibrary_V2)(OrtSessionOptions *, const char *path); /* 228 */
} OrtApi;

typedef struct {
  const OrtApi *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)(void);
} OrtApiBase;

const OrtApiBase *OrtGetApiBase(void);
