"""The prediction function as Python writes it: boto3, onnxruntime, and a loop over Lambda's Runtime API.

`BENCH_BUCKET`, `BENCH_KEY`: where the ONNX file is; `BENCH_SHA256`: what it must be. It answers the Open Inference
Protocol's binary tensors, and writes its phases, as the words of Server-Timing, to standard error.
"""

import base64
import hashlib
import http.client
import json
import os
import sys
import time

STARTED = time.perf_counter()

import boto3  # noqa: E402  (what importing takes is measured)
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

HEADER_LENGTH = "inference-header-content-length"
TYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}


class Phases:
    def __init__(self):
        self.last, self.parts = time.perf_counter(), []

    def end(self, name):
        now = time.perf_counter()
        self.parts.append(f"{name};dur={(now - self.last) * 1e3:.3f}")
        self.last = now

    def __str__(self):
        return ", ".join(self.parts)


def load():
    phases = Phases()
    phases.last = STARTED
    phases.end("import")
    client = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"))
    onnx = client.get_object(Bucket=os.environ["BENCH_BUCKET"], Key=os.environ["BENCH_KEY"])["Body"].read()
    phases.end("fetch")
    if hashlib.sha256(onnx).hexdigest() != os.environ["BENCH_SHA256"]:
        sys.exit("the model is not what was published")
    phases.end("verify")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    phases.end("load")
    print(json.dumps({"phases": str(phases)}), file=sys.stderr, flush=True)
    return session


def decode(event):
    """Input arrays by name, out of the event's body: a JSON header and the tensors' bytes after it."""
    body = base64.b64decode(event["body"])
    length = int(event["headers"][HEADER_LENGTH])
    inputs, at = {}, length
    for given in json.loads(body[:length])["inputs"]:
        size = given["parameters"]["binary_data_size"]
        array = np.frombuffer(body, TYPES[given["datatype"]], size // TYPES[given["datatype"]]().itemsize, at)
        inputs[given["name"]] = array.reshape(given["shape"])
        at += size
    return inputs


def encode(outputs, phases):
    heads = [
        {
            "name": name,
            "datatype": NAMES[array.dtype],
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in outputs.items()
    ]
    header = json.dumps({"model_name": "model", "model_version": "1", "outputs": heads}).encode()
    body = header + b"".join(np.ascontiguousarray(array).tobytes() for array in outputs.values())
    phases.end("encode")
    return {
        "statusCode": 200,
        "headers": {HEADER_LENGTH: str(len(header)), "server-timing": str(phases)},
        "isBase64Encoded": True,
        "body": base64.b64encode(body).decode(),
    }


def answer(session, event):
    phases = Phases()
    inputs = decode(event)
    phases.end("decode")
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    phases.end("infer")
    return encode(outputs, phases)


def main():
    session = load()
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", "/2018-06-01/runtime/invocation/next")
        reply = runtime.getresponse()
        request_id, event = reply.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(reply.read())
        body = json.dumps(answer(session, event))
        runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", body)
        runtime.getresponse().read()


if __name__ == "__main__":
    main()
