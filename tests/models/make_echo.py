#!/usr/bin/env python3
"""Writes the echo models: every output is its input, so that a client sees its own bytes come back.

    make_echo.py [FOLDER]          (default: echo/ beside this file)

`echo-<datatype>.onnx` has one tensor, `x` -> `y`, of shape [batch, 4]. `echo-all.onnx` has one pair for each
datatype, `<datatype>_in` -> `<datatype>_out`, all of the same batch.
"""

import pathlib
import sys

import onnx
from onnx import TensorProto, helper

DATATYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bytes": TensorProto.STRING,
}


def model(name, pairs):
    """An ONNX model of one Identity node for each (input, output, element type)."""
    nodes = [helper.make_node("Identity", [x], [y], name=f"echo_{x}") for x, y, _ in pairs]
    inputs = [helper.make_tensor_value_info(x, kind, ["batch", 4]) for x, _, kind in pairs]
    outputs = [helper.make_tensor_value_info(y, kind, ["batch", 4]) for _, y, kind in pairs]
    graph = helper.make_graph(nodes, name, inputs, outputs)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="dunlin-tests")
    made.ir_version = 8
    onnx.checker.check_model(made, full_check=True)
    return made


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in DATATYPES.items():
        onnx.save(model(f"echo-{name}", [("x", "y", kind)]), folder / f"echo-{name}.onnx")
    every = [(f"{name}_in", f"{name}_out", kind) for name, kind in DATATYPES.items()]
    onnx.save(model("echo-all", every), folder / "echo-all.onnx")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "echo")
