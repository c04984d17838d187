#!/usr/bin/env bash
# The request suite on `dunlin serve` and on the built bootstrap, under AWS's emulator and cargo-lambda's, behind
# every gateway; the captured events; replies too large for an event, and later ones; a canary on a function that is
# frozen between requests; and the functions admin, batch and publish, under faults too.
set -euo pipefail
cargo build --release
export DUNLIN_TEST_RIE=$PWD/.venv/bin/aws-lambda-rie DUNLIN_TEST_CARGO_LAMBDA=$PWD/.venv/bin/cargo-lambda
cargo test --release --workspace --test lambda --test batch --test stored --test watched --test publish --test faults -- --nocapture --test-threads 2 2>&1 | tee target/lambda.log
if grep '^skipped:' target/lambda.log; then
  echo "nothing may be skipped here" >&2
  exit 1
fi
