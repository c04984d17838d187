"""Inference requests and replies of the Open Inference Protocol with binary tensors, as events carry them."""

import json

import numpy as np

HEADER_LENGTH = "inference-header-content-length"
TYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}


def request(inputs):
    """Headers and body for these arrays; the answer is wanted in binary, too."""
    heads = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": NAMES[array.dtype],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in inputs.items()
    ]
    head = json.dumps({"inputs": heads, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(np.ascontiguousarray(array).tobytes() for array in inputs.values())
    return {HEADER_LENGTH: str(len(head)), "content-type": "application/octet-stream"}, body


def outputs(headers, body):
    """The arrays of a reply, by name."""
    headers = {name.lower(): value for name, value in headers.items()}
    at = int(headers[HEADER_LENGTH])
    arrays = {}
    for output in json.loads(body[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        arrays[output["name"]] = np.frombuffer(body[at : at + size], TYPES[output["datatype"]]).reshape(output["shape"])
        at += size
    return arrays
