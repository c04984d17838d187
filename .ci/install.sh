#!/usr/bin/env bash
# Debian packages, and .venv with others' clients, emulators and SeaweedFS (tests/tools/install.sh).
set -euo pipefail

# hey: load; curl: README's line; zip: the deployment package; binutils: symbols of the arm64 binaries; systemd: the
# unit's checks; adduser: what the Debian package depends on; graphviz: the drawing.
packages=(adduser binutils-aarch64-linux-gnu build-essential ca-certificates curl graphviz hey python3-venv shellcheck systemd
  util-linux zip)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -q
  apt-get install -yq --no-install-recommends "${packages[@]}"
fi
for tool in rustfmt clippy-driver; do
  "$tool" --version
done
tests/tools/install.sh
.venv/bin/python -m pip list --disable-pip-version-check 2>/dev/null | grep -E '^(tritonclient|kserve|onnxruntime|seaweedfs|aws-sam|cargo-lambda)'
