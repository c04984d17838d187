"""The ten pictures of the digits sample as tensors, and what onnxruntime answers to them."""

import numpy as np
import onnxruntime
from PIL import Image

import hosts

FOLDER = hosts.ROOT / "models" / "digits"
FILES = [FOLDER / "examples" / f"{digit}.png" for digit in range(10)]
PICTURES = np.stack([np.asarray(Image.open(file).convert("L"), np.float32)[None] / 255 for file in FILES])


def _onnxruntime():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": PICTURES})[0]


LOGITS = _onnxruntime()
