#!/bin/bash
# etcd 3.5 takes in no other member, not even a learner, for 5 s after a member got its vote: with --strict-reconfig-check, which is on by
# default, the member that is asked wants to have been connected to every voter for that long, and says "unhealthy cluster" until then,
# although every member is healthy and a learner changes no quorum. The vote itself is given a second after the start.
# Where it matters: hosts that join at the same time (kubeadm 1.29 and newer add learners) get their members 5 s apart, however fast they are.
# Seen with etcd 3.5.16 of Debian 13: refused with "etcdserver: unhealthy cluster" for 4.8 and 4.9 s after the vote.
# Exits 0 while that is so, 1 once it has changed. Needs apt-get with a mirror of Debian; etcd listens on loopback only.
set -euo pipefail
shopt -s inherit_errexit
directory=$(mktemp -d)
members=()
trap '[ ${#members[@]} = 0 ] || kill "${members[@]}"; wait; rm -rf "$directory"' EXIT
cd "$directory"
# shellcheck disable=SC2016 # the format of apt-get, not ours
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
[ -n "$mirror" ] || { echo 'apt-get has no mirror of Debian here' >&2 && exit 2; }
mkdir -p lists/partial cache/archives/partial
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >sources.list
options=(-q -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User=root)
apt-get "${options[@]}" update >/dev/null 2>&1
apt-get "${options[@]}" download "etcd-server=3.5.16*" "etcd-client=3.5.16*" >/dev/null 2>&1
for package in ./*.deb; do dpkg -x "$package" root; done

client() { echo "http://127.0.0.1:$((23700 + $1))"; }
peer() { echo "http://127.0.0.1:$((23800 + $1))"; }
start() { # NUMBER STATE CLUSTER
    : >"log$1"
    root/usr/bin/etcd --name "m$1" --data-dir "data$1" --listen-client-urls "$(client "$1")" --advertise-client-urls "$(client "$1")" \
        --listen-peer-urls "$(peer "$1")" --initial-advertise-peer-urls "$(peer "$1")" --initial-cluster "$3" --initial-cluster-state "$2" >"log$1" 2>&1 &
    members+=("$!")
}
serves() { # NUMBER: waits until the member listens to clients
    for _ in {1..600}; do
        ! grep -q 'ready to serve client requests' "log$1" || return 0
        sleep 0.05
    done
    echo "member $1 does not serve" >&2
    exit 2
}
ask() { root/usr/bin/etcdctl --endpoints "$(client 1)" "$@"; }
start 1 new "m1=$(peer 1)"
serves 1
id=$(ask member add m2 --learner --peer-urls "$(peer 2)" | sed -n 's/^Member *\([0-9a-f]*\) added.*/\1/p')
start 2 existing "m1=$(peer 1),m2=$(peer 2)"
until ask member promote "$id" >/dev/null 2>&1; do sleep 0.1; done
begun=$(date +%s%N) said=''
until ask member add m3 --learner --peer-urls "$(peer 3)" >answer 2>&1; do
    said=$(sed -n 's/.*Error: //p' answer)
    sleep 0.1
done
tenths=$((($(date +%s%N) - begun) / 100000000))
echo "etcd $(root/usr/bin/etcdctl version | sed -n 's/^etcdctl version: //p'): after the vote of the second member a learner is refused for $((tenths / 10)).$((tenths % 10)) s: ${said:-nothing}"
[ "$tenths" -ge 20 ] && [ "$tenths" -lt 80 ] && [ "$said" = 'etcdserver: unhealthy cluster' ]
