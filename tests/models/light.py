"""The zoo graphs that the package `onnx` carries without their weights ("light"), with seeded ones.

The published graphs make most weights by ConstantOfShape. Each of those nodes becomes an initializer, drawn so that
activations keep their size from layer to layer: convolutions and products as He et al. (2015) initialize them, batch
normalizations near the identity, and less than that where their output joins a residual sum.
"""

import pathlib

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Operators that only move or choose values.
ORDERING = {"AveragePool", "Concat", "Dropout", "GlobalAveragePool", "MaxPool", "Reshape", "Transpose"}


def path(name):
    """Where the installed `onnx` keeps a light graph."""
    return pathlib.Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"


class Roles:
    """What each tensor of a graph is for."""

    def __init__(self, graph):
        self.users, self.makers = {}, {}
        for node in graph.node:
            for at, name in enumerate(node.input):
                self.users.setdefault(name, []).append((node, at))
            for name in node.output:
                self.makers[name] = node

    def rectified(self, name):
        """Whether a tensor holds what Relu gave, in whatever order."""
        while name in self.makers and self.makers[name].op_type in ORDERING:
            name = self.makers[name].input[0]
        return name in self.makers and self.makers[name].op_type == "Relu"

    def draw(self, name, shape, random):
        """Weights for a tensor by its first use."""
        node, at = self.users[name][0]
        while node.op_type == "Unsqueeze":
            node, at = self.users[node.output[0]][0]
        match node.op_type, at:
            case "Conv", 1:
                gain = 2 if self.rectified(node.input[0]) else 1
                return random.normal(0, np.sqrt(gain / np.prod(shape[1:])), shape)
            case "Gemm", 1:
                transposed = any(a.name == "transB" and a.i for a in node.attribute)
                return random.normal(0, np.sqrt(2 / shape[1 if transposed else 0]), shape)
            case "BatchNormalization", 1:
                joins = any(user.op_type == "Sum" for user, _ in self.users.get(node.output[0], []))
                return random.uniform(0.8, 1.2, shape) * (0.3 if joins else 1)
            case ("BatchNormalization", 4) | ("Mul", _):
                return random.uniform(0.8, 1.2, shape)
            case ("Conv" | "Gemm" | "BatchNormalization", 2) | ("BatchNormalization", 3) | ("Add", _):
                return random.normal(0, 0.1, shape)
        raise ValueError(f"{name} is input {at} of {node.op_type}: what it should hold isn't known")


def build(name):
    """The graph of `light_NAME.onnx` with weights; the seed is the name."""
    model = onnx.load(path(name))
    graph = model.graph
    random = np.random.default_rng(list(name.encode()))
    known = {tensor.name: tensor for tensor in graph.initializer}
    roles, drawn, spent = Roles(graph), [], set()
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        (output,) = node.output
        shape = numpy_helper.to_array(known[node.input[0]])
        drawn.append(numpy_helper.from_array(roles.draw(output, shape, random).astype(np.float32), output))
        spent.add(node.input[0])
        graph.node.remove(node)
    for listed in (graph.initializer, graph.input):
        for item in [item for item in listed if item.name in spent]:
            listed.remove(item)
    graph.initializer.extend(drawn)
    # Before version 4 of the format each initializer is an input, too.
    graph.input.extend(helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in drawn)
    onnx.checker.check_model(model)
    return model
