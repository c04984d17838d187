#!/usr/bin/env bash
# dunlin and bootstrap for aarch64-unknown-linux-gnu: no symbol that Lambda's glibc lacks, the unit tests of engine and
# transforms, and both hosts under qemu, with answers compared to this machine's own binaries.
# DUNLIN_ARM64_TOOLCHAIN names a folder that tests/tools/arm64.sh has filled already.
set -euo pipefail
target=aarch64-unknown-linux-gnu
glibc=2.34
toolchain=$(realpath -m "${DUNLIN_ARM64_TOOLCHAIN:-.arm64}")
tests/tools/arm64.sh "$toolchain"

cargo build --release # what the answers are compared with
# From here on rustc is another one: its build tree is another one too.
# shellcheck source=/dev/null
source "$toolchain/env.sh"
export CARGO_TARGET_DIR=$PWD/target/arm64
# One selection for all of it: other crates would be other features, and another build.
crates=(--release --target "$target" -p dunlin -p dunlin-predict -p dunlin-engine -p dunlin-transforms)
cargo build "${crates[@]}" --bins --tests

bin=$CARGO_TARGET_DIR/$target/release
for program in dunlin bootstrap; do
  newest=$(aarch64-linux-gnu-objdump -T "$bin/$program" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
  echo "$program: newest glibc symbol is $newest"
  [[ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" == "GLIBC_$glibc" ]] ||
    { echo "$program needs a glibc newer than $glibc" >&2 && exit 1; }
done

for cpu in cortex-a72 neoverse-n1; do
  echo "--- unit tests as $cpu"
  ARM_CPU=$cpu cargo test "${crates[@]}" --lib
done
DUNLIN_ARM64_BIN=$bin .venv/bin/pytest -q -p no:cacheprovider tests/clients/test_arm64.py
