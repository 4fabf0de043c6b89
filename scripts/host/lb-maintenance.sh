# Variables: SERVERS (array of "backend/server"), NOTE ("SECONDS-SINCE-1970 WHO REASON", or "" to end the maintenance), MAINTENANCE (file).
# Stands before lb-server.sh. Keeps one line for each server: "BACKEND/SERVER NOTE".
# shellcheck shell=bash disable=SC2154
mkdir -p -- "${MAINTENANCE%/*}"
{
    if [ -r "$MAINTENANCE" ]; then
        while read -r server rest; do
            [[ " ${SERVERS[*]} " == *" $server "* ]] || echo "$server $rest"
        done <"$MAINTENANCE"
    fi
    [ -z "$NOTE" ] || printf '%s\n' "${SERVERS[@]/%/ $NOTE}"
} >"$MAINTENANCE.new"
sync -- "$MAINTENANCE.new" 2>/dev/null
mv -f -- "$MAINTENANCE.new" "$MAINTENANCE"
