#!/usr/bin/env python3
"""Runs every fetched model with `dunlin` and compares its outputs with onnxruntime's.

    .venv/bin/python tests/models/fetch.py
    .venv/bin/python tests/models/agree.py [MODEL...]

A model passes when each output is as near as its tolerance says (catalogue.py; agreement.py tells how that is
measured). What is known to fail is in known.txt with the reason; it must fail so, and one that has come to pass must be
taken out of the list.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from agreement import differences

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
# For one model on a busy machine, optimization included.
SECONDS = 300


def known():
    """Models that are known to fail, with words of the reason."""
    lines = (HERE / "known.txt").read_text().splitlines()
    pairs = [line.partition(": ") for line in lines if line and not line.startswith("#")]
    return {name: words for name, _, words in pairs}


def trouble(dunlin, folder, about):
    """Why a model doesn't agree, or no trouble and what it is off by: as ONNX, and as a plan if it has one."""
    with tempfile.TemporaryDirectory() as work:
        plan = pathlib.Path(work) / "model.plan"
        why, off = answer(dunlin, folder / "model.onnx", folder, about)
        if why is not None:
            return why, None
        example = ["--example", folder / "inputs.npz"]
        compiled = run([dunlin, "--json", "--quiet", "compile", folder / "model.onnx", "--output", plan, *example])
        if not plan.exists():
            return None, f"{off}; no plan: {compiled}"
        why, plan_off = answer(dunlin, plan, folder, about)
    return (f"as a plan, {why}", None) if why is not None else (None, f"{off}, as a plan to {plan_off}")


def answer(dunlin, model, folder, about):
    """Why the outputs of this file aren't onnxruntime's, or no trouble and by how much they are off."""
    with tempfile.TemporaryDirectory() as work:
        outputs = pathlib.Path(work) / "outputs.npz"
        command = [dunlin, "--json", "--quiet", "bench", model, "--inputs", folder / "inputs.npz"]
        why = run([*command, "--outputs", outputs, "--runs", "1", "--warm-up", "0"])
        if why is not None:
            return why, None
        with np.load(outputs) as ours, np.load(folder / "outputs.npz") as theirs:
            found = differences(dict(ours), dict(theirs))
    worst = max(found, key=found.get)
    if found[worst] <= about["tolerance"]:
        return None, f"{found[worst]:.1e}"
    return f'output "{worst}" is off by {found[worst]:.1e}, allowed are {about["tolerance"]:.0e}', None


def run(command):
    """Why a command failed, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"did not end within {SECONDS} s"
    return (message(done.stderr) or f"ended with {done.returncode}") if done.returncode else None


def message(text):
    """The message of an error as `dunlin --json` prints it, or all that was printed."""
    try:
        return json.loads(text.strip().splitlines()[-1])["error"]
    except (IndexError, ValueError, KeyError, TypeError):
        return text.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "target" / "models", metavar="FOLDER")
    parser.add_argument("--dunlin", default=ROOT / "target" / "release" / "dunlin", metavar="PROGRAM")
    given = parser.parse_args()
    names = given.names or [path.parent.name for path in sorted(given.models.glob("*/about.json"))]
    expected, passed, failed = known(), 0, []
    for name in names:
        started = time.monotonic()
        about = json.loads((given.models / name / "about.json").read_text())
        why, off = trouble(given.dunlin, given.models / name, about)
        words = expected.get(name)
        if why is None:
            verdict = f"agrees to {off}" + (", but known.txt lists it" if words else "")
        else:
            verdict = f"known to fail: {why}" if words and words in why else f"FAILED: {why}"
        good = (why is None) == (words is None) and (why is None or words in why)
        passed += good
        failed += [] if good else [name]
        print(f"{name:28} {about['precision']:5} {time.monotonic() - started:5.1f} s  {verdict}", flush=True)
    if failed:
        print(f"not as expected: {', '.join(failed)}", file=sys.stderr)
    print(f"{passed} passed, {len(failed)} failed")
    return bool(failed) or not passed


if __name__ == "__main__":
    sys.exit(main())
