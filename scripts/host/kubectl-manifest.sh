# Variables: ACTION (apply, create, replace, delete, get), MANIFEST (YAML), SERVER.
# Exit 0 of "get": every object of the manifest is there. The manifest is on no command line and in no file.
# shellcheck shell=bash disable=SC2154
words=()
[ "$ACTION" != get ] || words=(-o name)
[ "$ACTION" != delete ] || words=(--ignore-not-found)
kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="$SERVER" --request-timeout=60s "$ACTION" "${words[@]}" -f - <<<"$MANIFEST"
