# Variables: ACTION (run or look), ARGS (array: etcdctl's arguments; run only), and those of etcd-find.sh, which is sent before this.
# Runs the etcdctl of the running etcd container (it has the server's version; the image has no shell), or the host's own etcdctl when
# etcd runs as a service; what a member that is well says of itself, curl asks for. look: prints the member's status, its member list, and
# whether it can read with a quorum; each part ends with a line "@@ part exit-status".
# Exit status 69: etcd does not run here, or there is no etcdctl. Exit status 75: try again (an election, no answer in time).
# shellcheck shell=bash disable=SC2154
limit=3s
[ "$ACTION" = look ] || limit=10s
# etcd has its API over HTTP too: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/. One curl takes a sixth of the processor time of three
# etcdctl with the crictl that finds them. Of anything but a full answer etcdctl tells more, so it is asked then.
by_curl() { # PART...: prints each answer with the line that ends it; fails when any of them did not come
    local ENDPOINT=$ENDPOINT CA=$CA CERT=$CERT KEY=$KEY flags=() words=() each path body said expected=''
    command -v curl >/dev/null || return
    reach_etcd
    for each; do
        case $each in
        status) path=maintenance/status body={} ;;
        members) path=cluster/member/list body='{"linearizable":true}' ;;
        health) path=kv/range body='{"key":"aGVhbHRo"}' ;; # of the key "health", as etcdctl does
        esac
        [ "${#words[@]}" = 0 ] || words+=(--next)
        words+=(-f -g --noproxy '*' -A ha-runbooks -m 2 -w "\n@@ $each 0\n" -d "$body")
        [[ $ENDPOINT != https:* ]] || words+=(--cacert "$CA" --cert "$CERT" --key "$KEY")
        words+=("$ENDPOINT/v3/$path")
        expected+='{"header":*}'$'\n'"@@ $each 0"$'\n'
    done
    # -q: nobody's .curlrc. The first failure ends it: a member without a quorum would let each wait.
    said=$(curl -q -sS --fail-early "${words[@]}" 2>/dev/null) || return
    # shellcheck disable=SC2053 # a pattern
    [[ $said$'\n' == $expected ]] && printf '%s\n' "$said"
}
if [ "$ACTION" = look ]; then by_curl status members health && exit; fi
if [ "${ARGS[*]}" = 'member list -w json' ]; then by_curl members && exit; fi
find_etcd || exit
for word in "${ARGS[@]}"; do case $word in --command-timeout=*) limit='' ;; esac done
[ -z "$limit" ] || flags+=(--command-timeout="$limit")
own='' # the container's etcdctl as the host sees it: run from here, it costs a third of what `crictl exec` does
for pid in $([ -z "$container" ] || grep -lsx etcd /proc/[0-9]*/comm); do
    pid=${pid#/proc/} pid=${pid%/comm}
    if [[ $(<"/proc/$pid/cgroup") == *"$container"* ]] && own=$(readlink "/proc/$pid/exe"); then own=/proc/$pid/root${own%/*}/etcdctl; fi
done
# One that needs libraries may miss them here.
[ ! -x "$own" ] || ! head -c 4096 "$own" | grep -qa '/ld-' || own=''
call() {
    local code
    if [ -x "$own" ]; then
        "$own" "${flags[@]}" "$@"
        code=$?
        case $code in 126 | 127) ;; *) return "$code" ;; esac # not allowed here, or its container has just ended
    fi
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
    # All three at the same time: without a quorum two of them wait until their time limit.
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
# crictl prints all of etcdctl's output, with \n and \" in it, on one line.
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
