# Variables: DIRECTORIES (array), IMAGES (array), STORE. Read-only.
#   store DIRECTORY told|assumed     where containerd keeps images: its configuration's root, else STORE
#   disk DIRECTORY MOUNT SIZE FREE   in bytes, for each of DIRECTORIES and the store that is there
#   missing DIRECTORY                one that is not there, also the data directory that the manifest of etcd names
#   etcd BYTES                       what etcd's data directory holds: kubeadm copies it
#   lacks IMAGE                      one that the container runtime does not have
# shellcheck shell=bash disable=SC2154
store=$(timeout 5 containerd config dump 2>/dev/null | sed -n 's/^root *= *//p' | head -n 1 | tr -d "\"'")
echo "store ${store:-$STORE} $([ -n "$store" ] && echo told || echo assumed)"
for directory in "${DIRECTORIES[@]}" "${store:-$STORE}"; do
    df -B1 --output=target,size,avail -- "$directory" 2>/dev/null | tail -n 1 | {
        if read -r mount size free && [ -d "$directory" ]; then echo "disk $directory $mount $size $free"; else echo "missing $directory"; fi
    }
done
manifest=/etc/kubernetes/manifests/etcd.yaml
data=$(sed -n 's/^ *- --data-dir=//p' "$manifest" 2>/dev/null | head -n 1 | tr -d "\"'")
data=${data:-/var/lib/etcd}
if [ -d "$data/member" ]; then
    echo "etcd $(du -s --apparent-size -B1 -- "$data" 2>/dev/null | cut -f 1)"
elif [ -e "$manifest" ]; then
    echo "missing $data/member"
fi
for image in "${IMAGES[@]}"; do crictl inspecti -q "$image" >/dev/null 2>&1 || echo "lacks $image"; done
true
