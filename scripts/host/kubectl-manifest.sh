# Variables: ACTION (apply, create, replace, delete, diff, get, list), MANIFEST (YAML), SERVER.
# Exit 0 of "get": every object of the manifest is there; of "diff": they are as the manifest says (1: they are not, its output is thrown
# away); "list" prints those that are there. The manifest is on no command line and in no file.
# shellcheck shell=bash disable=SC2154
words=() verb=$ACTION
case $ACTION in
get) words=(-o name) ;;
list) verb=get words=(-o name --ignore-not-found) ;;
delete) words=(--ignore-not-found) ;;
diff) exec >/dev/null ;; # kubectl's own diff may show what a Secret holds
esac
kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=60s "$verb" "${words[@]}" -f - <<<"$MANIFEST"
