#!/usr/bin/env bash
# The Lambda bootstrap as it is shipped (fat LTO, stripped), and its size zipped.
set -euo pipefail
limit=$((8 * 1024 * 1024))
cargo build --profile deploy -p dunlin-predict
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
zip -q -9 -j "$work/bootstrap.zip" target/deploy/bootstrap
size=$(stat -c %s "$work/bootstrap.zip")
echo "bootstrap: $(stat -c %s target/deploy/bootstrap) bytes, $size zipped (limit $limit)"
((size <= limit)) || { echo "the deployment package is over its limit" >&2 && exit 1; }
