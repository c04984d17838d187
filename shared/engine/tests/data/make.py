#!/usr/bin/env python3
"""Makes the small models of this folder and the answers they must give.

    pip install onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes numpy && python make.py

Each case is `<name>.onnx` with `<name>.json`: inputs and outputs as Open Inference Protocol
tensors. Answers come from onnxruntime; where it has no kernel, from the formula of the ONNX
specification, written out here in numpy. `unfit/` holds models that must be refused.

    python make.py --bench FOLDER

writes larger models with random weights, for `examples/batches.rs`.
"""

import json
import pathlib
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
UNFIT = HERE / "unfit"
RNG = np.random.default_rng(7)
NAMES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
}


def value(name, array_or_dtype, shape=None):
    """A declared input or output: like an array, or of a dtype and shape."""
    if shape is None:
        dtype, shape = array_or_dtype.dtype, array_or_dtype.shape
    else:
        dtype = np.dtype(array_or_dtype)
    kind = TensorProto.STRING if dtype.kind in "OU" else helper.np_dtype_to_tensor_dtype(dtype)
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, weights=(), opset=17, **more):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=list(weights))
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="make.py", **more
    )
    return made


def tensor(name, array):
    array = np.asarray(array)
    if array.dtype.kind in "OU":
        data = [str(item) for item in array.ravel()]
        return {"name": name, "datatype": "BYTES", "shape": list(array.shape), "data": data}
    if str(array.dtype) in ("float16", "bfloat16"):
        data = [int(bits) for bits in array.view(np.uint16).ravel()]
    else:
        data = array.ravel().tolist()
    return {"name": name, "datatype": (NAMES | {"bfloat16": "BF16"})[str(array.dtype)], "shape": list(array.shape), "data": data}


def case(name, made, feeds, answers=None):
    """Writes a model with its answers: those given, or onnxruntime's."""
    if answers is None:
        onnx.checker.check_model(made)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(made.SerializeToString(), options)
        names = [output.name for output in session.get_outputs()]
        answers = dict(zip(names, session.run(None, feeds)))
    onnx.save(made, HERE / f"{name}.onnx")
    record = {
        "inputs": [tensor(key, array) for key, array in feeds.items()],
        "outputs": [tensor(key, array) for key, array in answers.items()],
    }
    (HERE / f"{name}.json").write_text(json.dumps(record) + "\n")


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def recurrent():
    """Directions, with and without the optional inputs and outputs."""
    time, batch, size, hidden = 5, 2, 3, 4
    x = f32(time, batch, size)
    for op, gates, states in [("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)]:
        for direction in ["forward", "reverse", "bidirectional"]:
            d = 2 if direction == "bidirectional" else 1
            weights = [
                numpy_helper.from_array(f32(d, gates * hidden, size), "W"),
                numpy_helper.from_array(f32(d, gates * hidden, hidden), "R"),
                numpy_helper.from_array(f32(d, 2 * gates * hidden), "B"),
                numpy_helper.from_array(f32(d, batch, hidden), "h0"),
            ]
            inputs = ["x", "W", "R", "B", "", "h0"]
            if op == "LSTM":
                weights.append(numpy_helper.from_array(f32(d, batch, hidden), "c0"))
                inputs.append("c0")
            attributes = {"linear_before_reset": 1} if op == "GRU" and direction == "reverse" else {}
            outputs = ["y", "y_h", "y_c"][: 1 + states]
            node = helper.make_node(op, inputs, outputs, hidden_size=hidden, direction=direction, **attributes)
            declared = [value("y", np.float32, [time, d, batch, hidden])]
            declared += [value(name, np.float32, [d, batch, hidden]) for name in outputs[1:]]
            case(f"{op.lower()}_{direction}", model([node], [value("x", x)], declared, weights), {"x": x})
    # Only the last state is asked for, nothing optional is given, and the graph names a dynamic batch.
    weights = [numpy_helper.from_array(f32(1, 4 * hidden, size), "W"),
               numpy_helper.from_array(f32(1, 4 * hidden, hidden), "R")]
    node = helper.make_node("LSTM", ["x", "W", "R"], ["", "y_h"], hidden_size=hidden, direction="reverse")
    declared = [value("y_h", np.float32, [1, "batch", hidden])]
    made = model([node], [value("x", np.float32, [time, "batch", size])], declared, weights)
    case("lstm_reverse_last", made, {"x": x})


def batch_first():
    """layout=1, which onnxruntime lacks: the answer is that of layout=0, transposed."""
    time, batch, size, hidden = 4, 3, 2, 3
    x = f32(batch, time, size)
    weights = [numpy_helper.from_array(f32(1, 4 * hidden, size), "W"),
               numpy_helper.from_array(f32(1, 4 * hidden, hidden), "R")]

    def build(layout, shape, y, y_h):
        node = helper.make_node("LSTM", ["x", "W", "R"], ["y", "y_h"], hidden_size=hidden,
                                direction="reverse", layout=layout)
        outputs = [value("y", np.float32, y), value("y_h", np.float32, y_h)]
        return model([node], [value("x", np.float32, shape)], outputs, weights)

    plain = build(0, [time, batch, size], [time, 1, batch, hidden], [1, batch, hidden])
    session = onnxruntime.InferenceSession(plain.SerializeToString())
    y, y_h = session.run(None, {"x": np.ascontiguousarray(x.transpose(1, 0, 2))})
    made = build(1, x.shape, [batch, time, 1, hidden], [batch, 1, hidden])
    answers = {"y": y.transpose(2, 0, 1, 3), "y_h": y_h.transpose(1, 0, 2)}
    case("lstm_reverse_batch_first", made, {"x": x}, answers)


def depth_and_space():
    n, c, h, w, b = 2, 3, 4, 6, 2
    x = f32(n, c, h, w)
    for mode in ["DCR", "CRD"]:
        node = helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=b)
        node.attribute.append(helper.make_attribute("mode", mode))
        blocks = x.reshape(n, c, h // b, b, w // b, b)
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        y = blocks.transpose(order).reshape(n, c * b * b, h // b, w // b)
        shape = ["n", c, "h", "w"] if mode == "CRD" else x.shape
        made = model([node], [value("x", np.float32, shape)], [value("y", np.float32, [None] * 4)])
        case(f"space_to_depth_{mode.lower()}", made, {"x": x}, {"y": y})
        deep = f32(n, c * b * b, 2, 3)
        node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=b, mode=mode)
        made = model([node], [value("x", deep)], [value("y", np.float32, [n, c, 4, 6])])
        case(f"depth_to_space_{mode.lower()}", made, {"x": deep})


def shapes():
    """Shape and Size as outputs: int64, whatever the engine counts in."""
    x = f32(2, 3, 5)
    nodes = [helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Size", ["x"], ["size"])]
    made = model(nodes, [value("x", np.float32, ["n", 3, "m"])],
                 [value("shape", np.int64, [3]), value("size", np.int64, [])])
    case("shape_and_size", made, {"x": x})


def datatypes():
    """Each datatype in and out, unchanged but for a transposition."""
    for dtype in NAMES:
        array = RNG.integers(0, 2 if dtype == "bool" else 100, (2, 3)).astype(dtype)
        node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
        made = model([node], [value("x", dtype, [None, 3])], [value("y", dtype, [3, None])])
        case(f"transpose_{dtype}", made, {"x": array}, {"y": array.T})
    strings = np.array([["dunlin", "Ü"], ["", "Calidris alpina"]], dtype=object)
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    made = model([node], [value("x", strings)], [value("y", strings)])
    case("transpose_string", made, {"x": strings}, {"y": strings.T})


def bfloat16():
    """Weights of bfloat16 in both of their fields, Cast to it and from it; rounded once, at the end."""
    x, raw, typed = (f32(*shape).astype(ml_dtypes.bfloat16) for shape in [(2, 4), (4,), (4,)])
    bits = typed.view(np.uint16).tolist()
    nodes = [helper.make_node("Mul", ["x", "raw"], ["p"]),
             helper.make_node("Cast", ["p"], ["wide"], to=TensorProto.FLOAT),
             helper.make_node("Cast", ["wide"], ["back"], to=TensorProto.BFLOAT16),
             helper.make_node("Add", ["back", "typed"], ["y"])]
    weights = [helper.make_tensor("raw", TensorProto.BFLOAT16, [4], raw.tobytes(), raw=True),
               TensorProto(name="typed", data_type=TensorProto.BFLOAT16, dims=[4], int32_data=bits)]
    answer = x.astype(np.float32) * raw.astype(np.float32) + typed.astype(np.float32)
    made = model(nodes, [value("x", x)], [value("y", x)], weights)
    case("bfloat16", made, {"x": x}, {"y": answer.astype(ml_dtypes.bfloat16)})


def precisions():
    """Networks with weights that are worth another precision: convolutions with normalization, and embeddings."""
    x = np.abs(f32(1, 8, 10, 10))
    weights = {"w1": f32(32, 8, 3, 3) / 8, "scale": np.abs(f32(32)) + 0.5, "shift": f32(32), "mean": f32(32) / 4,
               "variance": np.abs(f32(32)) + 0.5, "w2": f32(32, 32, 3, 3) / 17, "b2": f32(32), "w3": f32(64, 32) / 6,
               "b3": f32(64)}
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [helper.make_node("Conv", ["x", "w1"], ["c1"], **pads),
             helper.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["n1"]),
             helper.make_node("Relu", ["n1"], ["r1"]),
             helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], **pads),
             helper.make_node("Add", ["c2", "r1"], ["sum"]),
             helper.make_node("Relu", ["sum"], ["r2"]),
             helper.make_node("GlobalAveragePool", ["r2"], ["pool"]),
             helper.make_node("Flatten", ["pool"], ["flat"]),
             helper.make_node("Gemm", ["flat", "w3", "b3"], ["y"], transB=1)]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    y = [value("y", np.float32, [1, 64])]
    for opset in (10, 17):
        bounds = [numpy_helper.from_array(np.float32(bound), name) for bound, name in ((0, "least"), (6, "most"))]
        if opset == 10:
            nodes[5], bounds = helper.make_node("Clip", ["sum"], ["r2"], min=0.0, max=6.0), []
        else:
            nodes[5] = helper.make_node("Clip", ["sum", "least", "most"], ["r2"])
        made = model(nodes, [value("x", x)], y, tensors + bounds, opset=opset)
        case(f"precision_pictures_{opset}", made, {"x": x})
    ids = RNG.integers(0, 64, (1, 12))
    weights = {"table": f32(64, 32), "w1": f32(32, 64) / 6, "b1": f32(64), "w2": f32(64, 32) / 8}
    nodes = [helper.make_node("Gather", ["table", "ids"], ["words"]),
             helper.make_node("MatMul", ["words", "w1"], ["m1"]),
             helper.make_node("Add", ["m1", "b1"], ["a1"]),
             helper.make_node("Relu", ["a1"], ["r1"]),
             helper.make_node("MatMul", ["r1", "w2"], ["y"])]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = model(nodes, [value("ids", ids)], [value("y", np.float32, [1, 12, 32])], tensors)
    case("precision_text", made, {"ids": ids})


def one_branch_fits():
    """A condition on data whose branches take inputs of different sizes, as silero-vad has one for each sampling rate."""
    branch = lambda name, size: helper.make_graph(  # noqa: E731
        [helper.make_node("Mul", ["x", f"w{size}"], [name])], name, [], [value(name, np.float32, [None, None])])
    nodes = [helper.make_node("Equal", ["rate", "three"], ["c"]),
             helper.make_node("If", ["c"], ["y"], then_branch=branch("t", 3), else_branch=branch("e", 5))]
    weights = [numpy_helper.from_array(f32(size), f"w{size}") for size in (3, 5)]
    weights.append(numpy_helper.from_array(np.array(3), "three"))
    made = model(nodes, [value("x", np.float32, ["rows", "n"]), value("rate", np.int64, [])],
                 [value("y", np.float32, ["rows", "n"])], weights)
    for size in (3, 5):
        case(f"if_one_branch_fits_{size}", made, {"x": f32(2, size), "rate": np.array(size)})


def weights_in_typed_fields():
    """Weights in the typed fields instead of raw_data, as older exporters write them."""
    nodes, outputs, weights, answers = [], [], [], {}
    for dtype in ["uint8", "int8", "uint16", "int32", "uint32", "uint64", "int64", "float16", "float32", "float64", "bool"]:
        array = RNG.integers(0, 2 if dtype == "bool" else 100, (2, 2)).astype(dtype)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        weights.append(helper.make_tensor(f"w_{dtype}", kind, array.shape, array.ravel().tolist()))
        nodes.append(helper.make_node("Identity", [f"w_{dtype}"], [dtype]))
        outputs.append(value(dtype, array))
        answers[dtype] = array
    x = f32(1)
    nodes.append(helper.make_node("Identity", ["x"], ["y"]))
    made = model(nodes, [value("x", x)], outputs + [value("y", x)], weights)
    case("weights_in_typed_fields", made, {"x": x}, answers | {"y": x})


def unsorted():
    """Nodes out of order, one of them in a branch that reads a value from around it."""
    branch = lambda op, name: helper.make_graph(  # noqa: E731
        [helper.make_node(op, ["late", "one"], [name])], name, [], [value(name, np.float32, [2])])
    one = numpy_helper.from_array(np.ones(2, np.float32), "one")
    nodes = [
        helper.make_node("If", ["yes"], ["y"], then_branch=branch("Add", "t"), else_branch=branch("Sub", "e")),
        helper.make_node("Neg", ["early"], ["late"]),
        helper.make_node("Mul", ["x", "x"], ["early"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    x = f32(2)
    made = model(nodes, [value("x", x)], [value("y", x)], [one, yes])
    case("unsorted", made, {"x": x}, {"y": -(x * x) + 1})


def batches():
    """A per-item model, and one whose items see each other: both with a dynamic batch."""
    weights = [numpy_helper.from_array(f32(8, 8), "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])]
    ports = [value("x", np.float32, ["n", 8])], [value("y", np.float32, ["n", 8])]
    x = f32(7, 8)
    case("batch_of_items", model(nodes, *ports, weights), {"x": x})
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    case("batch_as_one", model(nodes, *ports), {"x": x})
    # The output's first dimension is the batch only by name: it is the sum over the batch.
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)]
    axes = [numpy_helper.from_array(np.array([0]), "axes")]
    case("batch_summed", model(nodes, *ports, axes), {"x": x})
    # Two inputs, given by name in any order, and an output without a declared shape.
    nodes = [helper.make_node("Sub", ["a", "b"], ["y"])]
    made = model(nodes, [value("a", np.float32, ["n", 4]), value("b", np.float32, ["n", 4])],
                 [value("y", np.float32, ["n", 4])])
    made.graph.output[0].type.tensor_type.ClearField("shape")
    a, b = f32(3, 4), f32(3, 4)
    case("two_inputs", made, {"b": b, "a": a}, {"y": a - b})


def functions():
    """Model-local functions: nested, with attributes of the call, an unused output and a subgraph."""
    onnx_set = helper.make_opsetid("", 17)
    scale = helper.make_node("Constant", [], ["by"])
    scale.attribute.add(name="value_float", ref_attr_name="by", type=onnx.AttributeProto.FLOAT)
    scaled = helper.make_function("local", "Scaled", ["a"], ["b", "spare"],
                                  [scale, helper.make_node("Mul", ["a", "by"], ["b"]),
                                   helper.make_node("Neg", ["b"], ["spare"])], [onnx_set], ["by"])
    branch = lambda op, name: helper.make_graph(  # noqa: E731
        [helper.make_node(op, ["a"], [name])], name, [], [value(name, np.float32, [2])])
    chosen = helper.make_function("local", "Chosen", ["a"], ["b"], [
        helper.make_node("Constant", [], ["no"], value=numpy_helper.from_array(np.array(False))),
        helper.make_node("If", ["no"], ["t"], then_branch=branch("Neg", "t1"), else_branch=branch("Abs", "t2")),
        helper.make_node("Scaled", ["t"], ["b", "rest"], domain="local", by=3.0),
    ], [onnx_set, helper.make_opsetid("local", 1)])
    nodes = [helper.make_node("Scaled", ["x"], ["t", "rest"], domain="local", by=2.0),
             helper.make_node("Chosen", ["t"], ["y"], domain="local")]
    x = f32(2)
    made = model(nodes, [value("x", x)], [value("y", x)], functions=[scaled, chosen])
    made.opset_import.append(helper.make_opsetid("local", 1))
    case("functions", made, {"x": x})


def control_flow():
    """Conditions and trip counts that follow from shapes, as exporters write them."""
    x = f32(1, 3)
    squeeze = helper.make_graph([helper.make_node("Squeeze", ["x", "zero"], ["t"])], "t", [],
                                [value("t", np.float32, [None])])
    keep = helper.make_graph([helper.make_node("Identity", ["x"], ["e"])], "e", [],
                             [value("e", np.float32, [None, None])])
    nodes = [helper.make_node("Shape", ["x"], ["shape"]),
             helper.make_node("Gather", ["shape", "first"], ["rows"]),
             helper.make_node("Equal", ["rows", "one"], ["single"]),
             helper.make_node("If", ["single"], ["y"], then_branch=squeeze, else_branch=keep)]
    weights = [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array(0), "first"),
               numpy_helper.from_array(np.array(1), "one")]
    made = model(nodes, [value("x", np.float32, ["n", 3])], [value("y", np.float32, [])], weights)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    case("if_on_a_shape", made, {"x": x}, {"y": x[0]})
    # A running sum over the rows, as a loop; the body reads `x` from around it.
    body = helper.make_graph(
        [helper.make_node("Gather", ["x", "i"], ["row"]), helper.make_node("Add", ["sum", "row"], ["next"]),
         helper.make_node("Identity", ["next"], ["seen"]), helper.make_node("Identity", ["on"], ["still"])],
        "body", [value("i", np.int64, []), value("on", np.bool_, []), value("sum", np.float32, [3])],
        [value("still", np.bool_, []), value("next", np.float32, [3]), value("seen", np.float32, [3])])
    nodes = [helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Gather", ["shape", "first"], ["rows"]),
             helper.make_node("Loop", ["rows", "", "start"], ["sum_all", "sums"], body=body)]
    weights = [numpy_helper.from_array(np.array(0), "first"), numpy_helper.from_array(f32(3), "start")]
    made = model(nodes, [value("x", np.float32, ["n", 3])],
                 [value("sum_all", np.float32, [3]), value("sums", np.float32, ["n", 3])], weights)
    case("loop_over_rows", made, {"x": f32(4, 3)})
    # A condition on data: both branches stay.
    branch = lambda op, name: helper.make_graph(  # noqa: E731
        [helper.make_node(op, ["x"], [name])], name, [], [value(name, np.float32, [2])])
    nodes = [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"]),
             helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg", "t"), else_branch=branch("Exp", "e"))]
    x = f32(2)
    made = model(nodes, [value("x", x)], [value("y", x)], [numpy_helper.from_array(np.float32(0), "zero")])
    case("if_on_data", made, {"x": x})


def lengths():
    """Recurrent operators over items of different lengths."""
    time, batch, size, hidden = 5, 3, 2, 4
    x, lens = f32(time, batch, size), np.array([5, 2, 3], np.int32)
    for op, gates in [("LSTM", 4), ("GRU", 3), ("RNN", 1)]:
        for direction in ["forward", "reverse", "bidirectional"]:
            d = 2 if direction == "bidirectional" else 1
            weights = [numpy_helper.from_array(f32(d, gates * hidden, size), "W"),
                       numpy_helper.from_array(f32(d, gates * hidden, hidden), "R"),
                       numpy_helper.from_array(f32(d, 2 * gates * hidden), "B"),
                       numpy_helper.from_array(f32(d, batch, hidden), "h0")]
            outputs = ["y", "y_h", "y_c"] if op == "LSTM" else ["y", "y_h"]
            node = helper.make_node(op, ["x", "W", "R", "B", "lens", "h0"], outputs, hidden_size=hidden,
                                    direction=direction)
            declared = [value("y", np.float32, [time, d, batch, hidden])]
            declared += [value(name, np.float32, [d, batch, hidden]) for name in outputs[1:]]
            # The cell needs constant lengths; without it they may come with the request.
            constant = op == "LSTM"
            weights += [numpy_helper.from_array(lens, "lens")] if constant else []
            inputs = [value("x", x)] + ([] if constant else [value("lens", lens)])
            made = model([node], inputs, declared, weights)
            case(f"{op.lower()}_lengths_{direction}", made, {"x": x} if constant else {"x": x, "lens": lens})


def contrib():
    """onnxruntime's fused and quantized operators, as its optimizer and its quantizer write them."""
    def save(name, nodes, feeds, outputs, weights=()):
        for node in nodes:
            node.domain = "com.microsoft"
        made = model(nodes, [value(key, array) for key, array in feeds.items()], outputs,
                     [numpy_helper.from_array(array, key) for key, array in weights])
        made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        case(f"contrib_{name}", made, feeds)

    node = helper.make_node
    y = lambda *shape, dtype=np.float32, name="y": value(name, dtype, list(shape))  # noqa: E731
    save("fused_matmul", [node("FusedMatMul", ["a", "b"], ["y"], alpha=0.5, transA=1, transB=1)],
         {"a": f32(2, 4, 3)}, [y(2, 3, 5)], [("b", f32(2, 5, 4))])
    save("fused_conv", [node("FusedConv", ["x", "w", "b", "z"], ["y"], activation="Relu", kernel_shape=[3, 3],
                             pads=[1, 1, 1, 1])],
         {"x": f32(1, 2, 5, 5), "z": f32(1, 4, 5, 5)}, [y(1, 4, 5, 5)], [("w", f32(4, 2, 3, 3)), ("b", f32(4))])
    save("fused_conv_clip", [node("FusedConv", ["x", "w"], ["y"], activation="Clip", activation_params=[-0.5, 0.5])],
         {"x": f32(1, 2, 5, 5)}, [y(1, 4, 3, 3)], [("w", f32(4, 2, 3, 3))])
    save("fused_gemm", [node("FusedGemm", ["a", "b", "c"], ["y"], activation="LeakyRelu", activation_alpha=0.1,
                             transB=1)],
         {"a": f32(2, 3)}, [y(2, 4)], [("b", f32(4, 3)), ("c", f32(4))])
    save("skip_layer_norm", [node("SkipLayerNormalization", ["x", "skip", "g", "b", "bias"], ["y", "", "", "sum"],
                                  epsilon=1e-5)],
         {"x": f32(2, 3, 8), "skip": f32(2, 3, 8)}, [y(2, 3, 8), y(2, 3, 8, name="sum")],
         [("g", f32(8)), ("b", f32(8)), ("bias", f32(8))])
    ids, kinds = np.array([[1, 5, 2], [0, 3, 4]], np.int32), np.array([[0, 0, 1], [0, 1, 1]], np.int32)
    mask = np.array([[1, 1, 1], [1, 1, 0]], np.int32)
    save("embed_layer_norm", [node("EmbedLayerNormalization", ["ids", "kinds", "words", "places", "segments", "g", "b",
                                                               "mask"], ["y", "lens"], epsilon=1e-5)],
         {"ids": ids, "kinds": kinds, "mask": mask}, [y(2, 3, 8), y(2, dtype=np.int32, name="lens")],
         [("words", f32(10, 8)), ("places", f32(6, 8)), ("segments", f32(2, 8)), ("g", f32(8)), ("b", f32(8))])
    for name, extra, more in [("plain", {}, {}), ("causal", {}, {"unidirectional": 1}),
                              ("mask", {"mask": mask}, {}), ("lengths", {"mask": np.array([3, 2], np.int32)}, {})]:
        inputs = ["x", "w", "b"] + (["mask"] if extra else [])
        save(f"attention_{name}", [node("Attention", inputs, ["y"], num_heads=2, **more)],
             {"x": f32(2, 3, 8)} | extra, [y(2, 3, 8)], [("w", f32(8, 24)), ("b", f32(24))])
    # Long enough for our own kernel. Numbers of their own: those of the other cases stay what they are.
    rng = np.random.default_rng(8)
    long = {name: rng.standard_normal(shape).astype(np.float32)
            for name, shape in {"x": (2, 20, 8), "w": (8, 24), "b": (24,)}.items()}
    seen = (np.arange(20) < np.array([[20], [13]])).astype(np.int32)
    save("attention_long", [node("Attention", ["x", "w", "b", "mask"], ["y"], num_heads=2)],
         {"x": long.pop("x"), "mask": seen}, [y(2, 20, 8)], list(long.items()))
    for op in ["BiasGelu", "FastGelu"]:
        save(op.lower(), [node(op, ["x", "b"], ["y"])], {"x": f32(2, 8)}, [y(2, 8)], [("b", f32(8))])
    for op in ["Gelu", "QuickGelu"]:
        save(op.lower(), [node(op, ["x"], ["y"])], {"x": f32(2, 8)}, [y(2, 8)])

    def q8(*shape, dtype=np.uint8):
        info = np.iinfo(dtype)
        return RNG.integers(info.min, info.max + 1, shape).astype(dtype)

    part = [("s1", np.float32(0.02)), ("z1", np.uint8(120)), ("s2", np.float32(0.03)), ("z2", np.uint8(130)),
            ("s3", np.float32(0.05)), ("z3", np.uint8(128))]
    u8 = lambda *shape: y(*shape, dtype=np.uint8)  # noqa: E731
    for op in ["QLinearAdd", "QLinearMul"]:
        save(op.lower(), [node(op, ["a", "s1", "z1", "b", "s2", "z2", "s3", "z3"], ["y"])],
             {"a": q8(2, 5), "b": q8(2, 5)}, [u8(2, 5)], part)
    for op, more in [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1})]:
        save(op.lower(), [node(op, ["a", "s1", "z1", "s3", "z3"], ["y"], **more)], {"a": q8(2, 5)}, [u8(2, 5)],
             part[:2] + part[4:])
    save("qlinearglobalaveragepool", [node("QLinearGlobalAveragePool", ["a", "s1", "z1", "s3", "z3"], ["y"])],
         {"a": q8(1, 3, 4, 4)}, [u8(1, 3, 1, 1)], part[:2] + part[4:])
    save("qlinearaveragepool", [node("QLinearAveragePool", ["a", "s1", "z1", "s3", "z3"], ["y"], kernel_shape=[2, 2])],
         {"a": q8(1, 3, 4, 4)}, [u8(1, 3, 3, 3)], part[:2] + [("s3", np.float32(0.0513)), part[5]])
    save("qlinearconcat", [node("QLinearConcat", ["s3", "z3", "a", "s1", "z1", "b", "s2", "z2"], ["y"], axis=1)],
         {"a": q8(2, 3), "b": q8(2, 4)}, [u8(2, 7)], part)
    weights = [("b", q8(4, 3, dtype=np.int8)), ("s2", np.float32(0.01)), ("z2", np.int8(3))]
    save("qgemm", [node("QGemm", ["a", "s1", "z1", "b", "s2", "z2", "c", "s3", "z3"], ["y"])], {"a": q8(2, 4)},
         [u8(2, 3)], part[:2] + part[4:] + weights + [("c", q8(3).astype(np.int32))])
    save("qgemm_to_float", [node("QGemm", ["a", "s1", "z1", "b", "s2", "z2"], ["y"])], {"a": q8(2, 4)},
         [y(2, 3)], part[:2] + weights)
    save("matmulintegertofloat", [node("MatMulIntegerToFloat", ["a", "b", "s1", "s2", "z1", "z2", "bias"], ["y"])],
         {"a": q8(2, 4)}, [y(2, 3)], part[:2] + weights + [("bias", f32(3))])
    save("dynamicquantizematmul", [node("DynamicQuantizeMatMul", ["a", "b", "s2", "z2", "bias"], ["y"])],
         {"a": f32(2, 4)}, [y(2, 3)], weights + [("bias", f32(3))])


def quantized():
    """Networks as `onnxruntime.quantization` writes them: between QuantizeLinear and DequantizeLinear, in integers, and
    dynamically."""
    nodes, weights, count = [], [], 0

    def name():
        nonlocal count
        count += 1
        return f"t{count}"

    def constant(array):
        weights.append(numpy_helper.from_array(np.asarray(array), name()))
        return weights[-1].name

    def op(kind, *read, **more):
        nodes.append(helper.make_node(kind, list(read), [name()], **more))
        return nodes[-1].output[0]

    def steps(scale, zero):
        return [constant(np.float32(scale)), constant(zero)]

    def through(x, scale, zero=np.uint8(128)):
        both = steps(scale, zero)
        return op("DequantizeLinear", op("QuantizeLinear", x, *both), *both)

    def filters(*shape):
        q = RNG.integers(-127, 128, shape).astype(np.int8)
        scales = RNG.uniform(0.3, 1, shape[0]).astype(np.float32) / np.float32(127 * np.sqrt(np.prod(shape[1:])))
        return q, scales

    def conv(x, *shape, **more):
        q, scales = filters(*shape)
        w = op("DequantizeLinear", constant(q), constant(scales), constant(np.zeros(shape[0], np.int8)), axis=0)
        return op("Conv", x, w, constant(f32(shape[0]) / 5), **more)

    def finish(of, output, feeds):
        made = model(nodes, [value(key, array) for key, array in feeds.items()], [output], weights)
        case(of, made, feeds)
        nodes.clear()
        weights.clear()

    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    at = through("x", 0.02, np.uint8(120))
    at = through(op("Relu", conv(at, 32, 3, 3, 3, **same)), 0.02, np.uint8(3))
    at = skip = through(conv(at, 48, 32, 1, 1), 0.03)
    at = through(op("Relu", conv(at, 48, 48, 3, 3, **same)), 0.015, np.uint8(0))
    at = through(conv(at, 48, 48, 1, 1), 0.02, np.int8(5))
    at = through(op("Relu", op("Add", at, skip)), 0.03, np.uint8(1))
    skip = at
    at = through(conv(at, 48, 1, 3, 3, group=48, **same), 0.02)
    at = through(op("Add", skip, at), 0.04)
    at = through(conv(at, 48, 48, 3, 3, strides=[2, 2], **same), 0.03)
    at = through(op("Sigmoid", conv(at, 20, 48, 1, 1)), 0.004, np.uint8(0))
    at = through(op("Flatten", op("GlobalAveragePool", at)), 0.004, np.uint8(0))
    q, scales = filters(10, 20)
    w = op("DequantizeLinear", constant(q), constant(scales), constant(np.zeros(10, np.int8)), axis=0)
    op("Gemm", at, w, constant(f32(10)), transB=1)
    nodes[-1].output[0] = "y"
    finish("qdq_network", value("y", np.float32, [2, 10]), {"x": f32(2, 3, 11, 13)})

    of_x, of_y = steps(0.02, np.uint8(110)), steps(0.05, np.uint8(99))
    q, scales = filters(32, 16, 3, 3)
    at = op("QuantizeLinear", "x", *of_x)
    at = op("QLinearConv", at, *of_x, constant(q), constant(scales), constant(np.zeros(32, np.int8)), *of_y,
            constant(RNG.integers(-900, 900, 32).astype(np.int32)), **same)
    q, scales = filters(24, 32, 1, 1)
    of_z = steps(0.03, np.uint8(130))
    at = op("QLinearConv", at, *of_y, constant(q), constant(scales[0]), constant(np.int8(0)), *of_z)
    op("DequantizeLinear", at, *of_z)
    nodes[-1].output[0] = "y"
    finish("qlinearconv", value("y", np.float32, [1, 24, 6, 7]), {"x": f32(1, 16, 6, 7)})

    nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["bytes", "scale", "zero"]))
    q, scales = filters(20, 12)
    at = op("MatMulInteger", "bytes", constant(q.T.copy()), "zero", constant(np.zeros(20, np.int8)))
    at = op("Mul", op("Cast", at, to=TensorProto.FLOAT), op("Mul", "scale", constant(scales)))
    nodes[-1].output[0] = "y"
    finish("matmul_of_bytes", value("y", np.float32, [2, 5, 20]), {"x": f32(2, 5, 12)})


def unfit():
    UNFIT.mkdir(exist_ok=True)
    x = [value("x", np.float32, [2])]
    y = [value("y", np.float32, [2])]

    def save(name, made):
        onnx.save(made, UNFIT / f"{name}.onnx")

    def node(op, *names, **attributes):
        return helper.make_node(op, list(names), ["y"], name="n", **attributes)

    save("cycle", model([helper.make_node("Neg", ["b"], ["a"], name="first"),
                         helper.make_node("Neg", ["a"], ["b"], name="second"), node("Add", "x", "a")], x, y))
    save("reads_nothing", model([node("Add", "x", "ghost")], x, y))
    save("gives_nothing", model([helper.make_node("Neg", ["x"], ["z"])], x, y))
    save("value_twice", model([node("Neg", "x"), node("Abs", "x")], x, y))
    save("input_twice", model([node("Neg", "x")], x + x, y))
    w = numpy_helper.from_array(np.ones(2, np.float32), "w")
    save("weight_twice", model([node("Add", "x", "w")], x, y, [w, w]))
    save("no_output", model([node("Neg", "x")], x, []))
    short = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], raw_data=b"\0" * 20)
    save("weight_too_short", model([node("Add", "x", "w")], x, y, [short]))
    odd = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], raw_data=b"\0" * 7)
    save("weight_odd", model([node("Add", "x", "w")], x, y, [odd]))
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 2**40], raw_data=b"\0" * 4)
    save("weight_huge", model([node("Add", "x", "w")], x, y, [huge]))
    negative = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-2], raw_data=b"\0" * 8)
    save("weight_negative", model([node("Add", "x", "w")], x, y, [negative]))
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../../etc/passwd")
    save("weight_outside", model([node("Add", "x", "w")], x, y, [outside]))
    strange = TensorProto(name="w", data_type=99, dims=[2], raw_data=b"\0" * 8)
    save("weight_unknown_datatype", model([node("Add", "x", "w")], x, y, [strange]))
    eight = TensorProto(name="w", data_type=TensorProto.FLOAT8E4M3FN, dims=[2], raw_data=b"\0" * 2)
    save("weight_float8", model([node("Add", "x", "w")], x, y, [eight]))
    save("input_huge", model([node("Neg", "x")], [value("x", np.float32, [2**40, 2**40])],
                             [value("y", np.float32, [2**40, 2**40])]))
    shape = numpy_helper.from_array(np.array([2**20, 2**20]), "shape")
    save("grows_from_a_constant", model([node("ConstantOfShape", "shape")], x, [value("y", np.float32, [None, None])], [shape]))
    save("grows_from_an_input", model([node("Expand", "x", "shape")], [value("x", np.float32, [1, 1])],
                                      [value("y", np.float32, [None, None])], [shape]))
    ones = numpy_helper.from_array(np.ones(1024, np.float32), "v0")
    doubling = [helper.make_node("Concat", [f"v{i}"] * 16, [f"v{i + 1}"], axis=0) for i in range(9)]
    save("grows_by_doubling", model(doubling + [node("Identity", "v9")], x, [value("y", np.float32, [None])], [ones]))
    table = numpy_helper.from_array(np.ones((64, 32), np.float32), "w")
    save("gather_without_indices", model([node("Gather", "w")], x, y, [table]))
    save("product_of_nothing", model([node("MatMul", "w")], x, y, [table]))
    save("unknown_op", model([node("ImageDecoder", "x")], x, y))
    save("other_domain", model([node("Relu", "x", domain="com.example")], x, y))
    save("no_opset", model([node("Neg", "x")], x, y))
    made = onnx.load(UNFIT / "no_opset.onnx")
    del made.opset_import[:]
    save("no_opset", made)
    itself = helper.make_function("local", "Neg", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"], domain="local")],
                                  [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])
    save("function_in_itself", model([node("Neg", "x", domain="local")], x, y, functions=[itself]))
    # Eight levels of ten calls each: a hundred million nodes.
    many = [helper.make_function("local", f"f{level}", ["a"], ["b"], [
        helper.make_node(f"f{level + 1}" if level < 8 else "Neg", ["a" if i == 0 else f"t{i}"],
                         [f"t{i + 1}" if i < 9 else "b"], domain="local" if level < 8 else "") for i in range(10)],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]) for level in range(9)]
    save("functions_explode", model([node("f0", "x", domain="local")], x, y, functions=many))
    body = helper.make_graph([helper.make_node("Neg", ["s"], ["t"]), helper.make_node("Identity", ["on"], ["still"])],
                             "body", [value("i", np.int64, []), value("on", np.bool_, []), value("s", np.float32, [2])],
                             [value("still", np.bool_, []), value("t", np.float32, [2])])
    trips = numpy_helper.from_array(np.array(2**40), "trips")
    save("loop_too_long", model([node("Loop", "trips", "", "x", body=body)], x, y, [trips]))
    rnn = [value("x", np.float32, [3, 1, 2])], [value("y", np.float32, [3, 1, 1, 2])]
    rnn_weights = [numpy_helper.from_array(f32(1, 2, 2), "w"), numpy_helper.from_array(f32(1, 2, 2), "r")]
    save("rnn_activation", model([node("RNN", "x", "w", "r", hidden_size=2, activations=["Relu"])], *rnn, rnn_weights))
    save("rnn_clip", model([node("RNN", "x", "w", "r", hidden_size=2, clip=0.5)], *rnn, rnn_weights))
    save("rnn_reverse_opset_9", model([node("RNN", "x", "w", "r", hidden_size=2, direction="reverse")], *rnn,
                                      rnn_weights, opset=9))
    save("shapes_disagree", model([node("Add", "x", "w")], x, y, [numpy_helper.from_array(f32(3), "w")]))
    graph = helper.make_graph([node("Neg", "x")], "inner", x, y)
    for level in range(12):
        inner = helper.make_node("If", ["c"], [f"o{level}"], then_branch=graph)
        graph = helper.make_graph([inner], f"g{level}", [], [value(f"o{level}", np.float32, [2])])
    deep = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    save("nested_deep", deep)


def bench(folder):
    """A small MLP, and a depthwise CNN in the manner of EfficientNet-Lite0, at 224×224."""
    def save(name, nodes, x_shape, y_shape, weights):
        made = model(nodes, [value("x", np.float32, x_shape)], [value("y", np.float32, y_shape)], weights)
        onnx.save(made, folder / f"{name}.onnx")

    weights, nodes, at = [], [], "x"
    for layer, (rows, columns) in enumerate([(64, 256), (256, 256), (256, 10)]):
        weights.append(numpy_helper.from_array(f32(rows, columns) / rows**0.5, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [at, f"w{layer}"], [f"h{layer}"]))
        nodes.append(helper.make_node("Relu", [f"h{layer}"], [f"r{layer}"]))
        at = f"r{layer}"
    nodes.append(helper.make_node("Softmax", [at], ["y"]))
    save("mlp", nodes, ["n", 64], ["n", 10], weights)

    weights, nodes, count = [], [], 0

    def conv(x, c_in, c_out, kernel, stride, group=1, relu=True):
        nonlocal count
        count += 1
        scale = (c_in // group * kernel * kernel) ** 0.5
        weights.append(numpy_helper.from_array(f32(c_out, c_in // group, kernel, kernel) / scale, f"w{count}"))
        nodes.append(helper.make_node("Conv", [x, f"w{count}"], [f"c{count}"], strides=[stride] * 2,
                                      pads=[kernel // 2] * 4, group=group))
        if not relu:
            return f"c{count}"
        nodes.append(helper.make_node("Clip", [f"c{count}", "zero", "six"], [f"a{count}"]))
        return f"a{count}"

    weights += [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.float32(6), "six")]
    at, width = conv("x", 3, 32, 3, 2), 32
    blocks = [(16, 3, 1, 1, 1), (24, 3, 2, 6, 2), (40, 5, 2, 6, 2), (80, 3, 2, 6, 3), (112, 5, 1, 6, 3),
              (192, 5, 2, 6, 4), (320, 3, 1, 6, 1)]
    for out, kernel, stride, expand, repeats in blocks:
        for repeat in range(repeats):
            wide = width * expand
            deep = conv(at, width, wide, 1, 1) if expand > 1 else at
            deep = conv(deep, wide, wide, kernel, stride if repeat == 0 else 1, group=wide)
            deep = conv(deep, wide, out, 1, 1, relu=False)
            if repeat > 0:
                count += 1
                nodes.append(helper.make_node("Add", [at, deep], [f"s{count}"]))
                deep = f"s{count}"
            at, width = deep, out
    at = conv(at, width, 1280, 1, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [at], ["pool"]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"]))
    weights.append(numpy_helper.from_array(f32(1280, 1000) / 36, "head"))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["y"]))
    save("cnn", nodes, ["n", 3, 224, 224], ["n", 1000], weights)


def long_loops():
    # Too long to be written out: a scan. The states are a sum and a vector that is turned; the body reads weights from
    # around it, and its own number.
    turn, seed = f32(4, 4) / 4, f32(1, 4)
    body = helper.make_graph(
        [helper.make_node("Gather", ["x", "i"], ["row"]), helper.make_node("MatMul", ["v", "turn"], ["turned"]),
         helper.make_node("Add", ["turned", "row"], ["raw"]), helper.make_node("Tanh", ["raw"], ["w"]),
         helper.make_node("Cast", ["i"], ["number"], to=onnx.TensorProto.FLOAT),
         helper.make_node("ReduceMean", ["w"], ["mean"], keepdims=0), helper.make_node("Mul", ["mean", "number"], ["part"]),
         helper.make_node("Add", ["sum", "part"], ["next"]), helper.make_node("Identity", ["mean"], ["seen"]),
         helper.make_node("Identity", ["on"], ["still"])],
        "body", [value("i", np.int64, []), value("on", np.bool_, []), value("v", seed), value("sum", np.float32, [])],
        [value("still", np.bool_, []), value("w", seed), value("next", np.float32, []), value("seen", np.float32, [])])
    nodes = [helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Gather", ["shape", "first"], ["rows"]),
             helper.make_node("Loop", ["rows", "", "seed", "zero"], ["last", "sum_all", "means"], body=body)]
    weights = [numpy_helper.from_array(turn, "turn"), numpy_helper.from_array(seed, "seed"),
               numpy_helper.from_array(np.array(0), "first"), numpy_helper.from_array(np.float32(0), "zero")]
    made = model(nodes, [value("x", np.float32, ["n", 4])],
                 [value("last", seed), value("sum_all", np.float32, []), value("means", np.float32, ["n"])], weights)
    case("loop_of_many_rows", made, {"x": f32(300, 4)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bench"]:
        bench(pathlib.Path(sys.argv[2]))
        sys.exit()
    recurrent()
    batch_first()
    depth_and_space()
    shapes()
    datatypes()
    weights_in_typed_fields()
    unsorted()
    batches()
    functions()
    control_flow()
    lengths()
    contrib()
    unfit()
    quantized()
    bfloat16()
    precisions()
    one_branch_fits()
    long_loops()
