# Variables: DIRECTORIES (array), IMAGES (array). Read-only.
#   disk DIRECTORY MOUNT SIZE FREE   in bytes, for each of DIRECTORIES that is there
#   etcd BYTES                       what etcd's data directory holds: kubeadm copies it
#   lacks IMAGE                      one that the container runtime does not have
# shellcheck shell=bash disable=SC2154
for directory in "${DIRECTORIES[@]}"; do
    [ -d "$directory" ] || continue
    df -B1 --output=target,size,avail -- "$directory" 2>/dev/null | tail -n 1 | {
        read -r mount size free && echo "disk $directory $mount $size $free"
    }
done
data=$(sed -n 's/^ *- --data-dir=//p' /etc/kubernetes/manifests/etcd.yaml 2>/dev/null | head -n 1 | tr -d "\"'")
data=${data:-/var/lib/etcd}
if [ -d "$data/member" ]; then echo "etcd $(du -s --apparent-size -B1 -- "$data" 2>/dev/null | cut -f 1)"; fi
for image in "${IMAGES[@]}"; do crictl inspecti -q "$image" >/dev/null 2>&1 || echo "lacks $image"; done
true
