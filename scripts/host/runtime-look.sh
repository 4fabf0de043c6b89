# Variables: CONFIG (containerd's file), SOCKET. Whether containerd runs with the configuration that lies there. Read-only.
# shellcheck shell=bash disable=SC2154
echo "active $(systemctl is-active containerd)"
echo "enabled $(systemctl is-enabled containerd 2>/dev/null)"
echo "kubelet $(systemctl is-enabled kubelet 2>/dev/null)"
started=$(systemctl show -p ActiveEnterTimestamp --value containerd)
# A file of the second in which the service started may be newer than what it read.
if [ -n "$started" ] && [ -e "$CONFIG" ] && [ "$(stat -c %Y "$CONFIG")" -lt "$(date -d "$started" +%s)" ]; then echo "loaded yes"; else echo "loaded no"; fi
if [ -S "$SOCKET" ] && timeout 5 crictl version >/dev/null 2>&1; then echo "answers yes"; else echo "answers no"; fi
