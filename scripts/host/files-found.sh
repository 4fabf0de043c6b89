# Variables: PATHS (array), TOP (a directory that is put before each path, or empty). Prints three lines about the files that exist:
# their paths (each with a final NUL, all in base64), "mode owner bytes;" of each, and their contents joined (in base64). Prints
# nothing when none exists. A symbolic link counts as missing: it is not a file that we write. Starts few processes, because it runs
# often.
# shellcheck shell=bash disable=SC2154
found=()
for path in "${PATHS[@]}"; do
    if [ -f "$TOP$path" ] && [ ! -L "$TOP$path" ]; then found+=("$path"); fi
done
[ "${#found[@]}" -gt 0 ] || exit 0
printf '%s\0' "${found[@]}" | base64 -w0
echo
stat --printf '%a %U:%G %s;' -- "${found[@]/#/$TOP}"
echo
cat -- "${found[@]/#/$TOP}" | base64 -w0
echo
