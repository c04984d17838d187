"""Holds exported graphs against onnx's checker and onnxruntime.

    DUNLIN_EXPORT_CASES=DIR cargo test --release export
    python models/trainer/tests/check_exports.py DIR

Each case is a folder with model.onnx, and case.json: the inputs, and y as Burn computed it. The batch is tried at another
size, too: what comes out for its first items must be the same.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


TYPES = {"FP32": np.float32, "INT64": np.int64}


def read(tensor):
    return np.asarray(tensor["values"], TYPES[tensor["type"]]).reshape(tensor["shape"])


def difference(got, want):
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    return np.abs(got - want).max() / max(1, np.abs(want).max())


def check(case):
    onnx.checker.check_model(onnx.load(case / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(case / "model.onnx", providers=["CPUExecutionProvider"])
    tensors = json.loads((case / "case.json").read_text())
    inputs, y = {tensor["name"]: read(tensor) for tensor in tensors["inputs"]}, read(tensors["y"])
    twice = session.run(["y"], {name: np.concatenate([x, x]) for name, x in inputs.items()})[0]
    return max(difference(session.run(["y"], inputs)[0], y), difference(twice[: len(y)], y))


def main():
    cases = sorted(Path(sys.argv[1]).iterdir())
    worst = {}
    for case in cases:
        layer = case.name.rsplit("-", 1)[0]
        worst[layer] = max(worst.get(layer, 0), check(case))
    for layer, largest in worst.items():
        print(f"{layer:12} {largest:.1e}")
    if not cases or max(worst.values()) > TOLERANCE:
        sys.exit(f"more than {TOLERANCE} apart, or no cases")
    print(f"{len(cases)} graphs agree with onnxruntime {onnxruntime.__version__}")


main()
