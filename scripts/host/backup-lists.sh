# Variables: LISTS (array: "name path" of each list to save), and those of backup-work.sh and api-get.sh, which precede this script.
# Collects each list page by page (below BASE), each page a gzip member of its own, and sends it. A list whose revision etcd has
# compacted meanwhile (410 Gone) starts again from its first page, up to three times.
# shellcheck shell=bash disable=SC2154
typed='^\{"kind":"[^"]*","apiVersion":"[^"]*","metadata":\{([^{}]*)\}'
custom='"metadata":\{([^{}]*)\}\}[[:space:]]*$' # lists of custom resources have the metadata after the items
further='"continue":"([^"]+)"'
token_of() { # PAGE: sets token to the continue token of the next page, or to ""
    local some
    token=''
    IFS= read -r -N 2000 some <"$1"
    if ! [[ $some =~ $typed ]]; then
        some=$(tail -c 2000 "$1")
        [[ $some =~ $custom ]] || return
    fi
    some=${BASH_REMATCH[1]}
    ! [[ $some =~ $further ]] || token=${BASH_REMATCH[1]}
}
list_all() {
    local round=("${LISTS[@]}") next each name path page token
    declare -A again=()
    mkdir "$work/lists"
    while [ "${#round[@]}" -gt 0 ]; do
        next=()
        for each in "${round[@]}"; do echo "$work/page.${each%% *} ${each#* }"; done | get_all 2>"$work/unlisted"
        for each in "${round[@]}"; do
            name=${each%% *} path=${each#* } page=$work/page.${each%% *}
            if [ ! -s "$page" ]; then
                again[$name]=$((${again[$name]:-0} + 1))
                rm -f -- "$work/lists/$name"
                if [ "${again[$name]}" -le 3 ]; then next+=("$name ${path%&continue=*}"); else
                    missing "resources/$name" "$(refusal "$page" "$work/unlisted")"
                fi
                continue
            fi
            token_of "$page"
            if ! gzip -c <"$page" >>"$work/lists/$name"; then
                missing "resources/$name" "no space left on the device of $BASE"
                rm -f -- "$work/lists/$name"
                token=''
            fi
            [ -z "$token" ] || next+=("$name ${path%&continue=*}&continue=$token")
        done
        rm -f -- "$work"/page.*
        round=("${next[@]}")
    done
}
take_lists() {
    local name sum
    politely
    list_all
    if cd "$work/lists" && [ -n "$(ls)" ]; then
        while read -r sum name; do send "resources/$name" "$name" "$sum"; done < <(sha256sum -- *)
    fi
    echo "$work/kubeadm-config /api/v1/namespaces/kube-system/configmaps/kubeadm-config" | get_all 2>"$work/said"
    if [ -s "$work/kubeadm-config" ]; then send kubeadm-config "$work/kubeadm-config"; else missing kubeadm-config "$(refusal "$work/kubeadm-config" "$work/said")"; fi
}
take_lists
ended
