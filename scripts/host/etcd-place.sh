# Where this host's etcd has its data, whether it runs or not; sent after etcd-find.sh and before another script. Variables: none.
# Sets parked (the path of its manifest while etcd is stopped), yaml (the path where the manifest is now, or ""), data (the data
# directory), and base (the beginning of paths on the same disk as the data: moving there needs no copy).
# shellcheck shell=bash disable=SC2034,SC2154
parked=/etc/kubernetes/ha-runbooks-parked/etcd.yaml
yaml=''
for each in "$parked" "$manifest"; do [ ! -e "$each" ] || yaml=$each; done
flag() { [ -z "$yaml" ] || sed -n "s/^ *- --$1=//p" "$yaml" | head -n 1; }
data=$(flag data-dir)
data=${data:-/var/lib/etcd}
if mountpoint -q "$data"; then base=$data/; else base=$data.; fi
