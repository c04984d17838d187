#!/usr/bin/env python3
"""How long the Lambda bootstrap takes from process start to its first poll, and to its first answer.

    dunlin push models/digits --store file:/tmp/store
    DUNLIN_STORE=file:/tmp/store tests/bench/cold_start.py target/deploy/bootstrap [RUNS]

Plays the Runtime API for one invocation of `POST /predict/digits` a process, and prints a Markdown table of medians.
The bootstrap reads its configuration from the environment, so the store may as well be an S3 one.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from bridge import event  # noqa: E402

PICTURE = (ROOT / "models" / "digits" / "examples" / "3.png").read_bytes()


class Runtime(BaseHTTPRequestHandler):
    """The Runtime API: one event, then silence."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        run = self.server.run
        if "polled" in run:
            run["done"].wait()
            return
        run["polled"] = time.perf_counter()
        made = event("POST", "/predict/digits", {"content-type": "image/png"}, PICTURE, "127.0.0.1")
        body = json.dumps(made).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 30) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:1:function:predict")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        run = self.server.run
        run["answer"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        run["answered"] = time.perf_counter()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        run["done"].set()


def measure(bootstrap, preload):
    """One process: milliseconds to the first poll and to the first answer, and its peak memory in MiB."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # the bootstrap is killed while it polls
    server.run = run = {"done": threading.Event()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "predict",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "predict",
        "AWS_LAMBDA_LOG_STREAM_NAME": "1",
    }
    if preload:
        environment["DUNLIN_PRELOAD"] = preload
    started = time.perf_counter()
    process = subprocess.Popen([bootstrap], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not run["done"].wait(30):
            raise SystemExit(f"no answer within 30 s: {process.stderr.read1().decode()}")
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.kill()
        process.wait()
        server.shutdown()
    said = json.loads(run["answer"]["body"])["predictions"][0]["label"]
    assert said == "3", f"the picture of a 3 was called {said}"
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return (run["polled"] - started) * 1e3, (run["answered"] - started) * 1e3, peak


def main():
    bootstrap, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30
    print("| Preload | To first poll, ms | To first answer, ms | Peak resident, MiB |")
    print("| --- | ---: | ---: | ---: |")
    for preload in ["", "digits"]:
        measure(bootstrap, preload)  # the files come into the page cache
        polled, answered, peak = zip(*(measure(bootstrap, preload) for _ in range(runs)), strict=True)
        medians = [statistics.median(polled), statistics.median(answered), max(peak)]
        print(f"| {preload or 'nothing'} | {medians[0]:.1f} | {medians[1]:.1f} | {medians[2]:.1f} |")


if __name__ == "__main__":
    main()
