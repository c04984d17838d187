#!/usr/bin/env bash
# Both decoders of the engine, ONNX and plans, under libFuzzer and AddressSanitizer: so many seconds each (30), from
# the test cases as seeds. What it finds lies in shared/engine/fuzz/artifacts.
set -euo pipefail
seconds=${1:-30}
version=0.13.2
[[ "$(cargo fuzz --version 2>/dev/null)" == "cargo-fuzz $version" ]] ||
  cargo install --quiet --locked --version "$version" cargo-fuzz
cargo build --release

fuzz=shared/engine/fuzz
mkdir -p "$fuzz"/{corpus,seeds}/{onnx,plan}
for model in shared/engine/tests/data/*.onnx shared/engine/tests/data/unfit/*.onnx; do
  name=$(basename "$model" .onnx)
  cp "$model" "$fuzz/seeds/onnx/$name"
  # Some cases have no plan: they are refused, and say why.
  target/release/dunlin compile --quiet "$model" -o "$fuzz/seeds/plan/$name" >/dev/null 2>&1 || true
done
[[ -n "$(ls "$fuzz/seeds/plan")" ]] || { echo "no case was compiled" >&2 && exit 1; }

# The sanitizers are flags of nightly compilers; the stable one has them, locked.
export RUSTC_BOOTSTRAP=1
cd shared/engine
for target in onnx plan; do
  cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1
done
