#!/bin/bash
# Debian's packages of containerd look for the programs of the pod network in different directories: 1.6.20 (Debian 12) in /opt/cni/bin, as
# containerd's own releases do, 1.7.24 (Debian 13) in /usr/lib/cni. The package changes a built-in value, so the same configuration file,
# one without bin_dir, means something else after the upgrade, and no word is said about it.
# Where it matters: Kubernetes' package kubernetes-cni, and the init containers of flannel, Calico and others, install to /opt/cni/bin. After
# the upgrade the node is Ready, what runs goes on, and no new Pod starts ("failed to find plugin ... in path [/usr/lib/cni]"). Name bin_dir in
# containerd's file, in the section [plugins."io.containerd.grpc.v1.cri".cni], before the upgrade.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with a mirror of Debian; starts no daemon and connects to nothing else.
set -euo pipefail
shopt -s inherit_errexit
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
# shellcheck disable=SC2016 # the format of apt-get, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt-get has no mirror of Debian 12 here' >&2 && exit 2; }
looks_in() { # SUITE VERSION: prints the version, and the directory that a configuration without bin_dir gets
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$1/sources.list"
    local options=(-q -o "Dir::Etc::SourceList=$PWD/$1/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/$1/lists"
        -o "Dir::Cache=$PWD/$1/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >/dev/null 2>&1
    (cd "$1" && apt-get "${options[@]}" download "containerd=$2*" >/dev/null 2>&1 && dpkg -x containerd_*.deb root)
    echo 'version = 2' >"$1/config.toml"
    echo "$("$1/root/usr/bin/containerd" --version | cut -d' ' -f3) $("$1/root/usr/bin/containerd" --config "$1/config.toml" config dump | sed -n 's/^ *bin_dir = //p')"
}
old=$(looks_in bookworm 1.6.20~ds1-1)
new=$(looks_in trixie 1.7.24~ds1-6)
echo "without bin_dir: $old; $new"
[[ $old == 1.6.20*' "/opt/cni/bin"' && $new == 1.7.24*' "/usr/lib/cni"' ]]
