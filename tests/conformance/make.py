#!/usr/bin/env python3
"""Writes the cases of ONNX's backend node suite, one folder a case, for the engine's runner.

    python make.py FOLDER [NODE_CASES]

makes those that the installed `onnx` generates, or takes those that lie on disk under NODE_CASES,
as older releases ship them (`onnx/backend/test/data/node` of a wheel). A case's folder holds

- `model.onnx`: the case's model, its parameters frozen;
- `case.json`: tolerances, and the inputs and wanted outputs: name, Open Inference Protocol datatype, shape, bytes;
- `tensors.bin`: the values, one after the other, as the protocol's binary tensors.

A case whose inputs or outputs can't be said in the protocol (sequences, optionals, small floats)
has `case.json` with the reason alone, and counts as failed.

**Parameters.** The suite feeds everything through inputs, also what no model computes or is sent at run time: axes,
shapes, scales. `PARAMETERS` names those formal inputs of each operator, in the words of the ONNX specification. A
graph's input of such a name becomes an initializer with the case's value: it is frozen. A case that comes expanded
into its operator's function body has the same inputs frozen as the case that it was expanded from.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

PARAMETERS = {
    "AffineGrid": "size",
    "BlackmanWindow": "size",
    "CenterCropPad": "shape",
    "Col2Im": "image_shape block_shape",
    "ConstantOfShape": "input",
    "ConvInteger": "x_zero_point w_zero_point",
    "CumProd": "axis",
    "CumSum": "axis",
    "DFT": "dft_length axis",
    "DequantizeLinear": "x_scale x_zero_point",
    "Dropout": "ratio training_mode",
    "Expand": "shape",
    "GRU": "sequence_lens",
    "HammingWindow": "size",
    "HannWindow": "size",
    "LSTM": "sequence_lens",
    "Loop": "M cond",
    "MatMulInteger": "a_zero_point b_zero_point",
    "MaxUnpool": "output_shape",
    "MelWeightMatrix": "num_mel_bins dft_length sample_rate lower_edge_hertz upper_edge_hertz",
    "NonMaxSuppression": "max_output_boxes_per_class iou_threshold score_threshold",
    "OneHot": "depth",
    "Pad": "pads constant_value axes",
    "QLinearConv": "x_scale x_zero_point w_scale w_zero_point y_scale y_zero_point",
    "QLinearMatMul": "a_scale a_zero_point b_scale b_zero_point y_scale y_zero_point",
    "QuantizeLinear": "y_scale y_zero_point",
    "RNN": "sequence_lens",
    "Range": "start limit delta",
    "ReduceL1": "axes",
    "ReduceL2": "axes",
    "ReduceLogSum": "axes",
    "ReduceLogSumExp": "axes",
    "ReduceMax": "axes",
    "ReduceMean": "axes",
    "ReduceMin": "axes",
    "ReduceProd": "axes",
    "ReduceSum": "axes",
    "ReduceSumSquare": "axes",
    "Reshape": "shape",
    "Resize": "roi scales sizes",
    "STFT": "frame_step window frame_length",
    "Slice": "starts ends axes steps",
    "Split": "split",
    "SplitToSequence": "split",
    "Squeeze": "axes",
    "Tile": "repeats",
    "TopK": "K",
    "Trilu": "k",
    "Unsqueeze": "axes",
    "Upsample": "scales",
}
DATATYPES = {
    TensorProto.BOOL: "BOOL", TensorProto.UINT8: "UINT8", TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32", TensorProto.UINT64: "UINT64", TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16", TensorProto.INT32: "INT32", TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16", TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64", TensorProto.STRING: "BYTES",
}  # fmt: skip
RTOL, ATOL = 1e-3, 1e-7


class Unsayable(Exception):
    """The protocol has no words for it."""


def frozen(model):
    """The names of the graph inputs that are parameters of the model's operator."""
    nodes = [node for node in model.graph.node if node.op_type in PARAMETERS]
    names = set()
    for node in nodes:
        domain = {entry.domain: entry.version for entry in model.opset_import}
        formal = onnx.defs.get_schema(node.op_type, domain[node.domain], node.domain).inputs
        wanted = PARAMETERS[node.op_type].split()
        names |= {given for given, slot in zip(node.input, formal, strict=False) if slot.name in wanted}
    return names


def freeze(model, parameters, values):
    """Makes initializers of the inputs in `parameters`."""
    for entry in [entry for entry in model.graph.input if entry.name in parameters]:
        model.graph.input.remove(entry)
        value = TensorProto()
        value.CopyFrom(values[entry.name])
        value.name = entry.name
        model.graph.initializer.append(value)


def data(value):
    """A tensor's bytes on the wire."""
    if value.data_type not in DATATYPES:
        raise Unsayable(f"datatype {TensorProto.DataType.Name(value.data_type)}")
    array = numpy_helper.to_array(value)
    if value.data_type == TensorProto.STRING:
        items = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
        return b"".join(len(item).to_bytes(4, "little") + item for item in items)
    return np.ascontiguousarray(array).tobytes()


def tensors(entries, values):
    """The description and the bytes of named tensors."""
    records, blobs = [], []
    for entry, value in zip(entries, values, strict=True):
        kind = entry.type.WhichOneof("value")
        if kind != "tensor_type" or not isinstance(value, TensorProto):
            raise Unsayable(f"{(kind or 'nothing').removesuffix('_type')} values")
        blob = data(value)
        stored = value.data_type
        # onnx 1.13.1 stored bfloat16 as its bits.
        if stored == TensorProto.UINT16 and entry.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            stored = TensorProto.BFLOAT16
        datatype = DATATYPES[stored]
        records.append({"name": entry.name, "datatype": datatype, "shape": list(value.dims), "bytes": len(blob)})
        blobs.append(blob)
    return records, b"".join(blobs)


def write(folder, model, parameters, inputs, outputs, rtol=RTOL, atol=ATOL):
    folder.mkdir(parents=True, exist_ok=True)
    try:
        given = dict(zip([entry.name for entry in model.graph.input], inputs, strict=False))
        if any(not isinstance(given.get(name), TensorProto) for name in parameters & given.keys()):
            raise Unsayable("a parameter that is no tensor")
        freeze(model, parameters, given)
        fed, fed_bytes = tensors(model.graph.input, [given[entry.name] for entry in model.graph.input])
        wanted, wanted_bytes = tensors(model.graph.output, outputs)
        record = {"rtol": rtol, "atol": atol, "inputs": fed, "outputs": wanted}
        (folder / "tensors.bin").write_bytes(fed_bytes + wanted_bytes)
    except Unsayable as error:
        record = {"unsayable": str(error)}
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "case.json").write_text(json.dumps(record) + "\n")


def proto(value, entry):
    """A generated value as the message that the disk would hold, where it is a tensor."""
    if isinstance(value, TensorProto) or entry.type.WhichOneof("value") != "tensor_type":
        return value
    kind = entry.type.tensor_type.elem_type
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        items = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
        return onnx.helper.make_tensor(entry.name, TensorProto.STRING, array.shape, items)
    made = numpy_helper.from_array(array)
    if made.data_type != kind:
        raise Unsayable(f"{entry.name} is {made.data_type}, declared as {kind}")
    return made


def generated():
    """The cases of the installed package: name, model, inputs, outputs, tolerances."""
    from onnx.backend.test.case.node import collect_testcases

    # One seed, so that a case is the same in every run.
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        inputs, outputs = case.data_sets[0]
        model = case.model
        inputs = [proto(value, entry) for value, entry in zip(inputs, model.graph.input, strict=False)]
        outputs = [proto(value, entry) for value, entry in zip(outputs, model.graph.output, strict=False)]
        yield case.name, model, inputs, outputs, case.rtol, case.atol


def on_disk(folder):
    """The cases of a folder, as `onnx` ships them."""
    for case in sorted(folder.iterdir()):
        model = onnx.load(case / "model.onnx")
        first = case / "test_data_set_0"

        def read(kind, entries, first=first):
            values = []
            for index, entry in enumerate(entries):
                tensor = entry.type.WhichOneof("value") == "tensor_type"
                path = first / f"{kind}_{index}.pb"
                values.append(TensorProto.FromString(path.read_bytes()) if tensor else path)
            return values

        yield case.name, model, read("input", model.graph.input), read("output", model.graph.output), RTOL, ATOL


def main():
    out = pathlib.Path(sys.argv[1])
    cases = list(on_disk(pathlib.Path(sys.argv[2])) if len(sys.argv) > 2 else generated())
    parameters = {name: frozen(model) for name, model, *_ in cases if "_expanded" not in name}
    for name, model, inputs, outputs, rtol, atol in cases:
        names = parameters.get(name.split("_expanded")[0], set())
        write(out / name, model, names, inputs, outputs, rtol, atol)
    print(f"{len(cases)} cases in {out}")


if __name__ == "__main__":
    main()
