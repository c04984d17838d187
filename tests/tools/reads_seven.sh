#!/usr/bin/env bash
# Waits until the server on a port of this machine reads the sample's 7 as a 7: `reads_seven.sh PORT PID LOG`.
# A server that ends before has its log printed.
set -euo pipefail
port=$1 server=$2 log=$3
answer=
for _ in $(seq 100); do
  answer=$(curl -sf --data-binary @models/digits/examples/7.png "http://127.0.0.1:$port/predict/digits" || true)
  [[ -z "$answer" ]] || break
  kill -0 "$server" || { cat "$log" >&2 && exit 1; }
  sleep 0.1
done
[[ "$(python3 -c 'import json, sys; print(json.load(sys.stdin)["predictions"][0]["label"])' <<<"$answer")" == 7 ]]
