#!/usr/bin/env bash
# An S3 server that is not ours: the storage conformance suite, then a publish and pictures through both hosts.
set -euo pipefail
cargo build --release
# shellcheck disable=SC2016
tests/tools/with_seaweedfs.sh bash -euc '
  cargo test --release --workspace --test storage
  .venv/bin/pytest -q -p no:cacheprovider tests/clients/test_predict.py'
