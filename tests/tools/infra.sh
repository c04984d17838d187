#!/usr/bin/env bash
# What checks infra/, in target/infra: two lists that can't share an environment. .ci/infra.sh and .ci/sam.sh call it.
set -euo pipefail
mkdir -p target/infra
for list in requirements requirements-checkov; do
  venv=target/infra/$list
  have=$(sha256sum <"tests/infra/$list.txt")
  if [[ "$(cat "$venv/installed" 2>/dev/null)" != "$have" ]]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes -r "tests/infra/$list.txt"
    echo "$have" >"$venv/installed"
  fi
done
