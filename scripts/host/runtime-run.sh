# Variables: CONFIG. Restarts containerd with its configuration and enables it at boot; running containers keep running.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl daemon-reload
systemctl enable -q containerd kubelet
# runtime-look.sh compares whole seconds: the file, where there is one, must be older than the start. One of the future is not waited for.
written=$(stat -c %Y "$CONFIG" 2>/dev/null || echo 0)
if [ "$written" = "$(date +%s)" ]; then
    until [ "$(date +%s)" -gt "$written" ]; do sleep 0.05; done
fi
log() { # TEXT
    echo "$1; its log says:" >&2
    journalctl -q _SYSTEMD_UNIT=containerd.service -n 4 --no-pager -o cat >&2 # its own words, not those of systemd
    exit 1
}
systemctl reset-failed containerd 2>/dev/null || true
systemctl restart containerd 2>/dev/null || log "containerd does not start"
for _ in {1..100}; do
    timeout 5 crictl version >/dev/null 2>&1 && exit 0
    sleep 0.1
done
log "containerd runs, but does not answer the kubelet's questions"
