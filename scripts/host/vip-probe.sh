# Variables: VIP, PORT, SECONDS_LONG. Opens a new connection through the VIP about every 20 ms; prints "tried failed longest":
# two numbers of connections, and the longest time in ms from a first failure to the next success.
# shellcheck shell=bash disable=SC2154
now() { echo $((${EPOCHREALTIME/./} / 1000)); }
tried=0 failed=0 longest=0 since=0
end=$(($(now) + SECONDS_LONG * 1000))
while at=$(now) && [ "$at" -lt "$end" ]; do
    tried=$((tried + 1))
    # shellcheck disable=SC2016
    if timeout 0.5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$VIP" "$PORT" 2>/dev/null; then
        if [ "$since" -ne 0 ]; then
            gap=$(($(now) - since))
            [ "$gap" -le "$longest" ] || longest=$gap
            since=0
        fi
    else
        failed=$((failed + 1))
        [ "$since" -ne 0 ] || since=$at
    fi
    sleep 0.015
done
[ "$since" -eq 0 ] || longest=$(($(now) - since))
echo "$tried $failed $longest"
