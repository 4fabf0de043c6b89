# Variables: SERVER (URL of an API server), WANTED (array of "RESOURCE REMOVED-API INSTEAD", APIs as GROUP/VERSION). Read-only.
# Prints for each "@@ RESOURCE REMOVED-API EXIT-STATUS", and a line for each object in which the removed API is named: by a manager of its fields,
# or at the beginning of what was last applied: NAMESPACE 0x1f NAME 0x1f (API TAB TIME TAB MANAGER 0x1d)... 0x1f what was last applied, cut.
# They are read as INSTEAD, or in the API server's preferred version where it does not serve that: a request of the removed one would count as its use.
# shellcheck shell=bash disable=SC2154
scratch=$(mktemp -d) || exit
trap 'trap "" TERM HUP INT; rm -rf -- "$scratch"' EXIT
ask() {
    kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=30s --cache-dir="$scratch/cache" "$@" </dev/null
}
fields='{range .metadata.managedFields[*]}{.apiVersion}{"\t"}{.time}{"\t"}{.manager}{"\x1d"}{end}'
applied='{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}'
form='{range .items[*]}{"\x1e"}{.metadata.namespace}{"\x1f"}{.metadata.name}{"\x1f"}'$fields'{"\x1f"}'$applied'{end}'
served=$(ask api-versions 2>/dev/null)
for each in "${WANTED[@]}"; do
    read -r resource removed instead <<<"$each"
    name=$resource.${removed%%/*}
    if grep -qxF -- "$instead" <<<"$served"; then name=$resource.${instead##*/}.${instead%%/*}; fi
    ask get "$name" --all-namespaces -o "jsonpath=$form" >"$scratch/said" 2>"$scratch/error"
    echo "@@ $resource $removed $?"
    tr '\n\036' ' \n' <"$scratch/said" | cut -c -4000 | grep -F -- "$removed"
    tr '\n' ' ' <"$scratch/error" | sed 's/^./! &/; s/$/\n/' | grep '^!'
done
true
