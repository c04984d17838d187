#!/usr/bin/env bash
# `sam build` of infra/template.yaml for this machine's processors, by cargo-lambda; what it makes of each function,
# zipped; and each of them under AWS's emulator with the settings that the template gives it. Soonest built;
# `.ci/run deploy` builds what is shipped.
set -euo pipefail
tests/tools/infra.sh
bin=$PWD/target/infra/requirements/bin
export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0
cargo build --release
mapfile -t settings < <(target/release/dunlin deploy --dry-run --json |
  python3 -c 'import json, sys; [print(f"{k}={v}") for k, v in json.load(sys.stdin)["commands"][0]["environment"].items()]')
if [[ -z ${DUNLIN_SHIPPED:-} ]]; then
  settings+=(CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false)
fi
env "${settings[@]}" PATH="$bin:$PATH" "$bin/sam" build --beta-features --template infra/template.yaml --build-dir target/sam \
  --parameter-overrides Architecture="$(uname -m | sed s/aarch64/arm64/)" AdminAccess=IAM
DUNLIN_SAM=$PWD/target/sam "$bin/pytest" -q -s -p no:cacheprovider tests/infra/test_built.py
