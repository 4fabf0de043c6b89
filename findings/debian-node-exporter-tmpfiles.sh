#!/bin/bash
# systemd-tmpfiles (Debian 12, systemd 252) makes nothing in the textfile directory of Debian's node_exporter (prometheus-node-exporter 1.5.0):
# the package gives /var/lib/prometheus to the user prometheus, and leaves /var/lib/prometheus/node-exporter to root. tmpfiles follows no path
# that goes from a directory of an ordinary user into one of another user, so it exits with 73, at every boot, too.
# Where it matters: a metrics file of a daemon that keeps it below /run has to be linked into that directory. The link is on disk, so it need
# not be made at boot: make it once, with ln -s.
# Exits 0 while that is so, 1 once it has changed. Needs root (for the owners) and apt-get with a mirror of Debian; starts no daemon.
set -euo pipefail
shopt -s inherit_errexit
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
chmod 755 .
# shellcheck disable=SC2016 # the format of apt-get, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt-get has no mirror of Debian 12 here' >&2 && exit 2; }
mkdir -p lists/partial cache/archives/partial tree program
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >sources.list
options=(-q -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists"
    -o "Dir::Cache=$PWD/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >/dev/null 2>&1
apt-get "${options[@]}" download 'prometheus-node-exporter=1.5.0-1*' 'systemd=252.*' 'libsystemd-shared=252.*' >/dev/null 2>&1
dpkg -x prometheus-node-exporter_*.deb tree
dpkg -x systemd_*.deb program
dpkg -x libsystemd-shared_*.deb program
dpkg --ctrl-tarfile prometheus-node-exporter_*.deb | tar -xO ./postinst | grep 'chown prometheus:prometheus /var/lib/prometheus$'
echo 'L+ /var/lib/prometheus/node-exporter/some.prom - - - - /run/some.prom' >link.conf
tmpfiles() { # prints the exit status, what it said, and whether the link is there
    local said status=0 link=none
    said=$(LD_LIBRARY_PATH=$(dirname "$(find program -name 'libsystemd-shared-*.so')") \
        "$(find program -name systemd-tmpfiles -type f)" --root="$PWD/tree" --create "$PWD/link.conf" 2>&1) || status=$?
    [ ! -L tree/var/lib/prometheus/node-exporter/some.prom ] || link=made
    echo "$status $link ${said%% (*}"
}
chown 65534 tree/var/lib/prometheus # as the package's script does, with its own user
theirs=$(tmpfiles)
chown 0 tree/var/lib/prometheus
ours=$(tmpfiles)
echo "/var/lib/prometheus of prometheus: $theirs"
echo "/var/lib/prometheus of root: $ours"
[[ $theirs == '73 none Detected unsafe path transition'* && $ours == '0 made '* ]]
