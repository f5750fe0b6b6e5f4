// Compiled once for each instruction set, with ONNXPOOL_ISA its name. Only what table.h declares
// may leave this file: an inline function that two instruction sets share would be linked from one
// of them, and run on a CPU that lacks it. So the loops use no C++ library and sit in unnamed
// namespaces; tests/ops/kernels/test_build.py checks it.
#include "table.h"

#include "average.h"
#include "gem.h"
#include "max.h"
#include "pyramid.h"
#include "upsample.h"

namespace onnxpool::ONNXPOOL_ISA {

#define ONNXPOOL_NAME(x) #x
#define ONNXPOOL_TEXT(x) ONNXPOOL_NAME(x)

const Table table = {
    ONNXPOOL_TEXT(ONNXPOOL_ISA),
    {average<float>, average<double>, average<Half>, average<BFloat16>},
    {max<float>, max<double>, max<Half>, max<BFloat16>},
    {max_with_indices<float>, max_with_indices<double>, max_with_indices<Half>,
     max_with_indices<BFloat16>},
    {gem<float>, gem<double>, gem<Half>, gem<BFloat16>},
    {pyramid<Mean, float>, pyramid<Mean, double>, pyramid<Mean, Half>, pyramid<Mean, BFloat16>},
    {pyramid<Max, float>, pyramid<Max, double>, pyramid<Max, Half>, pyramid<Max, BFloat16>},
    {upsample<float>, upsample<double>, upsample<Half>, upsample<BFloat16>},
    {to_doubles<float>, to_doubles<double>, to_doubles<Half>, to_doubles<BFloat16>},
};

}  // namespace onnxpool::ONNXPOOL_ISA
