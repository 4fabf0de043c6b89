# Variables: those of etcd-find.sh, which is sent before this together with etcd-place.sh and etcd-restore-find.sh.
# Whether the etcd that this host's etcd.yaml names takes the flags that stand there, by its own word: it reads all flags before it does
# anything, and with --version it ends then. Changes nothing (it mounts etcd's image for a moment).
# Prints "image IMAGE", "flag --NAME=VALUE" for each, and "version X" with "refused --NAME=VALUE what etcd says" lines, or "unknown REASON".
# shellcheck shell=bash disable=SC2154
# shellcheck disable=SC2016
mapfile -t flags < <(sed -n 's/^ *- *\(["'\'']\{0,1\}\)\(--.*\)\1$/\2/p' "$yaml" 2>/dev/null)
image=$(sed -n 's/^ *image: *//p' "$yaml" 2>/dev/null | head -n 1)
image=${image//[\"\']/}
[ -z "$image" ] || echo "image $image"
[ "${#flags[@]}" = 0 ] || printf 'flag %s\n' "${flags[@]}"
if [ -z "$image" ] || ! command -v ctr >/dev/null; then
    echo "unknown there is no etcd.yaml, or no ctr"
    exit 0
fi
release_image
mkdir -p "$image_view"
trap release_image EXIT
if ! ctr -n k8s.io images mount "$image" "$image_view" >/dev/null 2>&1; then
    echo "unknown the image is not on this host"
    exit 0
fi
for program in "$image_view"/{usr/local/bin,usr/bin,bin,.}/etcd ''; do [ ! -f "$program" ] || [ ! -x "$program" ] || break; done
takes() { timeout 20 env -u ETCD_CONFIG_FILE "$program" "$@" --version 2>&1; }
if [ -z "$program" ] || ! said=$(takes); then
    echo "unknown the image has no etcd that runs here"
    exit 0
fi
echo "version $(sed -n 's/^etcd Version: *//p' <<<"$said")"
all=$(takes "${flags[@]}") && exit 0
one=''
for each in "${flags[@]}"; do said=$(takes "$each") || { one=$each && echo "refused $each ${said%%$'\n'*}"; }; done
[ -n "$one" ] || echo "refused ${flags[*]} ${all%%$'\n'*}" # only all of them together
