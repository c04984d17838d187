#!/usr/bin/env bash
# The trainer, in a build tree of its own: its tests (they train, kill, resume and publish), its exports beside
# onnxruntime, and a model that goes from pictures to an answer of the server.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/cases"

cd models/trainer
cargo fmt --check
cargo clippy --release --all-targets -- -D warnings
DUNLIN_EXPORT_CASES=$work/cases cargo test --release
cd ../..
.venv/bin/python models/trainer/tests/check_exports.py "$work/cases"

# `dunlin train` finds the trainer in PATH; what it publishes answers. Ten digits, 300 times over, a little changed.
cargo build --release
for digit in {0..9}; do
  mkdir -p "$work/data/$digit"
done
.venv/bin/python - "$work/data" <<'PYTHON'
import random
import sys

from PIL import Image

random.seed(0)
for digit in range(10):
    picture = Image.open(f"models/digits/examples/{digit}.png").convert("L")
    for number in range(300):
        turned = picture.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR)
        turned = turned.transform((28, 28), Image.Transform.AFFINE, (1, 0, random.uniform(-3, 3), 0, 1, random.uniform(-3, 3)))
        turned.save(f"{sys.argv[1]}/{digit}/{number}.png")
PYTHON
export DUNLIN_STORE=file:$work/store PATH=$PWD/models/trainer/target/release:$PATH
dunlin=$PWD/target/release/dunlin
(cd "$work" && "$dunlin" train resnet --data data --epochs 2 --publish ten --require 'accuracy>=0.9')
for digit in 3 7; do
  "$dunlin" run ten "models/digits/examples/$digit.png" --json | tee /dev/stderr | grep -q "\"label\": *\"$digit\"" ||
    { echo "not a $digit" >&2 && exit 1; }
done

# So do the models of texts and series that it has trained.
"$dunlin" push models/spam
"$dunlin" run spam models/spam/examples/spam.txt --json | tee /dev/stderr | grep -q '"label": *"spam"'
"$dunlin" push models/weather
"$dunlin" run weather models/weather/examples/window-1.csv --json | tee /dev/stderr | grep -q '"unit": *"°F"'
