#!/usr/bin/env bash
# ONNX's backend node suite, of the newest release and of one that ships its cases, against the engine.
set -euo pipefail
cases=$PWD/target/conformance
mkdir -p "$cases"
if ! [[ -x $cases/venv/bin/python ]]; then
  python3 -m venv "$cases/venv"
fi
"$cases/venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r tests/conformance/requirements.txt
# The old release for its files alone: its code does not run beside the new one.
if ! [[ -d $cases/onnx-1.13.1 ]]; then
  "$cases/venv/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps \
    --target "$cases/onnx-1.13.1" -r tests/conformance/requirements-1.13.1.txt
fi
rm -rf "$cases/1.23.2" "$cases/1.13.1"
"$cases/venv/bin/python" tests/conformance/make.py "$cases/1.23.2"
"$cases/venv/bin/python" tests/conformance/make.py "$cases/1.13.1" "$cases/onnx-1.13.1/onnx/backend/test/data/node"
for version in 1.23.2 1.13.1; do
  # `--workspace`: the dependencies' features are those of all other steps, so nothing is built twice.
  cargo test --release --workspace --test conformance -- "$cases/$version" "$PWD/tests/conformance/exceptions-$version.txt"
done
