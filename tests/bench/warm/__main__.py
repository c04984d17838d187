#!/usr/bin/env python3
"""Ours against onnxruntime on the real models, warm: one thread each, in turns, on one core.

    .venv/bin/python tests/models/fetch.py
    .venv/bin/python tests/bench/warm [MODEL...] [--rounds 5] [--seconds 1] [--core N] [--write]
    .venv/bin/python tests/bench/warm --profile MODEL

In each round both engines load each model in a fresh process, warm up, and run for --seconds. A ratio is the median of
the rounds' ratios, so that a machine that is busy in one round spoils that one only; processor time beside wall time
tells how busy it was. A model whose answer isn't onnxruntime's is not measured. --write puts the tables into
docs/performance.md.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "models")]
import operators  # noqa: E402  (the paths above are where these lie)
import report  # noqa: E402
from agreement import differences  # noqa: E402
from engines import Failed, ours, plan, theirs  # noqa: E402

HEADS = ["Model", "ours, ms", "onnxruntime, ms", "ratio", "processor, ms", "", "ratio", "load, ms", "", "ratio"]
WARM_UP = 3


def abouts(models):
    """What fetch.py tells of each model that is there."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(models.glob("*/about.json"))}


def rounds(given, model, folder):
    """Pairs of measurements, ours and theirs; which one goes first changes from round to round."""
    inputs = [folder / "inputs.npz"]
    for number in range(given.rounds):
        turns = [("ours", lambda: ours(given.dunlin, model, inputs, given.core, given.seconds, WARM_UP))]
        turns.append(("theirs", lambda: theirs(folder, given.core, given.seconds, WARM_UP)))
        measured = {side: measure() for side, measure in (turns if number % 2 == 0 else turns[::-1])}
        yield measured["ours"], measured["theirs"]


def answer_is_right(given, model, folder):
    """Raises `Failed` where our answer isn't onnxruntime's."""
    about = abouts(given.models)[folder.name]
    with tempfile.TemporaryDirectory() as work:
        answer = f"{work}/outputs.npz"
        ours(given.dunlin, model, [folder / "inputs.npz"], given.core, 0, 0, "--outputs", answer)
        found = differences(dict(np.load(answer)), dict(np.load(folder / "outputs.npz")))
    worst = max(found, key=found.get)
    if not found[worst] <= about["tolerance"]:
        raise Failed(f'output "{worst}" is off by {found[worst]:.1e} where {about["tolerance"]:.0e} is allowed')


class Row:
    """One model's medians over the rounds."""

    # What is shown, and whether with its spread.
    COLUMNS = [("median_ms", True), ("cpu_ms", False), ("load_ms", False)]

    def __init__(self, name, pairs):
        self.name, self.pairs = name, pairs

    def median(self, side, what):
        return statistics.median(pair[side][what] for pair in self.pairs)

    def ratio(self, what):
        return statistics.median(ours[what] / theirs[what] for ours, theirs in self.pairs)

    def spread(self, side, what):
        values = [pair[side][what] for pair in self.pairs]
        least, greatest = report.milliseconds(min(values)), report.milliseconds(max(values))
        return f"{self.plain(side, what)} ({least}–{greatest})"

    def cells(self):
        cells = [self.name]
        for what, spread in self.COLUMNS:
            show = self.spread if spread else self.plain
            cells += [show(0, what), show(1, what), f"**{self.ratio(what):.2f}**"]
        return cells

    def plain(self, side, what):
        return report.milliseconds(self.median(side, what))


def section(given, rows, missing):
    """The tables and what is said about them."""
    means = [f"**{report.geometric_mean([row.ratio(what) for row in rows]):.2f}**" for what, _ in Row.COLUMNS]
    last = [f"**geometric mean of {len(rows)}**", *(cell for mean in means for cell in ["", "", mean])]
    text = [
        f"{report.machine()}. {given.rounds} rounds of {given.seconds:g} s a model and engine, one thread, on core "
        f"{given.core}. Wall time: the median run, and in brackets the rounds' least and greatest median. Pairs of "
        "columns are ours and onnxruntime's; load is from bytes in memory to a model that is ready: of a plan, or of "
        "ONNX where that is said, beside onnxruntime's session creation. A ratio is the "
        "median of the rounds' ratios: over 1, we are slower.",
        report.table(HEADS, [*(row.cells() for row in rows), last]),
    ]
    if missing:
        text.append("Not measured, because not run or not right:")
        text.append("\n".join(f"- {name}: {why}" for name, why in missing))
    text.append(report.command("warm"))
    return "\n\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="folders of --models; else all but the largest")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "target" / "models", metavar="FOLDER")
    parser.add_argument(
        "--dunlin", type=pathlib.Path, default=ROOT / "target" / "release" / "dunlin", metavar="PROGRAM"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--profile", action="store_true", help="one run's time by operator instead, for each model")
    given = parser.parse_args()
    names = given.names or [name for name, about in abouts(given.models).items() if not about.get("named")]
    rows, missing = [], []
    for name in names:
        folder = given.models / name
        try:
            if given.profile:
                print(f"\n{name}\n\n{operators.compare(given.dunlin, folder, given.core, given.seconds)}")
                continue
            with tempfile.TemporaryDirectory() as work:
                model = plan(given.dunlin, folder, pathlib.Path(work) / "model.plan")
                answer_is_right(given, model, folder)
                shown = name if model.suffix == ".plan" else f"{name} (ONNX)"
                rows.append(Row(shown, list(rounds(given, model, folder))))
            print(" | ".join(rows[-1].cells()), flush=True)
        except Failed as why:
            missing.append((name, str(why)))
            print(f"{name}: {why}", flush=True)
    if rows:
        text = section(given, rows, missing)
        print(f"\n{text}")
        if given.write:
            report.write_section("warm", text)


if __name__ == "__main__":
    main()
