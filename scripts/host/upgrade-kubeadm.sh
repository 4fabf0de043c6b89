# Variables: ACTION (apply or node), VERSION (such as v1.36.3), WORDS (array: kubeadm's flags), END_API (URL of this host's API server, or ""), and
# those of etcd-find.sh and kubeadm-at-work.sh, which stand before this; and kubeadm-patches.sh does.
# Starts `kubeadm upgrade` as a systemd unit of its own, so that a lost connection or a killed session never stops it half way, and returns at
# once; upgrade-look.sh says how it goes on. If it runs already, nothing is done. The file "attempt" is written before the first change and
# removed when kubeadm has ended well; then "ended" says what it has done.
# The names of the folders that it leaves in /etc/kubernetes/tmp are added to "made": see upgrade-leftovers.sh.
# END_API: the API server ends by itself before etcd is restarted, so that no client waits for one without etcd. The kubelet starts it again, and
# kubeadm begins when it is ready: one that starts while etcd is away ends, and the kubelet then waits longer and longer before the next start. A
# kubelet that knows only this API server reports no static pod meanwhile, and kubeadm waits for that.
# On a control plane host the kubelet gives the old API server 30 s when its manifest is replaced. It stops listening at once, but it does not
# end while a watch is open. So it gets no more than 10 s from the moment at which it does not listen any more.
# Exit 75: kubeadm is in use by somebody else.
# shellcheck shell=bash disable=SC2154
set -eu
top=/var/lib/ha-runbooks/upgrade run=/run/ha-runbooks-upgrade unit=ha-runbooks-upgrade
# shellcheck disable=SC2016 # for the unit's own shell
job='run=$0 top=$1 what=$2 end_api=$3 api=/etc/kubernetes/manifests/kube-apiserver.yaml; shift 3
    running() { # the oldest one first
        crictl_here ps -q --state running --label io.kubernetes.container.name=kube-apiserver \
            --label io.kubernetes.pod.namespace=kube-system | tac
    }
    shorten() {
        local old=$1 container pid n
        until [ "$(stat -c %i.%Z "$api" || echo "$old")" != "$old" ]; do sleep 0.2; done
        read -r container < <(running) || return
        pid=$(crictl_here inspect "$container" | sed -n "s/.*\"pid\": *\([1-9][0-9]*\),*$/\1/p" | head -n 1)
        [ -n "$pid" ] || return
        for ((n = 0; n < 125; n++)); do # a kubelet may read its directory 20 s late
            ss -Hltnp | grep -q "pid=$pid," || break
            sleep 0.2
        done
        [ "$n" = 125 ] || crictl_here stop --timeout 10 "$container"
    } >/dev/null 2>&1
    crictl_here ps -a --label io.kubernetes.pod.namespace=kube-system 2>/dev/null | # how often each had ended before: upgrade-look.sh
        awk "{ for (i = 3; i < NF; i++) if (\$i ~ /^(Running|Exited)\$/) print \$(i + 3), \$(i + 1), \$(i + 2) }" >"$run/attempts"
    if [ -n "$end_api" ]; then # it stops listening at once; watches keep it until the time is over
        container=$(running)
        for each in $container; do crictl_here stop --timeout 10 "$each"; done
        began=$SECONDS
        while [ -n "$container" ] && ! timeout 5 kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$end_api" get --raw /readyz; do
            if ((SECONDS - began > 120)); then
                echo "the API server of this host was ended, and is not ready again after 120 s: kubeadm was not started" >"$run/log"
                if [ -e "$run/attempt" ]; then mv -f -- "$run/attempt" "$top/attempt"; else rm -f -- "$top/attempt"; fi
                echo 70 >"$run/code.new"
                mv -f -- "$run/code.new" "$run/code"
                exit
            fi
            sleep 0.3
        done
    fi >/dev/null 2>&1
    had=$(stat -c %i.%Z "$api" 2>/dev/null)
    shortened=
    if [ -n "$had" ] && command -v ss >/dev/null; then shorten "$had" & shortened=$!; fi
    ls -A /etc/kubernetes/tmp >"$run/tmp" 2>/dev/null
    "$@" >"$run/log" 2>&1 </dev/null
    code=$?
    ls -A /etc/kubernetes/tmp 2>/dev/null | grep -vxFf "$run/tmp" >>"$top/made" # upgrade-leftovers.sh
    if [ "$code" = 0 ]; then
        printf "%s\n" "$what" >"$top/ended.new"
        sync -- "$top/ended.new"
        mv -f -- "$top/ended.new" "$top/ended"
        rm -f -- "$top/attempt"
    fi
    echo "$code" >"$run/code.new"
    mv -f -- "$run/code.new" "$run/code"
    # systemd ends what is left of this unit together with this shell: crictl would not give the old API server its 10 s, but all its 30 s.
    # Where the manifest is the same, there is nothing to wait for.
    if [ -n "$shortened" ]; then
        [ "$(stat -c %i.%Z "$api" 2>/dev/null)" != "$had" ] || kill "$shortened"
        wait "$shortened" || true
    fi'
case $(systemctl show -p ActiveState --value "$unit") in active | activating | deactivating) exit 0 ;; esac
other=$(kubeadm_at_work) || true
if [ -n "$other" ]; then
    echo "another kubeadm runs here: $other" >&2
    exit 75
fi
rm -rf -- "$run"
mkdir -p "$top" "$run" # 0700: umask 077
[ ! -e "$top/attempt" ] || cp -- "$top/attempt" "$run/attempt"
printf '%s\n' "$ACTION $VERSION" >"$top/attempt.new"
sync -- "$top/attempt.new"
mv -f -- "$top/attempt.new" "$top/attempt"
rm -f -- "$top/ended"
sync -- "$top"
what=(kubeadm upgrade "$ACTION")
[ "$ACTION" = node ] || what+=("$VERSION" --yes)
patches_flag "$patches" kubeadm upgrade "$ACTION"
systemctl reset-failed "$unit" 2>/dev/null || true
systemd-run --quiet --no-block --unit="$unit" --description="${what[*]}, started by ha-runbooks" \
    --property=UMask=0077 --setenv=LC_ALL=C --setenv=HOME=/root --setenv=PATH="$PATH" \
    -- bash -c "$(declare -f crictl_here)"$'\n'"$job" "$run" "$top" "$ACTION $VERSION" "$END_API" "${what[@]}" "${patch_words[@]}" "${WORDS[@]}"
for ((i = 0; i < 50; i++)); do # until the unit is there, or has ended already
    case $(systemctl show -p ActiveState --value "$unit") in active | activating) exit 0 ;; esac
    [ ! -e "$run/code" ] || exit 0
    sleep 0.1
done
echo "systemd did not start the unit $unit" >&2
exit 75
