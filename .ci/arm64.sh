#!/usr/bin/env bash
# dunlin and every function for aarch64-unknown-linux-gnu: no symbol that Lambda's glibc lacks, the tests of the kernels, the
# unit tests of engine and transforms, both hosts under qemu, with answers compared to this machine's own binaries, and the
# Debian package.
# DUNLIN_ARM64_TOOLCHAIN names a folder that tests/tools/arm64.sh has filled already.
set -euo pipefail
target=aarch64-unknown-linux-gnu
glibc=2.34
toolchain=$(realpath -m "${DUNLIN_ARM64_TOOLCHAIN:-.arm64}")
tests/tools/arm64.sh "$toolchain"
tests/tools/cargo_deb.sh # by this machine's rustc

cargo build --release # what the answers are compared with
# From here on rustc is another one: its build tree is another one too.
# shellcheck source=/dev/null
source "$toolchain/env.sh"
export CARGO_TARGET_DIR=$PWD/target/arm64
# One selection and one call for all of it: other crates would be other features, and another build.
mapfile -t functions < <(sed -n 's/^name = "\(dunlin.*\)"$/\1/p' functions/*/Cargo.toml | sort -u)
mapfile -t programs < <(sed -n '/^\[\[bin\]\]/,/^path/s/^name = "\(.*\)"$/\1/p' functions/*/Cargo.toml)
crates=(--profile arm64 --target "$target")
for package in "${functions[@]}" dunlin-kernels dunlin-engine dunlin-transforms; do
  crates+=(-p "$package")
done
cargo build "${crates[@]}" --bins --tests

bin=$CARGO_TARGET_DIR/$target/arm64
for program in "${programs[@]}"; do
  newest=$(aarch64-linux-gnu-objdump -T "$bin/$program" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
  echo "$program: newest glibc symbol is $newest"
  [[ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" == "GLIBC_$glibc" ]] ||
    { echo "$program needs a glibc newer than $glibc" >&2 && exit 1; }
done

for cpu in cortex-a72 neoverse-n1; do
  echo "--- unit tests as $cpu"
  # `models` are the engine's cases: each operator that we rewrite or compute ourselves, beside onnxruntime's answer.
  ARM_CPU=$cpu cargo test "${crates[@]}" --lib --test models --test attention
done
# Bytes are multiplied by smull, by sdot, by usdot. `convolution` takes minutes here, and has nothing that they differ in.
for cpu in cortex-a72 neoverse-n1 neoverse-v1; do
  echo "--- kernels as $cpu"
  ARM_CPU=$cpu cargo test "${crates[@]}" --test products --test parts
done
DUNLIN_ARM64_BIN=$bin .venv/bin/pytest -q -p no:cacheprovider tests/clients/test_arm64.py

# The package for Arm boards: of the same binary, stripped; unpacked, its program publishes and predicts.
package=$CARGO_TARGET_DIR/dunlin_arm64.deb
target/edge-tools/bin/cargo-deb --no-build --strip --profile arm64 --target "$target" --manifest-path functions/edge/Cargo.toml \
  --output "$package"
[[ "$(dpkg-deb --field "$package" Architecture)" == arm64 ]]
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dpkg-deb -x "$package" "$work"
packed=("$QEMU_AARCH64" -cpu cortex-a72 -L /usr/aarch64-linux-gnu "$work/usr/bin/dunlin")
"${packed[@]}" push models/digits --quiet --store "file:$work/store"
"${packed[@]}" run digits models/digits/examples/7.png --json --store "file:$work/store" |
  python3 -c 'import json, sys; assert json.load(sys.stdin)["predictions"][0]["label"] == "7"'
echo "package: $(stat -c %s "$package") bytes, $(dpkg-deb --field "$package" Depends)"
