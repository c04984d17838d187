#!/usr/bin/env python3
"""Cold starts on object storage: from the start of the process to the answer to its first invocation.

    .venv/bin/python tests/models/fetch.py
    cargo build --release
    .venv/bin/python tests/bench/cold [MODEL...] [--rounds 10] [--core N] [--write]

Three functions, in turns, each through the Runtime API, pinned to one core, with the model in an S3 server (SeaweedFS)
on the loopback: Dunlin's `bootstrap`, which loads what `dunlin push` has published; Python with onnxruntime and boto3
(function.py); and the Rust function with onnxruntime through the crate `ort` (ort/), which fetches as Dunlin does. The
event is an inference with binary tensors; each answer is compared with onnxruntime's. --write puts the tables into
docs/performance.md.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("bench", "models", "tools")]
import report  # noqa: E402  (the paths above are where these lie)
import runtime  # noqa: E402
import wire  # noqa: E402
from agreement import differences  # noqa: E402
from bridge import event  # noqa: E402

MODELS = [
    "efficientnet-lite0",
    "squeezenet",
    "resnet50",
    "ppocr-det",
    "ppocr-rec",
    "minilm-l3",
    "magika",
    "silero-vad-sequence",
]
FUNCTIONS = ["Dunlin", "Python", "Rust + ort"]
LOADING = ["fetch", "verify", "load", "warm"]


def python_of_the_function():
    """A Python with what the function's zip would hold, made once."""
    folder, listed = ROOT / "target" / "bench-python", HERE / "requirements.txt"
    wanted = hashlib.sha256(listed.read_bytes()).hexdigest()
    if not (folder / "installed").exists() or (folder / "installed").read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*install, "--require-hashes", "--only-binary", ":all:", "-r", listed], check=True)
        (folder / "installed").write_text(wanted)
    return folder / "bin" / "python"


def function_with_ort():
    """The `ort` function, built when its sources have changed."""
    target = ROOT / "target" / "bench-ort"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", target]
    subprocess.run([*command, "--manifest-path", HERE / "ort" / "Cargo.toml"], check=True)
    return target / "release" / "bootstrap"


class Model:
    """A model in the store, published for us and as its ONNX file for the others."""

    def __init__(self, given, name):
        self.name, self.folder = name, given.models / name
        self.tolerance = json.loads((self.folder / "about.json").read_text())["tolerance"]
        self.inputs, self.wanted = (dict(np.load(self.folder / f"{part}.npz")) for part in ("inputs", "outputs"))
        onnx = (self.folder / "model.onnx").read_bytes()
        self.sha256, self.size = hashlib.sha256(onnx).hexdigest(), len(onnx)
        self.key = f"peers/{name}.onnx"
        self.object = f"{os.environ['DUNLIN_TEST_S3_ENDPOINT']}/{os.environ['DUNLIN_TEST_S3_BUCKET']}/{self.key}"
        subprocess.run([*self.curl(), "--upload-file", self.folder / "model.onnx", self.object], check=True)
        push = [given.dunlin, "--quiet", "push", self.folder / "model.onnx", "--name", name, "--store", given.store]
        push += ["--example", self.folder / "inputs.npz", "--alias", "production"]
        subprocess.run(push, check=True, stdout=subprocess.DEVNULL, env=environment())

    def curl(self):
        user = f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}"
        return ["curl", "--silent", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", user]

    def fetching(self, core):
        """Milliseconds for the ONNX file's bytes over the loopback, and their SHA-256: what no function can save."""
        pinned = ["taskset", "--cpu-list", str(core)]
        command = [*pinned, *self.curl(), "--output", "/dev/null", "--write-out", "%{time_total}", self.object]
        fetched = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        onnx = (self.folder / "model.onnx").read_bytes()
        started = time.perf_counter()
        hashlib.sha256(onnx).digest()
        return (float(fetched) + time.perf_counter() - started) * 1e3

    def event(self):
        headers, body = wire.request(self.inputs)
        return event("POST", f"/v2/models/{self.name}/infer", headers, body, "127.0.0.1")

    def check(self, function, start):
        """Ends the benchmark where an answer is not onnxruntime's."""
        if start.reply.get("statusCode") != 200:
            raise SystemExit(f"{function}, {self.name}: {start.body()[:500]} {start.log[-2000:]}")
        found = differences(wire.outputs(start.reply["headers"], start.body()), self.wanted)
        if not max(found.values()) <= self.tolerance:
            raise SystemExit(f"{function}, {self.name}: an answer that is not onnxruntime's: {found}")


def environment(**extra):
    """This process's, with the address of the S3 server for every client."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DUNLIN_")}
    return kept | {"AWS_ENDPOINT_URL_S3": os.environ["DUNLIN_TEST_S3_ENDPOINT"]} | extra


def functions(given, model):
    """Command and environment of each function for this model."""
    bucket, core = os.environ["DUNLIN_TEST_S3_BUCKET"], ["taskset", "--cpu-list", str(given.core)]
    common = {"BENCH_SHA256": model.sha256}
    library = next((ROOT / "target" / "bench-python").glob("lib/*/site-packages/onnxruntime/capi/libonnxruntime.so.*"))
    return {
        "Dunlin": ([*core, given.bootstrap], environment(DUNLIN_STORE=given.store, DUNLIN_PRELOAD=model.name)),
        "Python": (
            [*core, given.python, HERE / "function.py"],
            environment(**common, BENCH_BUCKET=bucket, BENCH_KEY=model.key),
        ),
        "Rust + ort": (
            [*core, given.ort],
            environment(**common, BENCH_STORE=f"s3://{bucket}", BENCH_OBJECT=model.key, ORT_DYLIB_PATH=str(library)),
        ),
    }


def phases(text):
    """Milliseconds by phase, out of the words of a Server-Timing header."""
    return {name: float(value) for name, value in re.findall(r"([a-z]+);dur=([0-9.]+)", text)}


def split(start):
    """Milliseconds of a start by phase; `start` and `invoke` are what no phase names."""
    logged = re.search(r'"phases":\s*"([^"]*)"', start.log)
    parts = {name: value for name, value in phases(logged[1] if logged else "").items() if name in LOADING}
    headers = {name.lower(): value for name, value in start.reply["headers"].items()}
    infer = phases(headers.get("server-timing", "")).get("infer", 0)
    invoke = start.answered - start.polled - infer
    return {"start": start.polled - sum(parts.values()), **parts, "invoke": invoke, "infer": infer}


def measure(given, model):
    """The starts of each function, one after the other in every round, and what fetching alone takes."""
    commands, request = functions(given, model), model.event()
    starts, fetching = {name: [] for name in commands}, []
    for number in range(given.rounds + 1):
        for function, (command, settings) in commands.items():
            start = runtime.start(command, settings, request)
            model.check(function, start)
            # The first round brings files into the page cache.
            if number:
                starts[function].append(start)
        fetching.append(model.fetching(given.core))
    return starts, statistics.median(fetching)


class Row:
    """One model's medians."""

    def __init__(self, model, starts, fetching):
        self.model, self.starts = model, starts
        # Bytes, their digest, and one run by the faster engine that is here.
        runs = [self.phase(function, "infer") for function in starts]
        self.floor = fetching + min(runs)

    def answered(self, function):
        return statistics.median(start.answered for start in self.starts[function])

    def ratio(self, function):
        """Ours over theirs: the median of the rounds' ratios."""
        pairs = zip(self.starts["Dunlin"], self.starts[function], strict=True)
        return statistics.median(ours.answered / theirs.answered for ours, theirs in pairs)

    def phase(self, function, phase):
        return statistics.median(split(start).get(phase, 0) for start in self.starts[function])

    def cells(self):
        times = [self.answered(function) for function in FUNCTIONS]
        ratios = [self.ratio(function) for function in FUNCTIONS[1:]] + [times[0] / self.floor]
        shown = [f"{self.model.name}, {self.model.size / 1e6:.1f} MB", *(report.milliseconds(time) for time in times)]
        return shown + [report.milliseconds(self.floor), *(f"**{ratio:.2f}**" for ratio in ratios)]

    def phase_cells(self):
        for function in FUNCTIONS:
            parts = [self.phase(function, phase) for phase in ["start", *LOADING, "invoke", "infer"]]
            processor = statistics.median(start.processor for start in self.starts[function])
            peak = max(start.peak for start in self.starts[function])
            figures = [report.milliseconds(part) if part else "" for part in parts]
            yield [f"{self.model.name}, {function}", *figures, report.milliseconds(processor), f"{peak:.0f}"]


HEADS = ["Model", *(f"{function}, ms" for function in FUNCTIONS), "floor, ms", "/ Python", "/ ort", "/ floor"]
PHASES = ["Model, function", "start", *LOADING, "invoke", "infer", "processor", "peak, MiB"]


def section(given, rows):
    means = [report.geometric_mean([row.ratio(function) for row in rows]) for function in FUNCTIONS[1:]]
    means.append(report.geometric_mean([row.answered("Dunlin") / row.floor for row in rows]))
    last = [f"**geometric mean of {len(rows)}**", "", "", "", "", *(f"**{mean:.2f}**" for mean in means)]
    return "\n\n".join(
        [
            f"{report.machine()}. Medians of {given.rounds} fresh processes each, in turns, on core {given.core}; "
            "files in the page cache; the model in SeaweedFS on the loopback. From the start of the process to the "
            "answer to its first invocation. The floor is the ONNX file's bytes over the loopback, their SHA-256, and "
            "one run by the faster of the engines here.",
            report.table(HEADS, [*(row.cells() for row in rows), last]),
            "The same by phase, in milliseconds: until the model is asked for (start), its load, then what the "
            "invocation takes beside the run (invoke) and the run (infer). Python's start is its imports; `warm` is "
            "the replay of golden examples, which only Dunlin does.",
            report.table(PHASES, [cells for row in rows for cells in row.phase_cells()]),
            report.command("cold"),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL", default=MODELS)
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "target" / "models", metavar="FOLDER")
    parser.add_argument("--dunlin", default=ROOT / "target" / "release" / "dunlin", metavar="PROGRAM")
    parser.add_argument("--bootstrap", default=ROOT / "target" / "release" / "bootstrap", metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    given = parser.parse_args()
    if "DUNLIN_TEST_S3_ENDPOINT" not in os.environ:
        server = ROOT / "tests" / "tools" / "with_seaweedfs.sh"
        os.execv(server, [str(server), sys.executable, str(HERE), *sys.argv[1:]])
    given.store = f"s3://{os.environ['DUNLIN_TEST_S3_BUCKET']}/dunlin"
    given.python, given.ort = python_of_the_function(), function_with_ort()
    rows = []
    for name in given.names:
        model = Model(given, name)
        rows.append(Row(model, *measure(given, model)))
        print(" | ".join(rows[-1].cells()), flush=True)
    text = section(given, rows)
    print(f"\n{text}")
    if given.write:
        report.write_section("cold", text)


if __name__ == "__main__":
    main()
