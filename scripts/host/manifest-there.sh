# Variables: SERVER (URL of an API server), RESOURCES (array: the path of every object of a manifest; empty: not known). Needs api-ask.sh before
# it, and kubectl-manifest.sh after it, which asks for what may be missing. Ends with exit status 0 when all of them are there. Read-only.
# shellcheck shell=bash disable=SC2154
if [ "${#RESOURCES[@]}" -gt 0 ] && scratch=$(mktemp -d); then
    several "$SERVER" 10 "$scratch" "${RESOURCES[@]}"
    rm -rf -- "$scratch"
    [ "${#got[@]}" -lt "${#RESOURCES[@]}" ] || exit 0
fi
