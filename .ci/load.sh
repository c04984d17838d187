#!/usr/bin/env bash
# 64 connections for ten seconds on `dunlin serve`: every answer is 200 or 429, and the server is there afterwards.
set -euo pipefail
cargo build --release
work=$(mktemp -d)
server=
finish() {
  [[ -z "$server" ]] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
dunlin=target/release/dunlin
picture=models/digits/examples/7.png
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/predict/digits

"$dunlin" push models/digits --store "file:$work/store"
"$dunlin" serve --listen "127.0.0.1:$port" --store "file:$work/store" >"$work/log" 2>&1 &
server=$!
ask() { curl -sf -H 'content-type: image/png' --data-binary "@$picture" "$url"; }
for _ in $(seq 100); do
  ask >/dev/null && break
  kill -0 "$server" || { cat "$work/log" && exit 1; }
  sleep 0.1
done

hey -z 10s -c 64 -t 30 -m POST -T image/png -D "$picture" "$url" >"$work/hey"
grep -E 'Requests/sec|% in|responses|\] ' "$work/hey" || true
grep -qE '\[200\]' "$work/hey" || { echo "no request was answered" >&2 && exit 1; }
if grep -E '^ *\[[0-9]+\]' "$work/hey" | grep -qvE '\[(200|429)\]' || grep -q 'Error distribution' "$work/hey"; then
  cat "$work/hey" >&2
  echo "something other than 200 and 429" >&2
  exit 1
fi
ask | python3 -c 'import json, sys; assert json.load(sys.stdin)["predictions"][0]["label"] == "7"'
grep VmHWM "/proc/$server/status"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
((status == 0)) || { cat "$work/log" >&2 && echo "SIGTERM ended the server with status $status" >&2 && exit 1; }
