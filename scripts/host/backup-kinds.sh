# Variables: those of api-get.sh, which precedes this script.
# Prints one JSON document per line: the version of the API server, its groups, and the discovery document of every version of every
# group. A version that does not answer (an aggregated API whose server is down) is a line "@! version". Leaves nothing behind.
# shellcheck shell=bash disable=SC2154
work=''
clean() {
    trap '' TERM HUP INT
    [ -z "$work" ] || rm -rf -- "$work"
}
trap clean EXIT
trap 'clean; exit 143' TERM HUP INT
work=$(mktemp -d) || exit
show() { tr -d '\n' <"$work/$1" && echo; }
printf '%s\n' "$work/version /version" "$work/apis /apis" "$work/v1 /api/v1" | get_all 2>"$work/unread"
for each in version apis v1; do
    [ -s "$work/$each" ] && show "$each" && continue
    refusal "$work/$each" "$work/unread" >&2
    exit 1
done
mapfile -t versions < <(grep -o '"groupVersion": *"[^"]*"' "$work/apis" | cut -d'"' -f4 | sort -u)
for version in "${versions[@]}"; do echo "$work/${version//\//_} /apis/$version"; done | get_all 2>/dev/null
for version in "${versions[@]}"; do
    if [ -s "$work/${version//\//_}" ]; then show "${version//\//_}"; else echo "@! $version"; fi
done
