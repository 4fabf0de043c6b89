# Variables: DIRECTORIES (array), TARGETS (array of "address port"). Needs the functions of knock.sh before it.
# Prints one "key value" a line: disk space, leftovers of interrupted commands of this tool, and the result of a connection to each
# of TARGETS. Changes nothing.
# shellcheck shell=bash disable=SC2154,SC2206
shopt -s nullglob
there=()
for directory in "${DIRECTORIES[@]}"; do if [ -d "$directory" ]; then there+=("$directory"); fi; done
sizes() { # DIRECTORY...: a line for each: mount point; bytes: size, free; inodes: total, free ("-" where the file system does not count them)
    [ $# = 0 ] || df -B1 --output=target,size,avail,itotal,iavail -- "$@" 2>/dev/null | tail -n +2
}
mapfile -t lines < <(sizes "${there[@]}")
for at in "${!there[@]}"; do
    # When one of them cannot be told, which line is whose cannot be either.
    line=${lines[at]}
    [ "${#lines[@]}" = "${#there[@]}" ] || line=$(sizes "${there[at]}")
    set -f # words are split, and not taken for patterns
    words=($line)
    set +f
    [ -z "$line" ] || echo "disk ${there[at]} ${words[0]} ${words[1]} ${words[2]} ${words[3]/-/0} ${words[4]/-/0}"
done
tmp=/etc/kubernetes/tmp
if [ -d "$tmp" ]; then # bytes: what kubeadm has left there; the size of its file system, and what is free
    echo "leftovers $(du -sB1 -- "$tmp" 2>/dev/null | cut -f1) $(df -B1 --output=size,avail -- "$tmp" 2>/dev/null | tail -n 1 | tr -s ' ' | sed 's/^ //')"
fi
for file in /etc/kubernetes/ha-runbooks-parked/*.yaml; do
    name=${file##*/}
    [ -e "/etc/kubernetes/manifests/$name" ] || echo "parked ${name%.yaml}"
done
top=/var/lib/ha-runbooks
if [ -s "$top/kubeadm/attempt" ]; then echo "attempt $(<"$top/kubeadm/attempt")"; fi
if [ -s "$top/upgrade/attempt" ]; then echo "attempt upgrade $(head -n 1 "$top/upgrade/attempt")"; fi
for note in reboot/note reconfigure/control-plane reconfigure/containerd reconfigure/kubelet upgrade/runtime/note; do
    [ ! -e "/var/lib/ha-runbooks/$note.json" ] || echo "noted $note"
done
if systemctl -q is-active ha-runbooks-kubeadm ha-runbooks-upgrade; then echo "working yes"; fi
if [ -e "$top/etcd-restore/plan" ] && [ ! -e "$top/etcd-restore/done" ]; then echo "restoring yes"; fi
knock "${TARGETS[@]}"
true
