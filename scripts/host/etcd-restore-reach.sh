# Variables: PEERS (array: "address port" each).
# Says which of them take a TCP connection from here: one "address port" a line.
# shellcheck shell=bash disable=SC2154
for peer in "${PEERS[@]}"; do
    read -r address port <<<"$peer"
    # shellcheck disable=SC2016 # for the inner shell
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null && echo "$peer" &
done
wait
exit 0
