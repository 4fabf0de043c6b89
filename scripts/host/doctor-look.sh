# Variables: DIRECTORIES (array), TARGETS (array of "address port").
# What an examination of the whole site asks a host besides its services, one "key value" a line: room on its disks, what an
# interrupted piece of work of ours left behind, and which of TARGETS can be connected to. Changes nothing.
# shellcheck shell=bash disable=SC2154
shopt -s nullglob
for directory in "${DIRECTORIES[@]}"; do
    [ -d "$directory" ] || continue
    # What is mounted where, bytes: all, free; inodes: all, free ("-" where a file system counts none).
    df -B1 --output=target,size,avail,itotal,iavail -- "$directory" 2>/dev/null | tail -n 1 | {
        read -r mount size free inodes left && echo "disk $directory $mount $size $free ${inodes/-/0} ${left/-/0}"
    }
done
for file in /etc/kubernetes/ha-runbooks-parked/*.yaml; do
    name=${file##*/}
    [ -e "/etc/kubernetes/manifests/$name" ] || echo "parked ${name%.yaml}"
done
top=/var/lib/ha-runbooks
if [ -s "$top/kubeadm/attempt" ]; then echo "attempt $(<"$top/kubeadm/attempt")"; fi
if systemctl -q is-active ha-runbooks-kubeadm; then echo "working yes"; fi
if [ -e "$top/etcd-restore/plan" ] && [ ! -e "$top/etcd-restore/done" ]; then echo "restoring yes"; fi
knock() { # ADDRESS PORT: a first packet that gets lost is sent again after a second
    local said
    # shellcheck disable=SC2016
    said=$(timeout 2.5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1)
    case $?/$said in
    0/*) said=open ;;
    124/*) said=silent ;;
    *refused*) said=refused ;;
    *) said=${said##*: } ;;
    esac
    echo "reach $1 $2 ${said:-silent}"
}
for target in "${TARGETS[@]}"; do
    IFS=' ' read -r address port <<<"$target"
    knock "$address" "$port" &
done
wait
true
