#!/usr/bin/env bash
# Others' clients against `dunlin serve` and against the bootstrap under AWS's emulator.
set -euo pipefail
cargo build --release
.venv/bin/pytest -q -p no:cacheprovider tests/clients --ignore tests/clients/test_arm64.py
