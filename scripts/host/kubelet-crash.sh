# Variables: none. Says how often systemd has restarted the kubelet by itself since it was started, and why it ended, one "key value" per line:
#   restarts N, words LINE (the last one in its journal that tells it). Read-only.
# shellcheck shell=bash
restarts=$(systemctl show kubelet -p NRestarts --value)
echo "restarts ${restarts:-0}"
if [ "${restarts:-0}" -gt 0 ]; then # a fatal error is followed by the stacks of all threads
    said=$(journalctl -u kubelet -n 3000 -o cat --no-pager 2>/dev/null | grep -E '^F[0-9]{4} |command failed|[Ff]ailed to (run|load)' | tail -n 1)
    echo "words ${said:0:400}"
fi
true
