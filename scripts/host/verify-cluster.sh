# Variables: SERVER (URL of an API server), RESOURCES (paths of its API). Needs api-ask.sh before it.
# The JSON at each path, one line each: "PATH EXIT-STATUS JSON-OR-ERROR". First this host's clock: "clock SECONDS". Read-only.
# shellcheck shell=bash disable=SC2154
ask() { # PATH
    local said status
    said=$(api get "$SERVER" 5 "$1")
    status=$?
    printf '%s %s %s\n' "$1" "$status" "${said//$'\n'/ }"
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
printf 'clock %(%s)T\n' -1
several "$SERVER" 5 "$scratch" "${RESOURCES[@]}"
# Each into a file of its own: lines as long as these would be mixed up in a pipe.
for number in "${!RESOURCES[@]}"; do [ "${got[number]+yes}" ] || ask "${RESOURCES[number]}" >"$scratch/said.$number" & done
wait
for number in "${!RESOURCES[@]}"; do
    if [ "${got[number]+yes}" ]; then printf '%s 0 %s\n' "${RESOURCES[number]}" "${got[number]//$'\n'/ }"; else cat "$scratch/said.$number"; fi
done
