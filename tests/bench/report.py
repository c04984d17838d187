"""What the benchmarks print: the machine they ran on, tables, and their section of docs/performance.md."""

import datetime
import math
import os
import pathlib
import re
import shlex
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"


def processor():
    """The processor's name and the widest vector set it has."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)[1].split()) if "flags" in text else set()
    widest = next((name for name in ("avx512f", "avx2", "avx", "asimd") if name in flags), "")
    return f"{found[1] if found else os.uname().machine} ({widest.upper()})"


def machine():
    """Date, processor, cores and load, in words."""
    load = os.getloadavg()
    cores = len(os.sched_getaffinity(0))
    nice = f", niceness {os.nice(0)}" if os.nice(0) else ""
    busy = f"load {load[0]:.1f} over the last minute, {load[2]:.1f} over fifteen{nice}"
    return f"{datetime.date.today()}, {processor()}, {cores} cores, {busy}"


def table(heads, rows):
    """A Markdown table; columns after the first are figures."""
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def command(benchmark):
    """The lines that give the same measurement again."""
    lines = [".venv/bin/python tests/models/fetch.py", "cargo build --release"]
    lines.append(shlex.join([".venv/bin/python", f"tests/bench/{benchmark}", *sys.argv[1:]]))
    return "\n".join(["```", *lines, "```"])


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else math.nan


def milliseconds(value):
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write_section(name, text):
    """Puts text between `<!-- name -->` and `<!-- /name -->` of the page; they are there already."""
    page = PAGE.read_text()
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->\n")
    if not (start and end):
        raise SystemExit(f"{PAGE} has no <!-- {name} --> … <!-- /{name} -->")
    PAGE.write_text(f"{before}{start}\n{text.strip()}\n\n{end}{after}")
