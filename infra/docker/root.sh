#!/usr/bin/env bash
# root.sh PACKAGE DIR: the file tree of scratch.Dockerfile's image. PACKAGE is dunlin's .deb (.ci/run edge builds one);
# what its program links against, and root certificates, are this Debian's own packages.
set -euo pipefail
package=$(realpath "$1")
rm -rf "$2"
mkdir -p "$2/tree" "$2/store"
root=$(realpath "$2/tree")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dpkg-deb -x "$package" "$work/tree"
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download libc6 libgcc-s1 ca-certificates >&2)
for file in "$work"/*.deb; do
  dpkg-deb -x "$file" "$work/tree"
done
install -D "$work/tree/usr/bin/dunlin" "$root/usr/bin/dunlin"
# The libraries, and the one that loads them, where the program looks for them.
ldd "$root/usr/bin/dunlin" | grep -oE '/[^ ]+' | while read -r library; do
  install -D "$(find "$work/tree/lib" -type f -name "$(basename "$library")")" "$root$library"
done
mkdir -p "$root/etc/ssl/certs"
find "$work/tree/usr/share/ca-certificates/mozilla" -name '*.crt' -exec cat {} + >"$root/etc/ssl/certs/ca-certificates.crt"
echo 'nonroot:x:65532:65532::/:/usr/bin/dunlin' >"$root/etc/passwd"
echo 'nonroot:x:65532:' >"$root/etc/group"
install -d -m 1777 "$root/tmp"
