# Variables: SERVER (URL of an API server), RESOURCE (path of its API). Needs api-ask.sh before it.
# Prints the JSON at that path. Exit status 1, and the reason on standard error, when it is not told. Read-only.
# shellcheck shell=bash disable=SC2154
said=$(api get "$SERVER" 13 "$RESOURCE") || {
    printf '%s\n' "$said" >&2
    exit 1
}
printf '%s\n' "$said"
