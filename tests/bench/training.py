#!/usr/bin/env python3
"""How many steps a second the recipe `cnn` does, beside the same network in PyTorch.

    apt-get install python3-torch dataset-fashion-mnist
    (cd models/trainer && cargo build --release)
    /usr/bin/python3 tests/bench/training.py [--threads 2] [--rounds 3] [--program FILE]

Both train on the same 12,800 pictures of Fashion-MNIST, 32 a step, by turns: Conv32-pool-Conv64-pool-Conv128-pool-
Dense512, SGD at 0.01. PyTorch's pictures lie in memory, ready; ours are decoded by its workers as they are needed.
"""

import argparse
import gzip
import os
import pathlib
import re
import statistics
import struct
import subprocess
import tempfile
import time

import torch
from torch import nn

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
PICTURES, SIDE, BATCH, EPOCHS = 12_800, 28, 32, 2


def idx(name):
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def some(folder):
    """The first pictures and their labels, as IDX files."""
    pictures, labels = idx("train-images-idx3-ubyte"), idx("train-labels-idx1-ubyte")
    head = struct.pack(">4I", 0x803, PICTURES, SIDE, SIDE)
    pictures = pictures[16 : 16 + PICTURES * SIDE * SIDE]
    (folder / "train-images-idx3-ubyte").write_bytes(head + pictures)
    labels = labels[8 : 8 + PICTURES]
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, PICTURES) + labels)
    return pictures, labels


def ours(given, folder, data):
    """Steps a second, as the last line of the log has it."""
    run = tempfile.mkdtemp(dir=folder)
    command = [given.program, "cnn", "--data", data, "--run", run, "--output", f"{run}/model", "--epochs", str(EPOCHS)]
    environment = os.environ | {"RAYON_NUM_THREADS": str(given.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(re.findall(r"([0-9.]+) steps/s", done.stderr)[-1])


def theirs(given, pictures, labels):
    torch.set_num_threads(given.threads)
    x = torch.frombuffer(bytearray(pictures), dtype=torch.uint8).reshape(PICTURES, 1, SIDE, SIDE)
    x, y = x / 255, torch.frombuffer(bytearray(labels), dtype=torch.uint8).long()
    layers, before = [], 1
    for filters in (32, 64, 128):
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = filters
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 3 * 3, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer, loss = torch.optim.SGD(network.parameters(), lr=0.01), nn.CrossEntropyLoss()
    steps, started = 0, time.perf_counter()
    for _ in range(EPOCHS):
        for places in torch.randperm(PICTURES).split(BATCH):
            optimizer.zero_grad()
            loss(network(x[places]), y[places]).backward()
            optimizer.step()
            steps += 1
    return steps / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="models/trainer/target/release/dunlin-train")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rates = []
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        data = folder / "data"
        data.mkdir()
        pictures, labels = some(data)
        for _ in range(given.rounds):
            rates.append((ours(given, folder, data), theirs(given, pictures, labels)))
            print("{:.1f} steps/s, PyTorch {:.1f}".format(*rates[-1]), flush=True)
    own, other = (statistics.median(rate) for rate in zip(*rates, strict=True))
    print(
        f"median {own:.1f} and {other:.1f}: {own / other:.2f} of PyTorch {torch.__version__}, {given.threads} threads"
    )


if __name__ == "__main__":
    main()
