# Variables: TARGETS (array of "address port"), PEERS (array of addresses to measure the round trip to); knock.sh stands before this.
# Prints "reach ADDRESS PORT open|refused|silent|the error" and "rtt ADDRESS MS ping|tcp", all asked at the same time.
# shellcheck shell=bash disable=SC2154
measure() { # ADDRESS
    local said number
    said=$(timeout 4 ping -n -q -c 5 -i 0.02 -W 1 "$1" 2>/dev/null)
    if [[ $said == *' = '*/*/* ]]; then # "rtt min/avg/max/mdev = 0.035/0.047/0.066/0.011 ms"
        IFS=/ read -r _ number _ <<<"${said##* = }"
        echo "rtt $1 $number ping"
        return
    fi
    # No ping, or none let through: the time until a connection is taken or refused (ssh listens, at least) says the same.
    # shellcheck disable=SC2016
    number=$(timeout 4 bash -c '
        for ((i = 0; i < 5; i++)); do
            start=${EPOCHREALTIME/[.,]/}
            { exec 3<>"/dev/tcp/$0/22"; } 2>/dev/null
            took=$((${EPOCHREALTIME/[.,]/} - start))
            if ((i == 0 || took < best)); then best=$took; fi
        done
        echo "$best"' "$1" 2>/dev/null)
    # Milliseconds with three digits after the point, from microseconds.
    if [ -n "$number" ]; then printf 'rtt %s %d.%03d tcp\n' "$1" $((number / 1000)) $((number % 1000)); fi
}
for address in "${PEERS[@]}"; do measure "$address" & done
knock "${TARGETS[@]}"
wait
true
