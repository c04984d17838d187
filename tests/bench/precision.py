#!/usr/bin/env python3
"""The real models at each precision: size, latency and agreement, as `dunlin compile --precision auto` weighs them.

    .venv/bin/python tests/models/fetch.py
    .venv/bin/python tests/bench/precision.py [MODEL...] [--core N] [--write]

All on one core, onnxruntime on the source beside it. Each model is compared on the one real input that the fetch script
has of it, which also fixes the ranges of its int8 convolutions. --write puts the table into docs/performance.md.
"""

import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench" / "warm"))
import report  # noqa: E402  (the path above is where the next lies)
from engines import Failed, block, theirs  # noqa: E402

HEADS = [
    "Model",
    "source, MB",
    "f16",
    "int8",
    "source, ms",
    "f16",
    "int8",
    "onnxruntime, ms",
    "f16 agrees",
    "int8 agrees",
]
SECONDS, WARM_UP = 1, 3


def weigh(given, folder):
    """The rows of the table that `compile` chose from, by precision, and onnxruntime's median on the source."""
    command = [str(given.dunlin), "--json", "--quiet", "compile", str(folder / "model.onnx"), "--precision", "auto"]
    answer = block([*command, "--example", str(folder / "inputs.npz")], given.core)
    rows = {trial["precision"]: trial for trial in answer["precisions"]}
    return rows, theirs(folder, given.core, SECONDS, WARM_UP)["median_ms"]


def cells(rows, peer):
    """Sizes, latencies and agreements; what is chosen is bold, and what has no figure says why below the table."""
    trials = [rows[name] for name in ("source", "f16", "int8")]

    def figure(trial, text):
        return "–" if trial["fate"] == "failed" else f"**{text(trial)}**" if trial["fate"] == "chosen" else text(trial)

    sizes = [figure(trial, lambda trial: f"{trial['size'] / 1e6:.2f}") for trial in trials]
    times = [figure(trial, lambda trial: report.milliseconds(trial["measured"]["latency_ms"])) for trial in trials]
    agreements = [figure(trial, lambda trial: f"{trial['agreement']:.4f}") for trial in trials[1:]]
    return [*sizes, *times, report.milliseconds(peer), *agreements]


def main(given):
    table, against_source, against_peer, failures = [], [], [], []
    for about in sorted(given.models.glob("*/about.json")):
        name = about.parent.name
        wanted = name in given.model if given.model else json.loads(about.read_text())["precision"] == "fp32"
        if not wanted:
            continue
        print(name, file=sys.stderr)
        try:
            rows, peer = weigh(given, about.parent)
        except Failed as error:
            failures.append(f"- {name}: {error}".replace(f"{ROOT}/", ""))
            continue
        table.append([name, *cells(rows, peer)])
        chosen = next(trial for trial in rows.values() if trial["fate"] == "chosen")
        latency = chosen["measured"]["latency_ms"]
        against_source.append(latency / rows["source"]["measured"]["latency_ms"])
        against_peer.append(latency / peer)
        refused = (trial for trial in rows.values() if trial["fate"] in ("failed", "refused"))
        failures += [f"- {name} at {trial['precision']}: {trial['why']}" for trial in refused]
    means = [report.geometric_mean(ratios) for ratios in (against_source, against_peer)]
    text = "\n\n".join([
        f"{report.machine()}, one thread on core {given.core}. What `auto` chooses is bold.",
        report.table(HEADS, table),
        f"What is chosen takes {means[0]:.2f} of the source's time, and {means[1]:.2f} of onnxruntime's on the source "
        f"(geometric means of {len(table)} models).",
        *(["Not made, or refused:\n\n" + "\n".join(failures)] if failures else []),
        report.command("precision.py"),
    ])  # fmt: skip
    print(text)
    if given.write:
        report.write_section("precision", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="*", help="those of target/models alone")
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "target" / "models")
    parser.add_argument("--dunlin", type=pathlib.Path, default=ROOT / "target" / "release" / "dunlin")
    main(parser.parse_args())
