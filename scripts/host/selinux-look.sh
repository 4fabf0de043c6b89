# Variables: BOOLEANS (array). SELinux's mode, then "name --> on" or "off" for each of them that its policy has; nothing on a host
# without SELinux. Read-only.
# shellcheck shell=bash disable=SC2154
command -v getenforce >/dev/null || exit 0
getenforce
for each in "${BOOLEANS[@]}"; do getsebool "$each" 2>/dev/null; done
true
