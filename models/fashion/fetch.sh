#!/usr/bin/env bash
# fetch.sh FOLDER: Fashion-MNIST (60,000 and 10,000 pictures, MIT) from the Debian package dataset-fashion-mnist, and the
# names of its classes.
set -euo pipefail

folder=${1:?"fetch.sh FOLDER"}
mkdir -p "$folder"
cd "$folder"

package=dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb
apt-get download -q dataset-fashion-mnist=0.0~git20200523.55506a9-1
echo "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0  $package" | sha256sum --check --quiet
dpkg-deb --fsys-tarfile "$package" | tar --extract --wildcards --transform 's|.*/||' '*-ubyte.gz'
rm "$package"
printf '%s\n' t-shirt trousers pullover dress coat sandal shirt sneaker bag ankle-boot >labels.txt
