#!/usr/bin/env bash
# dunlin as a service on a Debian machine: the unit is sound and locked in; the package, made of what cargo has built,
# installs, serves by the unit's own command line (nothing here is started by systemd, which CI has not), and purges.
set -euo pipefail
unit=infra/edge/dunlin.service
worst=2.0
cargo build --release

tests/tools/cargo_deb.sh
work=$(mktemp -d)
server=
finish() {
  [[ -z "$server" ]] || kill -KILL "$server" 2>/dev/null || true
  ! dpkg -s dunlin >/dev/null 2>&1 || apt-get purge -yq dunlin >/dev/null
  rm -rf "$work"
}
if dpkg -s dunlin >/dev/null 2>&1; then
  echo "the package dunlin is installed here already; this step would purge it" >&2
  exit 1
fi
trap finish EXIT

target/edge-tools/bin/cargo-deb --no-build --strip --manifest-path functions/edge/Cargo.toml --output "$work/dunlin.deb"
dpkg-deb --field "$work/dunlin.deb" Package Version Architecture Installed-Size Depends
echo "package: $(stat -c %s "$work/dunlin.deb") bytes"

apt-get install -yq --no-install-recommends "$work/dunlin.deb" >"$work/install" 2>&1 || { cat "$work/install" && exit 1; }
# Of the unit as it is installed: verify looks for what ExecStart names.
systemd-analyze verify dunlin.service
exposure=$(systemd-analyze security --offline=true "$unit" | sed -n 's/^→ Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
echo "exposure: $exposure (limit $worst)"
awk -v had="$exposure" -v limit="$worst" 'BEGIN { exit !(had != "" && had <= limit) }' ||
  { echo "the unit is not locked in as it should be" >&2 && exit 1; }

# What systemd would do: the state directory, the environment, the user, the command.
said() { sed -n "s|^$1=||p" "$unit"; }
user=$(said User)
install -d -o "$user" -g "$(said Group)" -m "$(said StateDirectoryMode)" "/var/lib/$(said StateDirectory)"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
read -r -a command < <(said ExecStart)
# Both programs are replaced by what they run: the process is the server's.
as_service=(setpriv --reuid "$user" --regid "$(said Group)" --clear-groups --no-new-privs env "$(said Environment)" "DUNLIN_LISTEN=127.0.0.1:$port")
cp -r models/digits "$work/digits" && chmod -R a+rX "$work"
"${as_service[@]}" dunlin push "$work/digits"
"${as_service[@]}" "${command[@]}" >"$work/log" 2>&1 &
server=$!
tests/tools/reads_seven.sh "$port" "$server" "$work/log"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
((status == 0)) || { cat "$work/log" >&2 && echo "SIGTERM ended the service with $status" >&2 && exit 1; }

apt-get purge -yq dunlin >"$work/purge" 2>&1 || { cat "$work/purge" && exit 1; }
for left in /usr/bin/dunlin /etc/default/dunlin /var/lib/dunlin /usr/lib/systemd/system/dunlin.service; do
  [[ ! -e $left ]] || { echo "$left is left after a purge" >&2 && exit 1; }
done
! getent passwd "$user" || { echo "the user is left after a purge" >&2 && exit 1; }
echo "installed, served, ended cleanly, purged"
