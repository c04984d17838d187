#!/usr/bin/env bash
# arm64.sh [DIR]: everything that builds for aarch64-unknown-linux-gnu and runs it on an x86-64 Debian, where
# `rustup target add` has nothing to download from. Leaves DIR/env.sh (default .arm64); source it, then
#   cargo build --target aarch64-unknown-linux-gnu      (in a target folder of its own: rustc is another one)
#   cargo test  --target aarch64-unknown-linux-gnu      (under qemu, as the CPU that ARM_CPU names)
#
# rustc and the arm64 standard library come from Debian's testing, which takes a version only once all architectures have
# it (backports don't wait), and qemu from its stable release, unpacked into DIR and never installed; the cross gcc is the
# host's own release, so its glibc is the one linked against. Some 60 seconds and 620 MB, kept in DIR and made anew after
# 30 days, when Debian may have moved on.
set -euo pipefail
dir=$(realpath -m "${1:-$(dirname "$0")/../../.arm64}")
stable=trixie
testing=forky
export DEBIAN_FRONTEND=noninteractive

compilers=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu)
if ! dpkg -s "${compilers[@]}" >/dev/null 2>&1; then
  apt-get update -q
  apt-get install -yq --no-install-recommends "${compilers[@]}"
fi

[[ -n "$(find "$dir/complete" -mtime -30 2>/dev/null)" ]] && exit 0
rm -rf "$dir"
mkdir -p "$dir"/apt/{lists/partial,archives/partial} "$dir/root"
: >"$dir/apt/status"

# A second apt, with lists, archives and state of its own, on the archive that this host itself uses.
archive=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
  sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p' | sed -n 1p)
for suite in "$stable" "$testing"; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main"
done >"$dir/apt/sources.list"
options=(-q
  -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::status="$dir/apt/status"
  -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt"
  -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Default-Release="$testing"
  -o Acquire::Languages=none -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
apt-get "${options[@]}" install -y --no-install-recommends --download-only libstd-rust-dev
(cd "$dir/apt/archives" && apt-get "${options[@]}" download rustc libstd-rust-dev:arm64 "qemu-user/$stable")
for package in "$dir"/apt/archives/*.deb; do
  case "$package" in
    */qemu-user_*) dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir/root" ./usr/bin/qemu-aarch64 ;;
    *) dpkg-deb -x "$package" "$dir/root" ;;
  esac
done
rm -rf "$dir"/apt "$dir"/root/usr/share/{doc,locale,man}

# This rustc needs a newer glibc than the host's: it runs through its own ld.so. The wrapper takes rustc's own
# place, since rustdoc starts SYSROOT/bin/rustc for doc tests.
usr=$dir/root/usr
for tool in rustc rustdoc; do
  mv "$usr/bin/$tool" "$usr/bin/$tool.elf"
  printf '#!/bin/sh\nexec %s/lib64/ld-linux-x86-64.so.2 --library-path %s/lib/x86_64-linux-gnu %s "$@"\n' \
    "$usr" "$usr" "$usr/bin/$tool.elf" >"$usr/bin/$tool"
  chmod +x "$usr/bin/$tool"
done
cat >"$dir/env.sh" <<E
export RUSTC=$usr/bin/rustc RUSTDOC=$usr/bin/rustdoc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export QEMU_AARCH64=$usr/bin/qemu-aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$usr/bin/qemu-aarch64 -cpu \${ARM_CPU:-neoverse-n1} -L /usr/aarch64-linux-gnu"
E
"$usr/bin/rustc" -vV
touch "$dir/complete"
