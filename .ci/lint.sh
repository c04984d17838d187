#!/usr/bin/env bash
# Formatting, clippy, documentation, and the scripts' own linters, all without a warning.
set -euo pipefail
cargo fmt --check
shellcheck .ci/run .ci/*.sh tests/tools/*.sh
.venv/bin/ruff check tests
.venv/bin/ruff format --check tests
cargo clippy --release --workspace --all-targets -- -D warnings
RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace --release
