# Variables: ACTION (init, join, etcd for only etcd's part of a join, or wait for the one under way), CONFIG (kubeadm's
# configuration: holds secrets), DISCOVERY (the kubeconfig that a host which joins finds the cluster with, or ""), WORDS (array), CGROUP_V1 ("yes": this
# kubeadm refuses cgroup v1, and the kubelet accepts it, since the site says failCgroupV1: false; else ""), DATA (the directory for etcd's data), and
# of a member of etcd that kubeadm would add as a voter: MEMBER (its name, else ""), PEER_URL, PHASES_CONFIG, and PEERS (array: client URLs of the others),
# as etcd-learner.sh takes them. cgroup.sh, kubeadm-patches.sh and etcd-learner.sh stand before this.
# Runs kubeadm as a systemd unit of its own, so that a lost connection or a killed session never stops it half way: an etcd member
# that was added and never starts can cost a new cluster its quorum. If kubeadm still runs, this script waits for it.
# The file "attempt" is written before the first change and removed after the last one.
# shellcheck shell=bash disable=SC2154
set -eu
top=/var/lib/ha-runbooks/kubeadm
run=/run/ha-runbooks-kubeadm # in memory, private: umask 077
unit=ha-runbooks-kubeadm
# shellcheck disable=SC2016 # for the unit's own shell
job='run=$0 attempt=$1; shift
    "$@" >"$run/log" 2>&1 </dev/null
    code=$?
    rm -f -- "$run/config.yaml"
    if [ "$code" = 0 ]; then rm -rf -- "$run"; rm -f -- "$attempt"; else echo "$code" >"$run/code.new"; mv -f -- "$run/code.new" "$run/code"; fi'
# shellcheck disable=SC2016
join_etcd='config=$1 patches=$2; shift 2
    for phase; do kubeadm join phase $phase --config="$config" $patches || exit; done
    [ -e /etc/kubernetes/manifests/etcd.yaml ] && exit
    echo "error: kubeadm wrote no etcd.yaml. With the feature gate ControlPlaneKubeletLocalMode kubeadm 1.31 and 1.32 cannot join etcd alone: replace the host (inv recover.node)"
    exit 1'
active() { case $(systemctl show -p ActiveState --value "$unit") in active | activating | deactivating) ;; *) return 1 ;; esac }
etcd_phases() { # fills phases: 1.33 and 1.34 have both, and the cluster's gate ControlPlaneKubeletLocalMode lets one of them do nothing
    local phase
    for phase in etcd-join 'control-plane-join etcd'; do
        # shellcheck disable=SC2086 # two words
        case $(kubeadm join phase $phase --help 2>/dev/null </dev/null) in *"join phase $phase ["*) phases+=("$phase") ;; esac
    done
    [ "${#phases[@]}" -gt 0 ] || {
        echo "this kubeadm has no phase that joins etcd" >&2
        exit 1
    }
}
start() {
    local names phases=() what
    if [ "$ACTION" = etcd ]; then
        [ "$MEMBER" ] || etcd_phases
    elif [ -e /etc/kubernetes/kubelet.conf ] && [ ! -e "$top/attempt" ]; then
        echo "this host is a node already" >&2
        exit 1
    fi
    # A disk of etcd's own has lost+found, and recover sets old data aside on it. etcd does not mind; kubeadm wants no files at all.
    case $ACTION in
    init | join)
        names=$(ls -A -- "$DATA" 2>/dev/null || true)
        if [ -n "$names" ] && ! grep -qvx 'lost+found\|aside-.*' <<<"$names"; then
            WORDS+=("--ignore-preflight-errors=DirAvailable-${DATA//\//-}")
        fi
        # kubeadm looks only at the kubelet's version, not at its configuration. The rest of this check is in our own preflight.
        if [ "$CGROUP_V1" = yes ] && [ "$(cgroup_version)" = v1 ]; then WORDS+=(--ignore-preflight-errors=SystemVerification); fi
        ;;
    esac
    # A kubelet that starts without this directory looks for it again after 20 s only.
    [ ! "$MEMBER" ] || install -d -m 0700 /etc/kubernetes/manifests
    systemctl reset-failed "$unit" 2>/dev/null || true
    rm -rf -- "$run"
    mkdir -p "$top" "$run"
    printf '%s\n' "$ACTION" >"$top/attempt.new"
    sync -- "$top/attempt.new"
    mv -f -- "$top/attempt.new" "$top/attempt"
    sync -- "$top"
    printf %s "$CONFIG" >"$run/config.yaml"
    [ -z "$DISCOVERY" ] || printf %s "$DISCOVERY" >"$run/discovery.conf"
    patches_config "$patches" "$run/config.yaml"
    what=(kubeadm "$ACTION" --config="$run/config.yaml" "${patch_words[@]}" "${WORDS[@]}")
    [ "$ACTION" != etcd ] || what=(bash -c "$join_etcd" join-etcd "$run/config.yaml" "${patch_words[*]}" "${phases[@]}")
    if [ "$MEMBER" ]; then
        printf %s "$PHASES_CONFIG" >"$run/phases.yaml"
        patches_config "$patches" "$run/phases.yaml"
        { declare -f "${learner_functions[@]}" && echo '"$@"'; } >"$run/learner" # a file: systemd would expand ${} in an argument
        what=("$run/phases.yaml" "${patch_words[*]}" "$MEMBER" "$PEER_URL")
        if [ "$ACTION" = etcd ]; then what=(etcd_learner "${what[@]}" "${PEERS[@]}"); else
            what=(join_as_learner "$run/config.yaml" "${what[@]}" "${PEERS[*]}" "${WORDS[@]}")
        fi
        what=(bash "$run/learner" "${what[@]}")
    fi
    systemd-run --quiet --no-block --unit="$unit" --description="kubeadm $ACTION, started by ha-runbooks" \
        --property=UMask=0077 --setenv=LC_ALL=C --setenv=HOME=/root --setenv=PATH="$PATH" \
        -- bash -c "$job" "$run" "$top/attempt" "${what[@]}"
}
if ! active && [ "$ACTION" != wait ]; then start; fi
for ((i = 0; ; i++)); do # files are checked without a process; the unit is checked once a second
    [ ! -e "$run/code" ] || break
    [ -e "$top/attempt" ] || exit 0
    ((i % 10)) || active || [ -e "$run/code" ] || [ ! -e "$top/attempt" ] || {
        echo "kubeadm was ended from outside" >&2
        exit 75
    }
    sleep 0.1
done
code=$(<"$run/code")
# Mask tokens and keys, which kubeadm prints in its advice; they have a fixed form.
grep -v '^\[WARNING\|^W[0-9]\|^I[0-9]' "$run/log" | tail -n 25 |
    sed -E 's/[a-z0-9]{6}\.[a-z0-9]{16}/***/g; s/(certificate-key )[0-9a-f]+/\1***/' >&2
# If kubeadm's own preflight failed, nothing was changed.
if grep -q 'execution phase preflight' "$run/log"; then rm -f -- "$top/attempt"; fi
# A join that passed kubeadm's preflight and then failed may succeed when it is tried again.
[ "$ACTION" = init ] || grep -q 'execution phase preflight\|timed out waiting\|wrote no etcd.yaml\|^error: etcd ' "$run/log" || code=75
rm -rf -- "$run"
exit "$code"
