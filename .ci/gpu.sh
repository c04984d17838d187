#!/usr/bin/env bash
# The trainer's graphics devices, where there is no graphics card: wgpu on Debian's software adapter learns what the
# processor learns, and the build for CUDA type-checks (its build script would fetch a compiler from NVIDIA).
set -euo pipefail
apt-get -qq -y --no-install-recommends install mesa-vulkan-drivers >/dev/null
cd models/trainer
cargo test --release --features wgpu --test suite -- --nocapture devices::
DOCS_RS=1 cargo check --no-default-features --features cuda
