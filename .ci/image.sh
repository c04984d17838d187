#!/usr/bin/env bash
# By name: the container of infra/docker/scratch.Dockerfile, built by buildah without a daemon or a registry from the
# Debian package of what cargo has built, and its own program answering in its own file tree, as its own user.
set -euo pipefail
packages=(buildah ca-certificates curl)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
fi
cargo build --release
tests/tools/cargo_deb.sh
work=$(mktemp -d)
# What runs in a chroot needs no namespaces, overlays or cgroups, which a build machine may not give.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
storage=(--root "$work/images" --runroot "$work/run")
server=
container=
finish() {
  [[ -z "$server" ]] || kill -KILL "$server" 2>/dev/null || true
  [[ -z "$container" ]] || buildah "${storage[@]}" rm "$container" >/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

target/edge-tools/bin/cargo-deb --no-build --strip --manifest-path functions/edge/Cargo.toml --output "$work/dunlin.deb"
infra/docker/root.sh "$work/dunlin.deb" "$work/root"
buildah "${storage[@]}" bud -q -f infra/docker/scratch.Dockerfile -t dunlin "$work/root"
buildah "${storage[@]}" inspect --type image --format '{{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} as {{.OCIv1.Config.User}}{{"\n"}}' dunlin
echo "image: $(du -sk "$work/root" | cut -f1) KiB"

container=$(buildah "${storage[@]}" from dunlin)
tree=$(buildah "${storage[@]}" mount "$container")
[[ ! -e $tree/bin/sh ]] || { echo "there is a shell in the image" >&2 && exit 1; }
cp -r models/digits "$tree/store/digits-source"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
inside=(/usr/sbin/chroot --userspec 65532:65532 "$tree" /usr/bin/dunlin)
settings=(env -i "DUNLIN_LISTEN=127.0.0.1:$port" DUNLIN_STORE=file:/store)
"${settings[@]}" "${inside[@]}" push /store/digits-source
"${settings[@]}" "${inside[@]}" serve >"$work/log" 2>&1 &
server=$!
tests/tools/reads_seven.sh "$port" "$server" "$work/log"
kill -TERM "$server"
wait "$server"
server=
echo "built, answered as 65532 in its own tree, ended cleanly"
