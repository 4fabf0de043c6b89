# Variables: CONFIG, WITHIN (seconds in which it has to answer). Restarts containerd with its configuration and enables it at boot; running
# containers keep running. Needs the function of runtime-written.sh before it.
# shellcheck shell=bash disable=SC2154
set -eu
systemctl daemon-reload
systemctl enable -q containerd kubelet
# runtime-look.sh compares whole seconds: what was written must be older than the start. What is of the future is not waited for.
written=$(runtime_written "$CONFIG")
if [ "$written" = "$(date +%s)" ]; then
    until [ "$(date +%s)" -gt "$written" ]; do sleep 0.05; done
fi
log() { # TEXT
    echo "$1; its log says:" >&2
    journalctl -q _SYSTEMD_UNIT=containerd.service -n 4 --no-pager -o cat >&2 # its own words, not those of systemd
    exit 1
}
systemctl reset-failed containerd 2>/dev/null || true
timeout 100 systemctl restart containerd 2>/dev/null || log "containerd does not start"
since=$SECONDS
until timeout 5 crictl version >/dev/null 2>&1; do
    ((SECONDS - since < WITHIN)) || log "containerd runs, but has not answered the kubelet's questions for $WITHIN s"
    sleep 0.1
done
