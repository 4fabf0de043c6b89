# Variables: PEERS (array: "address port" each).
# Prints those that accept a TCP connection from this host, one "address port" per line.
# shellcheck shell=bash disable=SC2154
for peer in "${PEERS[@]}"; do
    read -r address port <<<"$peer"
    # shellcheck disable=SC2016 # for the inner shell
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null && echo "$peer" &
done
wait
exit 0
