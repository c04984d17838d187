#!/usr/bin/env bash
# infra/: AWS's own validators, security checks, and tests of what the templates expand to and what is created of them.
set -euo pipefail
cargo build --release
tests/tools/infra.sh
bin=target/infra/requirements/bin
# Nothing here reaches an account.
export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0

"$bin/sam" validate --lint --template infra/template.yaml
"$bin/cfn-lint" infra/*.yaml
target/infra/requirements-checkov/bin/checkov --config-file tests/infra/checkov.yaml
"$bin/pytest" -q -p no:cacheprovider tests/infra --ignore tests/infra/test_built.py
# The drawing is that of its text: the same things and the same arrows.
drawn() { grep -oE '<title>[^<]*</title>' | sort; }
diff <(dot -Tsvg docs/architecture.dot | drawn) <(drawn <docs/architecture.svg) ||
  { echo "docs/architecture.svg is not what docs/architecture.dot draws" >&2 && exit 1; }
