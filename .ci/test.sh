#!/usr/bin/env bash
# README's second command: every test of the workspace, in the build tree of the first.
set -euo pipefail
cargo test --release --workspace
