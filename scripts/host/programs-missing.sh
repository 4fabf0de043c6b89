# Variables: TOOLS (array). Prints which of these programs this host does not have. Read-only.
# shellcheck shell=bash disable=SC2154
for name in "${TOOLS[@]}"; do command -v "$name" >/dev/null || echo "$name"; done
