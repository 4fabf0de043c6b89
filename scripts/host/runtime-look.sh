# Variables: CONFIG (containerd's file), SOCKET. Prints whether containerd runs with its current configuration file, and what it makes of
# that. Needs the functions of containerd-dump.sh and runtime-written.sh before it. Read-only.
# shellcheck shell=bash disable=SC2154
echo "active $(systemctl is-active containerd)"
echo "enabled $(systemctl is-enabled containerd 2>/dev/null)"
echo "kubelet $(systemctl is-enabled kubelet 2>/dev/null)"
started=$(systemctl show -p ActiveEnterTimestamp --value containerd)
# A file written in the same second as the start may be newer than what containerd read.
if [ -n "$started" ] && [ "$(runtime_written "$CONFIG")" -lt "$(date -d "$started" +%s)" ]; then echo "loaded yes"; else echo "loaded no"; fi
if [ -S "$SOCKET" ] && timeout 5 crictl version >/dev/null 2>&1; then echo "answers yes"; else echo "answers no"; fi
containerd_dump
