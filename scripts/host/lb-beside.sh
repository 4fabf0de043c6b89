# Variables: PATHS (array: files and directories that haproxy is started with). Prints each file that it reads there, a line "PATH BASE64":
# of a directory those whose names end with .cfg, as haproxy does (its manual: -f). Read-only.
# shellcheck shell=bash disable=SC2154
LC_ALL=C # the order of haproxy
for path in "${PATHS[@]}"; do
    if [ -d "$path" ]; then found=("${path%/}"/*.cfg); else found=("$path"); fi
    for each in "${found[@]}"; do
        [ ! -f "$each" ] || echo "$each $(base64 -w0 <"$each")"
    done
done
