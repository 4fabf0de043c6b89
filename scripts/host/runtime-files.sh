# Adds to PATHS (an array, see files-found.sh) what this tool has written for the container runtime on this host. Variables: CERTS (directory of
# hosts.toml), CA (name of a CA's file there), PARTS (directory of the owner's parts), PART (name of a drop-in), UNITS (array).
# shellcheck shell=bash disable=SC2154
for file in "$CERTS"/*/hosts.toml; do
    if [ -f "$file" ] && grep -q '^# Written by ha-runbooks' "$file"; then PATHS+=("$file"); fi
done
for file in "$CERTS"/*/"$CA" "$PARTS"/v[0-9]/*.toml; do
    if [ -f "$file" ]; then PATHS+=("$file"); fi
done
for unit in "${UNITS[@]}"; do PATHS+=("/etc/systemd/system/$unit.service.d/$PART"); done
mapfile -t PATHS < <(printf '%s\n' "${PATHS[@]}" | awk '!seen[$0]++')
