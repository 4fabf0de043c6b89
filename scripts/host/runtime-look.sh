# Variables: CONFIG (containerd's file), SOCKET. Prints whether containerd runs with its current configuration file, and what it makes of
# that. Needs the function of containerd-dump.sh before it. Read-only.
# shellcheck shell=bash disable=SC2154
echo "active $(systemctl is-active containerd)"
echo "enabled $(systemctl is-enabled containerd 2>/dev/null)"
echo "kubelet $(systemctl is-enabled kubelet 2>/dev/null)"
started=$(systemctl show -p ActiveEnterTimestamp --value containerd)
# A file written in the same second as the start may be newer than what containerd read. Where there is no file, the directory in which it would
# be tells when one was taken away.
file=$CONFIG
until [ -e "$file" ]; do file=${file%/*} file=${file:-/}; done
if [ -n "$started" ] && [ "$(stat -c %Y "$file")" -lt "$(date -d "$started" +%s)" ]; then echo "loaded yes"; else echo "loaded no"; fi
if [ -S "$SOCKET" ] && timeout 5 crictl version >/dev/null 2>&1; then echo "answers yes"; else echo "answers no"; fi
containerd_dump
