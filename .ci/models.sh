#!/usr/bin/env bash
# Real models, fetched by name and hash: each gives onnxruntime's answer, or is known to fail, for the known reason.
set -euo pipefail
cargo build --release
timeout 900 .venv/bin/python tests/models/fetch.py
.venv/bin/pytest -q -p no:cacheprovider tests/models
timeout 900 .venv/bin/python tests/models/agree.py
