"""Blocks of runs of one model in a process of its own, pinned to one core or several: ours and onnxruntime's."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


class Failed(Exception):
    """An engine that doesn't run the model; the message says why."""


def block(command, core):
    done = subprocess.run(["taskset", "--cpu-list", str(core), *command], capture_output=True, text=True)
    answer = (done.stdout.strip() or done.stderr.strip()).splitlines()
    if done.returncode:
        raise Failed(reason(done.stderr) or f"ended with {done.returncode}")
    return json.loads("\n".join(answer))


def reason(text):
    """The message of an error that `dunlin --json` prints, or the last line of what was printed."""
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1])["error"]
    except (IndexError, ValueError, KeyError, TypeError):
        return lines[-1] if lines else ""


def plan(dunlin, folder, target):
    """Has `dunlin` compile the model for its input; gives the plan's file, or where there is none the ONNX file."""
    command = [str(dunlin), "--json", "--quiet", "compile", str(folder / "model.onnx"), "--output", str(target)]
    command += ["--example", str(folder / "inputs.npz")]
    made = subprocess.run(command, capture_output=True, text=True)
    return target if made.returncode == 0 else folder / "model.onnx"


def ours(dunlin, model, inputs, core, seconds, warm_up, *more):
    """What `dunlin bench` measures on this file, a plan or ONNX; runs take turns with the files of inputs."""
    command = [str(dunlin), "--json", "--quiet", "bench", str(model)]
    for file in inputs:
        command += ["--inputs", str(file)]
    return block([*command, "--seconds", str(seconds), "--warm-up", str(warm_up), *more], core)


def theirs(folder, core, seconds, warm_up, *more):
    """The same of onnxruntime."""
    command = [sys.executable, str(HERE / "peer.py"), str(folder / "model.onnx"), str(folder / "inputs.npz")]
    return block([*command, str(seconds), str(warm_up), *more], core)
