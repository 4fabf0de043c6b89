# Variables: CONFIG. Restarts containerd with its configuration and enables it at boot; running containers keep running.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl daemon-reload
systemctl enable -q containerd kubelet
# runtime-look.sh compares whole seconds: the file must be older than the start.
until [ "$(date +%s)" -gt "$(stat -c %Y "$CONFIG")" ]; do sleep 0.05; done
systemctl restart containerd
for _ in {1..100}; do
    timeout 5 crictl version >/dev/null 2>&1 && exit 0
    sleep 0.1
done
echo "containerd runs, but does not answer the kubelet's questions; its log says:" >&2
journalctl -u containerd -n 8 --no-pager -o cat >&2
exit 1
