#!/usr/bin/env bash
# lock.sh: writes the lists with hashes anew from the files beside them; `uv` must be on PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
lock() { uv pip compile --quiet --no-header --generate-hashes --universal --python-version 3.11 --only-binary :all: "$@"; }
lock --override tests/clients/overrides.txt tests/clients/requirements.in --output-file tests/clients/requirements.txt
lock --no-deps tests/tools/requirements.in --output-file tests/tools/requirements.txt
lock --no-deps tests/models/packages.in --output-file tests/models/packages.txt
lock tests/bench/cold/requirements.in --output-file tests/bench/cold/requirements.txt
lock tests/conformance/requirements.in --output-file tests/conformance/requirements.txt
lock --override tests/infra/overrides.txt tests/infra/requirements.in --output-file tests/infra/requirements.txt
lock tests/infra/requirements-checkov.in --output-file tests/infra/requirements-checkov.txt
lock --no-deps tests/conformance/requirements-1.13.1.in --output-file tests/conformance/requirements-1.13.1.txt
lock tests/aws/requirements.in --output-file tests/aws/requirements.txt
