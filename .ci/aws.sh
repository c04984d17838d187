#!/usr/bin/env bash
# Events as moto's S3, SQS and EventBridge make them, fed to the built function `batch`; and our signatures under
# OpenSSF's own `model_signing`.
set -euo pipefail
cargo build --release
venv=target/aws-venv
have=$(sha256sum <tests/aws/requirements.txt)
if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$have" ]]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    -r tests/aws/requirements.txt
  echo "$have" >"$venv/installed"
fi
DUNLIN_RIE=$PWD/.venv/bin/aws-lambda-rie "$venv/bin/pytest" -q -p no:cacheprovider tests/aws
