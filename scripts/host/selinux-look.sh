# Variables: BOOLEANS (array). Prints SELinux's mode, then "name --> on" or "name --> off" for each boolean that the policy has. Prints
# nothing on a host without SELinux. Read-only.
# shellcheck shell=bash disable=SC2154
command -v getenforce >/dev/null || exit 0
getenforce
for each in "${BOOLEANS[@]}"; do getsebool "$each" 2>/dev/null; done
true
