"""What onnxruntime's own tools make of the models: int8, int4, and fused graphs.

`reduce_range` (7-bit weights) everywhere: without it the AVX2 kernels of onnxruntime saturate, and its answers would be
no reference.
"""

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.capi._pybind_state import quantize_matmul_4bits
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.transformers import optimizer

# Weights that share a scale.
BLOCK = 32


class Examples(CalibrationDataReader):
    """Inputs to calibrate with, one after the other."""

    def __init__(self, inputs):
        self.inputs = iter(inputs)

    def get_next(self):
        return next(self.inputs, None)


def with_initializers(source):
    """The model with its Constant nodes as initializers: the tools know no other weights."""
    model = onnx.load(source)
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        tensor = onnx.numpy_helper.from_array(constant(node), node.output[0])
        model.graph.initializer.append(tensor)
        model.graph.node.remove(node)
    return model


def constant(node):
    (value,) = node.attribute
    array = onnx.helper.get_attribute_value(value)
    return onnx.numpy_helper.to_array(array) if value.name == "value" else np.array(array)


def dynamic(source, target, operators=None):
    """Weights to int8, activations quantized while the model runs; of these operators, or of all that can be."""
    quantization.quantize_dynamic(
        with_initializers(source),
        target,
        op_types_to_quantize=operators,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def static(source, target, inputs, form):
    """Weights and activations to int8, as QDQ pairs or as QLinear operators; a probability would be 0 in 8 bits."""
    # The tool reads shapes that the batch size is part of: the newest opset it knows, and shapes inferred.
    model = onnx.shape_inference.infer_shapes(onnx.version_converter.convert_version(onnx.load(source), 17))
    quantization.quantize_static(
        model,
        target,
        Examples(inputs),
        quant_format=form,
        op_types_to_quantize=sorted({*(QDQRegistry if form == QuantFormat.QDQ else QLinearOpsRegistry)} - {"Softmax"}),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def static_qdq(source, target, inputs):
    static(source, target, inputs, QuantFormat.QDQ)


def static_qlinear(source, target, inputs):
    static(source, target, inputs, QuantFormat.QOperator)


def four_bits(source, target):
    """Weights of matrix products in blocks of 4 bits. The tool for it needs further packages; its kernel does not."""
    model = onnx.load(source)
    graph = model.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in known:
            continue
        name = node.input[1]
        weights = onnx.numpy_helper.to_array(known[name])
        rows, columns = weights.shape
        blocks = -(-rows // BLOCK)
        packed = np.zeros((columns, blocks, BLOCK // 2), np.uint8)
        scales, zeros = np.zeros((columns, blocks), np.float32), np.zeros((columns, (blocks + 1) // 2), np.uint8)
        quantize_matmul_4bits(packed, weights, scales, zeros, BLOCK, columns, rows, True)
        parts = {f"{name}_Q4": packed, f"{name}_scales": scales.reshape(-1)}
        graph.initializer.extend(onnx.numpy_helper.from_array(array, part) for part, array in parts.items())
        graph.initializer.remove(known.pop(name))
        sizes = {"K": rows, "N": columns, "bits": 4, "block_size": BLOCK}
        node.CopyFrom(
            onnx.helper.make_node(
                "MatMulNBits", [node.input[0], *parts], node.output, node.name, domain="com.microsoft", **sizes
            )
        )
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, target)


def fused_bert(source, target, heads, hidden):
    """The transformer optimizer's graph: attention, layer and skip normalization, GELU as one node each."""
    model = optimizer.optimize_model(str(source), "bert", num_heads=heads, hidden_size=hidden, opt_level=0)
    model.save_model_to_file(str(target))
