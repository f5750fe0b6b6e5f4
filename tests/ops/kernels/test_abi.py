"""ort_abi.h against ONNX Runtime's own header, where that can be had.

tests/ops/kernels/ort_header.sh folder          Debian's copy of it, without installing anything
ONNXPOOL_ORT_INCLUDE=folder python -m pytest tests/ops/kernels/test_abi.py
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[3] / "ops" / "kernels"
FOLDERS = (
    os.environ.get("ONNXPOOL_ORT_INCLUDE", ""),
    "/usr/include/onnxruntime",
    "/usr/local/include/onnxruntime",
)
HEADER = "onnxruntime_c_api.h"
COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
INCLUDE = next((folder for folder in FOLDERS if folder and (Path(folder) / HEADER).is_file()), None)

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler"),
    pytest.mark.skipif(INCLUDE is None, reason=f"no {HEADER}; ort_header.sh fetches it"),
]

ENUMERATORS = {
    "kFail": "ORT_FAIL",
    "kInvalidArgument": "ORT_INVALID_ARGUMENT",
    "kUndefined": "ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED",
    "kFloat": "ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT",
    "kInt64": "ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64",
    "kFloat16": "ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16",
    "kDouble": "ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE",
    "kBFloat16": "ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16",
    "kAttrFloat": "ORT_OP_ATTR_FLOAT",
    "kAttrInt": "ORT_OP_ATTR_INT",
    "kAttrInts": "ORT_OP_ATTR_INTS",
    "kAttrString": "ORT_OP_ATTR_STRING",
    "kRequired": "INPUT_OUTPUT_REQUIRED",
    "kOptional": "INPUT_OUTPUT_OPTIONAL",
    "kVariadic": "INPUT_OUTPUT_VARIADIC",
    "kDefaultMemory": "OrtMemTypeDefault",
}
STRUCTS = {"Api": "OrtApi", "ApiBase": "OrtApiBase", "CustomOp": "OrtCustomOp"}


def members(struct: str) -> list[str]:
    """The names of the members that are used."""
    text = (KERNELS / "ort_abi.h").read_text()
    (body,) = re.findall(rf"struct {struct} \{{\n(.*?)\n\}};", text, re.DOTALL)
    pointers = re.findall(r"^  .*?\(\*(\w+)\)", body, re.MULTILINE)
    return [*re.findall(r"uint32_t (version);", body), *pointers]


def program() -> str:
    """It only has to compile."""
    lines = ["#include <onnxruntime_c_api.h>", '#include "ort_abi.h"', "using namespace onnxpool;"]
    for ours, theirs in STRUCTS.items():
        for name in members(ours):
            offsets = (f"offsetof({struct}, {name})" for struct in (f"ort::{ours}", f"::{theirs}"))
            lines.append(f'static_assert({" == ".join(offsets)}, "{ours}::{name}");')
    for ours, theirs in ENUMERATORS.items():
        same = f"static_cast<int>(ort::{ours}) == static_cast<int>({theirs})"
        lines.append(f'static_assert({same}, "{ours}");')
    return "\n".join([*lines, "int main() {}"])


def compile_with_header(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "abi.cc"
    file.write_text(source)
    command = [str(COMPILER), "-std=c++17", "-fsyntax-only", f"-I{INCLUDE}", f"-I{KERNELS}"]
    return subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)


def test_every_slot_and_number_is_the_official_one(tmp_path: Path) -> None:
    assert len(members("Api")) > 30
    assert len(members("CustomOp")) > 20
    result = compile_with_header(program(), tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_slot_that_is_off_by_one_is_noticed(tmp_path: Path) -> None:
    moved = program().replace("ort::Api, ReleaseStatus", "ort::Api, CreateStatus")
    result = compile_with_header(moved, tmp_path)
    assert "Api::ReleaseStatus" in result.stderr
