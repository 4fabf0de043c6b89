#!/bin/bash
# The second voting member of an etcd 3.5 cluster takes 7 s and more to start, in which the cluster cannot be written to: before it starts its raft, it
# asks the first member over its peer address whether a downgrade is under way; the first one answers with a linearizable read, for which
# it needs the quorum that only the second one brings, and gives up after its 7 s (5 s and two election timeouts). A member that comes as a
# learner, which has no vote, starts at once.
# Where it matters: kubeadm before 1.29 adds members as voters. 7 s and the start of a container come close to the 10 s after which
# kube-controller-manager and kube-scheduler give up their leases and end; then nobody signs the next kubelet's certificate for 15 s and more.
# Seen with etcd 3.5.16 of Debian 13: 8.4 to 9.5 s as a voter, of which 7.0 are that question and the rest an election, 0.0 to 0.2 s as a learner.
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
joined() { # NUMBER WORDS: the seconds in which a second member starts beside a first one that has just been started; prints tenths
    local first=$1 second=$(($1 + 1)) cluster begun
    cluster="m$first=$(peer "$first")"
    start "$first" new "$cluster"
    serves "$first"
    sleep 2
    root/usr/bin/etcdctl --endpoints "$(client "$first")" member add "m$second" --peer-urls "$(peer "$second")" "${@:2}" >/dev/null
    begun=$(date +%s%N)
    start "$second" existing "$cluster,m$second=$(peer "$second")"
    serves "$second"
    tenths=$((($(date +%s%N) - begun) / 100000000))
}
joined 1
voter=$tenths
joined 3 --learner
learner=$tenths
echo "etcd $(root/usr/bin/etcdctl version | sed -n 's/^etcdctl version: //p'): a voter serves after $((voter / 10)).$((voter % 10)) s, a learner after $((learner / 10)).$((learner % 10)) s"
grep -oE 'failed linearized read: (context deadline exceeded|etcdserver: request timed out)' log2 | head -n 1
[ "$voter" -ge 60 ] && [ "$learner" -lt 50 ]
