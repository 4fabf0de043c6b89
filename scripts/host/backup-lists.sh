# Variables: LISTS (array: "name path" of what the API server lists), and those of backup-work.sh and api-get.sh, which stand before
# this. Sends each list, page after page (below BASE), each page a gzip member of its own. A list that outlives what etcd still remembers
# (410 Gone) begins anew.
# shellcheck shell=bash disable=SC2154
list_all() {
    local round=("${LISTS[@]}") next each name path page more token
    declare -A again=()
    mkdir "$work/lists"
    while [ "${#round[@]}" -gt 0 ]; do
        next=()
        for each in "${round[@]}"; do printf '%s %s\n' "$work/page.${each%% *}" "${each#* }"; done | get_all 2>"$work/unlisted"
        for each in "${round[@]}"; do
            name=${each%% *} path=${each#* } page=$work/page.${each%% *}
            if [ ! -s "$page" ]; then
                again[$name]=$((${again[$name]:-0} + 1))
                rm -f -- "$work/lists/$name"
                if [ "${again[$name]}" -le 3 ]; then next+=("$name ${path%&continue=*}"); else
                    missing "resources/$name" "the API server did not list it: $(tail -n 1 "$work/unlisted")"
                fi
                continue
            fi
            more=$( (head -c 2000 "$page" | grep -o '^{"kind":"[^"]*","apiVersion":"[^"]*","metadata":{[^{}]*}' ||
                tail -c 2000 "$page" | grep -o '"metadata":{[^{}]*}}[[:space:]]*$') | grep -o '"continue":"[^"]*"')
            quietly gzip -c <"$page" >>"$work/lists/$name" || {
                missing "resources/$name" "no space left on the device of $BASE"
                rm -f -- "$work/lists/$name"
                more=''
            }
            rm -f -- "$page"
            token=${more#*:\"}
            [ -z "$more" ] || next+=("$name ${path%&continue=*}&continue=${token%\"}")
        done
        round=("${next[@]}")
    done
}
take_lists() {
    local began name
    began=$(now)
    list_all
    for name in "$work/lists"/*; do [ ! -e "$name" ] || send "resources/${name##*/}" "$name"; done
    echo "$work/kubeadm-config /api/v1/namespaces/kube-system/configmaps/kubeadm-config" | get_all 2>"$work/said"
    if [ -s "$work/kubeadm-config" ]; then send kubeadm-config "$work/kubeadm-config"; else missing kubeadm-config "$(words "$work/said")"; fi
    fact lists_ms $(($(now) - began))
}
take_lists
ended
