#!/bin/bash
# Imports LAB_WORK/images.tar into a containerd that lives in namespaces of its own, from LAB_WORK/unpacked, and leaves its state as
# LAB_TARGET. LAB_TMPFS: "yes" when the target's file system cannot hold an overlay; the import then happens in memory.
set -euo pipefail
if [ -z "${LAB_APART:-}" ]; then
    LAB_APART=yes exec unshare --mount --net --pid --fork --kill-child --mount-proc --propagation=private -- bash "$0"
fi
umask 022
echo "I: importing the images into containerd..."
mount -t tmpfs -o mode=0755 lab-golden /mnt # sockets: a short path, and gone with this namespace
root=$LAB_TARGET
[ -z "$LAB_TMPFS" ] || root=/mnt/root
cat >/mnt/config.toml <<CONFIG
version = 2
root = "$root"
state = "/mnt/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "/mnt/containerd.sock"
CONFIG
ctr() { "$LAB_WORK/unpacked/usr/bin/ctr" --address /mnt/containerd.sock --namespace k8s.io "$@"; }
"$LAB_WORK/unpacked/usr/bin/containerd" --config /mnt/config.toml &
daemon=$!
until ctr version >/dev/null 2>&1; do
    kill -0 "$daemon"
    sleep 0.1
done
ctr images import "$LAB_WORK/images.tar"
ctr images ls -q
kill "$daemon"
wait "$daemon" || true
rm -f "$root/io.containerd.grpc.v1.introspection/uuid" # every host's containerd makes its own
[ -z "$LAB_TMPFS" ] || cp -a "$root" "$LAB_TARGET"
