# Functions that join a member of etcd as a learner where kubeadm (before 1.29) would add it as a voter; sent before kubeadm-run.sh, which runs
# join_as_learner in the unit of kubeadm. The manifest is kubeadm's own; the list of members, the vote and the turns are as in kubeadm 1.29:
# etcd takes in one learner at a time, so hosts that join at the same time wait for each other here.
# https://etcd.io/docs/v3.5/learning/design-learner/
# etcd has its API over HTTP too: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
# shellcheck shell=bash disable=SC2034
learner_functions=(etcd_call etcd_ask etcd_until etcd_add etcd_vote etcd_members etcd_learner join_as_learner)
# etcd_call URL JSON: prints what the member answers, or why it does not. By kubectl, which every node has, where there is no curl.
etcd_call() {
    local pki=/etc/kubernetes/pki/etcd
    local crt=$pki/healthcheck-client.crt key=$pki/healthcheck-client.key
    if command -v curl >/dev/null; then
        curl -q -sS -g --noproxy '*' -A ha-runbooks --connect-timeout 2 -m 15 --cacert "$pki/ca.crt" --cert "$crt" --key "$key" -d "$2" "$1" 2>&1
    else
        printf %s "$2" | NO_PROXY='*' kubectl --kubeconfig=/dev/null --server="${1%%/v3/*}" --certificate-authority="$pki/ca.crt" \
            --client-certificate="$crt" --client-key="$key" --request-timeout=15s create --raw "/v3/${1#*/v3/}" -f - 2>&1
    fi
}
# etcd_ask WHAT JSON PEER...: asks the members with these client URLs one after the other, and prints the first answer; of refusals only, one of
# etcd's own if there is one, and returns 1.
etcd_ask() {
    local what=$1 body=$2 each said refusal=''
    shift 2
    for each; do
        said=$(etcd_call "$each/v3/cluster/member/$what" "$body") || true
        [[ $said != '{"header":'* ]] || { printf '%s\n' "$said" && return; }
        if [[ $said =~ \"(error|message)\":\"([^\"]*)\" ]]; then refusal=${BASH_REMATCH[2]}; else refusal=${refusal:-$said}; fi
    done
    printf '%s\n' "$refusal"
    return 1
}
# etcd_until SECONDS TEXT COMMAND...: calls COMMAND, which leaves why not in said, until it succeeds.
etcd_until() {
    local begun=$SECONDS most=$1 text=$2
    shift 2
    until "$@"; do
        ((SECONDS - begun < most)) || { echo "error: $text: $said" && return 1; }
        if ((SECONDS - begun < 15)); then sleep 0.2; else sleep 1; fi
    done
}
# etcd_add URL PEER...: said is the list of members, with one that has this peer URL.
etcd_add() {
    local url=$1
    shift
    said=$(etcd_ask list '{"linearizable":true}' "$@") || return
    [[ $said != *"\"$url\""* ]] || return 0
    said=$(etcd_ask add "{\"peerURLs\":[\"$url\"],\"isLearner\":true}" "$@")
}
# etcd_vote ID PEER...: etcd refuses until the learner has caught up. A vote whose answer was lost is there already.
etcd_vote() {
    local id=$1 refusal
    shift
    said=$(etcd_ask promote "{\"ID\":\"$id\"}" "$@") && return
    refusal=$said
    said=$(etcd_ask list '{"linearizable":true}' "$@" | grep -o '{[^{}]*}' | grep -F "\"ID\":\"$id\"")
    [[ $said == '{'* && $said != *'"isLearner":true'* ]] && return
    said=$refusal
    return 1
}
# etcd_members NAME URL LIST: sets id of the member with this peer URL, and members as etcd's --initial-cluster takes them. One that never started
# has no name; only this one is known.
etcd_members() {
    local each name url urls
    id='' members=''
    while IFS= read -r each; do
        [[ $each =~ \"ID\":\"([0-9]+)\" ]] || continue
        name=${BASH_REMATCH[1]}
        [[ $each != *"\"$2\""* ]] || id=$name
        ! [[ $each =~ \"name\":\"([^\"]+)\" ]] || name=${BASH_REMATCH[1]}
        [[ $each != *"\"$2\""* ]] || name=$1
        [[ $each =~ \"peerURLs\":\[((\"[^\"]*\",?\ ?)*)\] ]] || continue
        IFS=', ' read -ra urls <<<"${BASH_REMATCH[1]//\"/}"
        for url in "${urls[@]}"; do members+=${members:+,}$name=$url; done
    done < <(grep -o '{[^{}]*}' <<<"${3#*\"members\":\[}")
    [ -n "$id" ] || { echo "error: etcd's list of members cannot be understood: $3" && return 1; }
}
# etcd_learner CONFIG PATCHES NAME URL PEER...: CONFIG is one for phases of `kubeadm init`, with @MEMBERS@ as etcd's --initial-cluster.
etcd_learner() {
    local config=$1 patches=$2 name=$3 url=$4 said id members
    shift 4
    etcd_until 300 "etcd did not take in $name" etcd_add "$url" "$@" || return
    etcd_members "$name" "$url" "$said" || return
    echo "[etcd] $name is a learner of etcd: $members"
    said=$(<"$config")
    printf '%s\n' "${said//@MEMBERS@/$members}" >"$config"
    # shellcheck disable=SC2086 # no word, or one
    kubeadm init phase etcd local --config="$config" $patches || return
    etcd_until 300 "etcd gave $name no vote" etcd_vote "$id" "$@"
}
# join_as_learner CONFIG PHASES_CONFIG PATCHES NAME URL PEERS WORD...: a whole join. The manifests of the API server, the controller manager and the
# scheduler come last: until etcd serves they would only end and start again, and take the processor that etcd waits for. The phase of init writes
# the same ones as that of join, without 5 s of sleep before kubeadm looks for the cluster again.
join_as_learner() {
    local config=$1 phases_config=$2 patches=$3 name=$4 url=$5 peers=$6
    shift 6
    # shellcheck disable=SC2086
    kubeadm join --config="$config" --skip-phases=control-plane-prepare/control-plane,control-plane-join/etcd $patches "$@" || return
    # shellcheck disable=SC2086
    etcd_learner "$phases_config" "$patches" "$name" "$url" $peers || return
    # shellcheck disable=SC2086
    kubeadm init phase control-plane all --config="$phases_config" $patches
}
