#!/usr/bin/env bash
# with_seaweedfs.sh COMMAND...: runs COMMAND beside a fresh SeaweedFS on 127.0.0.1, told of it by
# DUNLIN_TEST_S3_ENDPOINT, DUNLIN_TEST_S3_BUCKET (an empty bucket) and AWS's own variables. Ends with COMMAND's status.
set -euo pipefail
bin=$(realpath "$(dirname "$0")/../../.venv/bin")
work=$(mktemp -d)
server=
finish() {
  # Its clean end takes 25 s, and nothing of it is kept.
  [[ -z "$server" ]] || { kill -KILL "$server" && wait "$server"; } 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

read -r master master_grpc volume volume_grpc filer filer_grpc s3 s3_grpc < <("$bin/python" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
print(*(s.getsockname()[1] for s in held))')
mkdir "$work/data"
cat >"$work/s3.json" <<E
{"identities": [{"name": "tests", "credentials": [{"accessKey": "tests", "secretKey": "tests-secret"}],
 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
E
"$bin/weed" server -dir="$work/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -master.port="$master" -master.port.grpc="$master_grpc" -master.volumeSizeLimitMB=64 \
  -volume.port="$volume" -volume.port.grpc="$volume_grpc" -volume.max=20 \
  -filer -filer.port="$filer" -filer.port.grpc="$filer_grpc" \
  -s3 -s3.port="$s3" -s3.port.grpc="$s3_grpc" -s3.config="$work/s3.json" >"$work/log" 2>&1 &
server=$!

bucket=dunlin-tests
until curl -sf -X PUT --aws-sigv4 aws:amz:us-east-1:s3 -u tests:tests-secret "http://127.0.0.1:$s3/$bucket"; do
  if ((SECONDS >= 60)) || ! kill -0 "$server" 2>/dev/null; then
    tail -n 30 "$work/log" >&2
    exit 1
  fi
  sleep 0.2
done
echo "SeaweedFS is up after $SECONDS s"

export DUNLIN_TEST_S3_ENDPOINT=http://127.0.0.1:$s3 DUNLIN_TEST_S3_BUCKET=$bucket
export AWS_ACCESS_KEY_ID=tests AWS_SECRET_ACCESS_KEY=tests-secret AWS_REGION=us-east-1
"$@"
