#!/usr/bin/env bash
# cargo-deb, in target/edge-tools. .ci/edge.sh, .ci/image.sh and .ci/arm64-deb.sh call it.
set -euo pipefail
tools=$PWD/target/edge-tools
# Once, and quickly: without xz of its own, and not optimized much.
if ! "$tools/bin/cargo-deb" --version 2>/dev/null | grep -qF 3.8.0; then
  CARGO_TARGET_DIR=$tools/target CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo install cargo-deb --version 3.8.0 --locked --debug \
    --no-default-features --root "$tools"
fi
