"""Holds exported graphs against onnx's checker and onnxruntime.

    DUNLIN_EXPORT_CASES=DIR cargo test --release export
    python models/trainer/tests/check_exports.py DIR

Each case is a folder with model.onnx, the input x.json, and y.json as Burn computed it. The batch is tried at another size,
too: what comes out for its first items must be the same.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


def read(path):
    tensor = json.loads(path.read_text())
    return np.asarray(tensor["values"], np.float32).reshape(tensor["shape"])


def difference(got, want):
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    return np.abs(got - want).max() / max(1, np.abs(want).max())


def check(case):
    onnx.checker.check_model(onnx.load(case / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(case / "model.onnx", providers=["CPUExecutionProvider"])
    x, y = read(case / "x.json"), read(case / "y.json")
    twice = session.run(["y"], {"x": np.concatenate([x, x])})[0]
    return max(difference(session.run(["y"], {"x": x})[0], y), difference(twice[: len(x)], y))


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
