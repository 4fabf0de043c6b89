# Variables: ACTION (run or look), ARGS (array: etcdctl's words; run only), and those of etcd-find.sh, which stands before this.
# Runs etcdctl where it is found: inside the running etcd container (there its version is the server's, and its image has no
# shell), or else the host's own, when etcd runs as a service. look: says at once what this member knows of itself, the
# cluster's members, and whether it can still read with a quorum; each part ends in a line "@@ part exit-status".
# Exit 69: etcd does not run here, or nothing to ask it with. Exit 75: not now (an election, no answer in time).
# shellcheck shell=bash disable=SC2154
limit=3s
[ "$ACTION" = look ] || limit=10s
find_etcd || exit
for word in "${ARGS[@]}"; do case $word in --command-timeout=*) limit='' ;; esac done
[ -z "$limit" ] || flags+=(--command-timeout="$limit")
call() {
    if [ -n "$container" ]; then crictl_here exec -s "$container" etcdctl "${flags[@]}" "$@"; else
        ETCDCTL_API=3 etcdctl "${flags[@]}" "$@"
    fi
}
if [ "$ACTION" = look ]; then
    part() {
        local name=$1 code
        shift
        call "$@" 2>&1
        code=$?
        printf '\n@@ %s %s\n' "$name" "$code"
    }
    # All three at the same time: without a quorum two of them wait for their whole time limit.
    exec 3< <(part status endpoint status -w json) 4< <(part members member list -w json) 5< <(part health endpoint health -w json)
    cat <&3 && cat <&4 && cat <&5
    exit
fi
said=$(call "${ARGS[@]}" 2>&1)
code=$?
if [ "$code" = 0 ]; then
    printf '%s\n' "$said"
    exit
fi
# crictl puts everything that etcdctl said, with \n and \" in it, into a line of its own.
case $said in
*"connection refused"* | *"no such container"* | *"not found in container"* | *"failed to exec"*) code=69 ;;
*"leader changed"* | *"no leader" | *"no leader"[!\ ]* | *"request timed out"* | *"too many requests"* | *"context deadline exceeded"* | \
    *"unhealthy cluster"* | *"in sync with leader"* | *"error reading from server"*) code=75 ;;
esac
if [[ $said == *Error:* ]]; then said=${said##*Error: }; fi
said=${said%%$'\n'*}
said=${said%%\\n*}
printf '%s\n' "${said%\"}" >&2
exit "$code"
