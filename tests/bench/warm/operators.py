"""Where the time of a run goes, by operator type: our nodes beside onnxruntime's."""

import collections
import json
import pathlib
import tempfile

from engines import ours, theirs
from report import table


def by_operator(nodes):
    """Microseconds and count of nodes by operator, the dearest first."""
    sums = collections.defaultdict(lambda: [0.0, 0])
    for operator, micros in nodes:
        sums[operator][0] += micros
        sums[operator][1] += 1
    return sorted(((name, *values) for name, values in sums.items()), key=lambda row: -row[1])


def our_nodes(dunlin, folder, core, seconds):
    measured = ours(dunlin, folder / "model.onnx", [folder / "inputs.npz"], core, seconds, 3, "--profile")
    return [(node["op"], node["micros"]) for node in measured["profile"]]


def their_nodes(folder, core, seconds):
    """Means over the runs that onnxruntime's profile holds."""
    with tempfile.TemporaryDirectory() as work:
        measured = theirs(folder, core, seconds, 3, "--profile", f"{work}/profile")
        events = json.loads(pathlib.Path(measured["profile"]).read_text())
    nodes, runs = collections.defaultdict(float), 0
    for event in events:
        runs += event["name"] == "model_run"
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"], event["args"]["op_name"]] += event["dur"]
    return [(operator, micros / runs) for (_, operator), micros in nodes.items()]


def compare(dunlin, folder, core, seconds):
    """A table: our operators on the left, onnxruntime's on the right, each side's dearest first."""
    left = by_operator(our_nodes(dunlin, folder, core, seconds))
    right = by_operator(their_nodes(folder, core, seconds))
    rows = []
    for at in range(max(len(left), len(right))):
        rows.append([*cells(left, at), *cells(right, at)])
    rows.append([*total(left), *total(right)])
    return table(["ours", "nodes", "µs", "share", "onnxruntime", "nodes", "µs", "share"], rows)


def cells(side, at):
    if at >= len(side):
        return [""] * 4
    name, micros, count = side[at]
    whole = sum(row[1] for row in side)
    return [name, str(count), f"{micros:.0f}", f"{100 * micros / whole:.1f} %"]


def total(side):
    return ["**all**", str(sum(row[2] for row in side)), f"{sum(row[1] for row in side):.0f}", ""]
