#!/usr/bin/env bash
# README's first command as a newcomer runs it, the curl line that it prints, and a clean end on SIGTERM.
set -euo pipefail
work=$(mktemp -d)
server=
finish() {
  [[ -z "$server" ]] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# shellcheck disable=SC2016 # backticks of Markdown
readarray -t commands < <(sed -n '/^```sh$/,/^```$/p' README.md | grep -oE '^cargo [^#]*[^# ]' | head -n 2)
printf 'README: %s\n' "${commands[@]}"
if [[ "${commands[*]}" != "cargo run --release cargo test --release --workspace" ]]; then
  echo "README's first commands are not those that CI runs" >&2
  exit 1
fi
# cargo replaces itself with what it runs: the process becomes the server. Its data goes to a place that was not there.
: >"$work/out"
XDG_DATA_HOME=$work/data cargo run --release >"$work/out" 2>&1 &
server=$!
# The whole build is in this wait.
while ((SECONDS < 2400)); do
  line=$(grep -m 1 -oE 'curl .*' "$work/out" || true)
  [[ -n "$line" ]] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.2
done
cat "$work/out"
[[ -n "${line:-}" ]] || { echo "no curl line was printed" >&2 && exit 1; }

digit=$(grep -oE '[0-9]+\.png' <<<"$line" | grep -oE '^[0-9]+')
printf '\n$ %s\n' "$line"
answer=$(bash -c "$line" 2>/dev/null)
echo "$answer"
said=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["predictions"][0]["label"])' <<<"$answer")
[[ "$said" == "$digit" ]] || { echo "the picture of a $digit was called '$said'" >&2 && exit 1; }

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
((status == 0)) || { echo "SIGTERM ended the server with status $status" >&2 && exit 1; }
echo "the right digit, and a clean end on SIGTERM"
