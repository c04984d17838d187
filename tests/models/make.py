#!/usr/bin/env python3
"""Writes the models of the serving benchmark.

    make.py [FOLDER]          (default: bench/ beside this file)

`copy.onnx` gives a picture back, FP32 [1, 3, 224, 224]: nearly all of a request is the server's own work.
`small.onnx` does the same for FP32 [1, 16].
`busy.onnx` convolves FP32 [1, 3, 96, 96] twelve times: 10 ms or more on one core. Its weights
are made by the graph itself, so that the file stays small.
"""

import pathlib
import sys

import onnx
from onnx import TensorProto, helper


def save(folder, name, nodes, shapes):
    """Writes a model from `x` to `y` of these shapes."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip("xy", shapes, strict=True))
    graph = helper.make_graph(nodes, name, [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="dunlin-tests")
    made.ir_version = 8
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, folder / f"{name}.onnx")


def weights(name, shape, value):
    """A tensor of one value, as two nodes: its shape and the fill."""
    sizes = helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(shape)], shape)
    fill = helper.make_tensor(f"{name}_value", TensorProto.FLOAT, [1], [value])
    return [
        helper.make_node("Constant", [], [f"{name}_sizes"], value=sizes),
        helper.make_node("ConstantOfShape", [f"{name}_sizes"], [name], value=fill),
    ]


def busy():
    """Convolutions of 3x3 over 32 channels, each followed by Relu, then the mean of each channel."""
    nodes, last = [], "x"
    for layer in range(12):
        channels = 3 if layer == 0 else 32
        nodes += weights(f"w{layer}", [32, channels, 3, 3], 1 / (9 * channels))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["p"]))
    nodes.append(helper.make_node("Flatten", ["p"], ["y"]))
    return nodes


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, "copy", [helper.make_node("Identity", ["x"], ["y"])], [[1, 3, 224, 224]] * 2)
    save(folder, "small", [helper.make_node("Identity", ["x"], ["y"])], [[1, 16]] * 2)
    save(folder, "busy", busy(), [[1, 3, 96, 96], [1, 32]])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "bench")
