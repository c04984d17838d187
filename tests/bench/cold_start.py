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
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "tools"), str(ROOT / "tests" / "bench" / "cold")]
import runtime  # noqa: E402  (the paths above are where these lie)
from bridge import event  # noqa: E402

PICTURE = (ROOT / "models" / "digits" / "examples" / "3.png").read_bytes()


def measure(bootstrap, preload):
    """One cold start, whose answer is right."""
    settings = os.environ | ({"DUNLIN_PRELOAD": preload} if preload else {})
    made = event("POST", "/predict/digits", {"content-type": "image/png"}, PICTURE, "127.0.0.1")
    start = runtime.start([bootstrap], settings, made)
    said = json.loads(start.body())["predictions"][0]["label"]
    assert said == "3", f"the picture of a 3 was called {said}"
    return start


def main():
    bootstrap, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30
    print("| Preload | To first poll, ms | To first answer, ms | Peak resident, MiB |")
    print("| --- | ---: | ---: | ---: |")
    for preload in ["", "digits"]:
        measure(bootstrap, preload)  # the files come into the page cache
        starts = [measure(bootstrap, preload) for _ in range(runs)]
        polled, answered = (
            statistics.median(getattr(start, what) for start in starts) for what in ("polled", "answered")
        )
        peak = max(start.peak for start in starts)
        print(f"| {preload or 'nothing'} | {polled:.1f} | {answered:.1f} | {peak:.1f} |")


if __name__ == "__main__":
    main()
