# Variables: PATHS (array), TOP (a directory that is put before each path, or empty). Prints three lines about the files that exist:
# their paths (each with a final NUL, all in base64), "mode owner bytes;" of each, and their contents joined (in base64). Prints
# nothing when none exists. A symbolic link, also one that leads nowhere, has the mode "link", and as its content what it leads to: nothing is
# read through it. Starts few processes, because it runs often.
# shellcheck shell=bash disable=SC2154
found=() links=()
for path in "${PATHS[@]}"; do
    if [ -L "$TOP$path" ]; then
        links+=("$path")
    elif [ -f "$TOP$path" ]; then
        found+=("$path")
    fi
done
[ "$((${#found[@]} + ${#links[@]}))" -gt 0 ] || exit 0
printf '%s\0' ${found[@]+"${found[@]}"} ${links[@]+"${links[@]}"} | base64 -w0
echo
[ "${#found[@]}" = 0 ] || stat --printf '%a %U:%G %s;' -- "${found[@]/#/$TOP}"
[ "${#links[@]}" = 0 ] || stat --printf 'link %U:%G %s;' -- "${links[@]/#/$TOP}"
echo
{
    [ "${#found[@]}" = 0 ] || cat -- "${found[@]/#/$TOP}"
    for path in ${links[@]+"${links[@]}"}; do readlink -n -- "$TOP$path"; done
} | base64 -w0
echo
