#!/usr/bin/env bash
# The tests of the kernels with AddressSanitizer and UndefinedBehaviorSanitizer; for g++ on Linux.
#
#     tests/ops/kernels/sanitize.sh [arguments for pytest]
#
# Python is not built with the sanitizers, so their runtimes are preloaded. Python and its extensions
# leak at exit on purpose, so leaks are not looked for.
set -euo pipefail
cd "$(dirname "$0")/../../.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S ops/kernels -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DONNXPOOL_SANITIZE=address,undefined >/dev/null
cmake --build "$build" --parallel 2

export ONNXPOOL_TEST_LIBRARY=$build/libonnxpool_ops.so
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
asan=$(g++ -print-file-name=libasan.so) ubsan=$(g++ -print-file-name=libubsan.so)
for isa in avx512 avx2 baseline; do
    ONNXPOOL_ISA=$isa LD_PRELOAD="$asan $ubsan" \
        "${PYTHON:-python3}" -m pytest -q -p no:cacheprovider -p no:randomly \
        tests/ops/kernels --deselect tests/ops/kernels/test_build.py "$@"
done
