# Variables: IMAGES (array). Prints those that the container runtime does not have yet. Read-only.
# shellcheck shell=bash disable=SC2154
for image in "${IMAGES[@]}"; do crictl inspecti -q "$image" >/dev/null 2>&1 || echo "$image"; done
