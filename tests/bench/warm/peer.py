"""One block of runs of onnxruntime: what `dunlin bench --json` does, with the same words.

peer.py MODEL.onnx INPUTS.npz SECONDS WARM_UP [--threads N] [--profile FILE]
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np
import onnxruntime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("inputs", type=pathlib.Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("warm_up", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", metavar="PREFIX", help="also have onnxruntime write a profile")
    given = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = given.threads, 1
    options.log_severity_level = 3
    if given.profile:
        options.enable_profiling = True
        options.profile_file_prefix = given.profile
    onnx, inputs = given.model.read_bytes(), dict(np.load(given.inputs))
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - started
    started = time.perf_counter()
    session.run(None, inputs)
    first = time.perf_counter() - started
    for _ in range(given.warm_up):
        session.run(None, inputs)
    times, started, cpu = [], time.perf_counter(), time.process_time()
    while not times or time.perf_counter() - started < given.seconds:
        run = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - run)
    cpu = time.process_time() - cpu
    measured = {
        "runs": len(times),
        "load_ms": load * 1e3,
        "first_ms": first * 1e3,
        "min_ms": min(times) * 1e3,
        "median_ms": statistics.median(times) * 1e3,
        "cpu_ms": cpu * 1e3 / len(times),
    }
    if given.profile:
        measured["profile"] = session.end_profiling()
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
