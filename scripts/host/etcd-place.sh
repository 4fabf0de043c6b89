# Where this host's etcd has its data, whether it runs or not; stands before another script, behind etcd-find.sh. Variables: none.
# Sets parked (where its manifest is while it is parked), yaml (its manifest, seen or parked, or ""), data (the data directory), and
# base (what paths beside it, or inside it when it is a disk of its own, begin with: elsewhere it would have to be copied).
# shellcheck shell=bash disable=SC2034,SC2154
parked=/etc/kubernetes/ha-runbooks-parked/etcd.yaml
yaml=''
for each in "$parked" "$manifest"; do [ ! -e "$each" ] || yaml=$each; done
flag() { [ -z "$yaml" ] || sed -n "s/^ *- --$1=//p" "$yaml" | head -n 1; }
data=$(flag data-dir)
data=${data:-/var/lib/etcd}
if mountpoint -q "$data"; then base=$data/; else base=$data.; fi
