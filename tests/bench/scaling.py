#!/usr/bin/env python3
"""The real models on two threads, and four inputs at once: what each wins over one run on one thread.

    .venv/bin/python tests/models/fetch.py
    .venv/bin/python tests/bench/scaling.py [MODEL...] [--rounds 3] [--seconds 0.5] [--threads 2] [--write]

Threads share the large nodes of a run (`--threads`), onnxruntime's beside ours. A batch is four inputs that differ, in
one run, beside four runs of one of them each; a model whose first dimension isn't free has no batch. All in turns, a
fresh process each. --write puts the table into docs/performance.md.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench" / "warm"))
import report  # noqa: E402  (the path above is where the next lies)
from engines import Failed, ours, theirs  # noqa: E402

HEADS = [
    "Model",
    "one run, ms",
    "on {} threads",
    "faster",
    "onnxruntime",
    "on {} threads",
    "faster",
    "one of 4, ms",
    "batch of 4",
    "/ 4 runs",
]
WARM_UP, BATCH = 3, 4


def batch(folder, work):
    """Inputs of which none is like another, as files of one and all in one: the arguments of a bench for each."""
    inputs = dict(np.load(folder / "inputs.npz"))
    if any(array.ndim == 0 or array.shape[0] != 1 for array in inputs.values()):
        raise Failed("its first dimension is no batch")
    items = [{name: np.roll(array, 3 * turn, axis=-1) for name, array in inputs.items()} for turn in range(BATCH)]
    together = {name: np.concatenate([item[name] for item in items]) for name in inputs}
    files = [work / f"{turn}.npz" for turn in range(BATCH)]
    for file, item in zip([*files, work / "all.npz"], [*items, together], strict=True):
        np.savez(file, **item)
    return files, [work / "all.npz"]


def measure(given, folder, work):
    """The medians of each way to run, over the rounds."""
    cores = f"0-{given.threads - 1}"
    threads = str(given.threads)
    model, inputs = folder / "model.onnx", [folder / "inputs.npz"]

    def dunlin(inputs, cores, *more):
        return ours(given.dunlin, model, inputs, cores, given.seconds, WARM_UP, *more)

    ways = {
        "one": lambda: dunlin(inputs, given.core),
        "shared": lambda: dunlin(inputs, cores, "--threads", threads),
        "peer": lambda: theirs(folder, given.core, given.seconds, WARM_UP),
        "peer shared": lambda: theirs(folder, cores, given.seconds, WARM_UP, "--threads", threads),
    }
    try:
        items, together = batch(folder, work)
        dunlin(together, given.core)
        ways["item"] = lambda: dunlin(items, given.core)
        ways["batch"] = lambda: dunlin(together, given.core)
    except Failed as why:
        print(f"{folder.name}: no batch: {why}", flush=True)
    rounds = [{way: run()["median_ms"] for way, run in ways.items()} for _ in range(given.rounds)]
    return {way: [one[way] for one in rounds] for way in ways}


class Row:
    """One model's medians, and the medians of its rounds' ratios."""

    def __init__(self, name, times):
        self.name, self.times = name, times

    def ratio(self, way, of, scale=1.0):
        if way not in self.times:
            return None
        pairs = zip(self.times[way], self.times[of], strict=True)
        return statistics.median(one / (other * scale) for one, other in pairs)

    def ratios(self):
        return [self.ratio("one", "shared"), self.ratio("peer", "peer shared"), self.ratio("batch", "item", BATCH)]

    def cells(self):
        time = {way: report.milliseconds(statistics.median(all_)) for way, all_ in self.times.items()}
        shown = [bold(ratio) for ratio in self.ratios()]
        return [
            *(self.name, time["one"], time["shared"], shown[0]),
            *(time["peer"], time["peer shared"], shown[1]),
            *(time.get("item", "–"), time.get("batch", "–"), shown[2]),
        ]


def bold(ratio):
    return f"**{ratio:.2f}**" if ratio else "–"


def main(given):
    rows, missing = [], []
    for about in sorted(given.models.glob("*/about.json")):
        folder = about.parent
        if given.names and folder.name not in given.names:
            continue
        try:
            with tempfile.TemporaryDirectory() as work:
                rows.append(Row(folder.name, measure(given, folder, pathlib.Path(work))))
            print(" | ".join(rows[-1].cells()), flush=True)
        except Failed as why:
            missing.append(f"- {folder.name}: {why}")
    means = []
    for column in zip(*(row.ratios() for row in rows), strict=True):
        known = [ratio for ratio in column if ratio]
        means.append(f"**{report.geometric_mean(known):.2f}**" if known else "–")
    last = [f"**geometric mean of {len(rows)}**", "", "", means[0], "", "", means[1], "", "", means[2]]
    heads = [head.format(given.threads) for head in HEADS]
    text = "\n\n".join(
        [
            f"{report.machine()}. Medians of {given.rounds} rounds of {given.seconds:g} s, of ONNX files; a ratio is "
            "the median of the rounds' ratios. Single runs and batches on one thread, on core "
            f"{given.core}. For threads more than 1 is better, for a batch less than 1.",
            report.table(heads, [*(row.cells() for row in rows), last]),
            *(["Not measured:", "\n".join(missing)] if missing else []),
            report.command("scaling.py"),
        ]
    )
    print(f"\n{text}")
    if given.write:
        report.write_section("scaling", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="folders of --models; else all")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "target" / "models", metavar="FOLDER")
    parser.add_argument(
        "--dunlin", type=pathlib.Path, default=ROOT / "target" / "release" / "dunlin", metavar="PROGRAM"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    main(parser.parse_args())
