#!/usr/bin/env bash
# The kernels' tests under AddressSanitizer: every kernel, for every instruction set of this machine.
# Kernels are where bounds are ours to keep; no other room has more than a few lines that are unsafe.
set -euo pipefail
# The sanitizers are flags of nightly compilers; the stable one has them, locked.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address
# A target that is named keeps build scripts and macros from the flags.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo test --release -p dunlin-kernels --lib --tests --target "$host" --target-dir target/asan
