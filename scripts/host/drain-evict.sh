# Variables: SERVER (URL of an API server), PATHS (array: API paths of Pods), IDS (array: their uid), OBJECTS (array: an Eviction as JSON
# for each), LIMIT (seconds for all). Evicts these Pods at the same time, as the budgets allow, and waits until each is gone. One line
# for each: "PATH gone", or "PATH blocked|terminating|failed ANSWER". A Pod of the same name with another uid is never touched.
# shellcheck shell=bash disable=SC2154
ask() { kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=35s "$@" 2>&1; }
told() { # NUMBER STATE ANSWER
    printf '%s %s %s\n' "${PATHS[$1]}" "$2" "${3//$'\n'/ }"
}
evict() { # NUMBER
    local said
    until said=$(ask create --raw "${PATHS[$1]}/eviction" -f - <<<"${OBJECTS[$1]}"); do
        case $said in
        *'(NotFound)'* | *'(Conflict)'*'UID in '*) told "$1" gone && return ;;
        *'(TooManyRequests)'*) ((SECONDS < LIMIT)) || { told "$1" blocked "$said" && return; } ;;
        *'more than one PodDisruptionBudget'* | *'(Forbidden)'* | *'(BadRequest)'* | *'(Invalid)'*) told "$1" failed "$said" && return ;;
        *) ((SECONDS < LIMIT)) || { told "$1" failed "$said" && return; } ;; # no answer: the API server may be back soon
        esac
        sleep 2
    done
    # The same name with another uid is its successor. No answer is no proof.
    until said=$(ask get --raw "${PATHS[$1]}" </dev/null) && [[ $said != *"${IDS[$1]}"* ]]; do
        [[ $said != *'(NotFound)'* ]] || break
        ((SECONDS < LIMIT)) || { told "$1" terminating && return; }
        sleep 1
    done
    told "$1" gone
}
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
for number in "${!PATHS[@]}"; do evict "$number" >"$scratch/$number" & done
wait
cat "$scratch"/*
