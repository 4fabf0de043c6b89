#!/bin/bash
# Fetches what Kubernetes in the lab is made of with APT, through private lists: the machine's own configuration stays as it is.
# LAB_WORK: work directory with sources.list (deb lines of the base suite and of etcd's) and keys/. LAB_FETCH: binary packages,
# each "name/suite". LAB_SOURCE: a source package, "name/suite", or nothing.
# Everything ends up in LAB_WORK/unpacked, the source in LAB_WORK/src/k8s.io/NAME.
set -euo pipefail
umask 022
cd "$LAB_WORK"
mkdir -p apt/lists/partial apt/archives/partial debs unpacked

apt() {
    apt-get -q -o Dir::Etc::sourcelist="$LAB_WORK/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::trustedparts="$LAB_WORK/keys" \
        -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- -o Dir::State::lists="$LAB_WORK/apt/lists" \
        -o Dir::Cache="$LAB_WORK/apt" -o APT::Sandbox::User=root -o APT::Update::Post-Invoke-Success::=true "$@"
}

echo "I: reading the package lists..."
apt update
echo "I: downloading packages..."
# shellcheck disable=SC2086 # one package a word
(cd debs && apt download $LAB_FETCH)
if [ -n "${LAB_SOURCE:-}" ]; then
    name=${LAB_SOURCE%/*}
    echo "I: downloading the source of $name..."
    mkdir -p src/k8s.io
    (cd src/k8s.io && apt --only-source source "$LAB_SOURCE" && mv "$name"-*/ "$name")
fi
echo "I: unpacking..."
for deb in debs/*.deb; do
    dpkg -x "$deb" unpacked
done
