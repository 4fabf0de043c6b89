# Variables: PATHS (array), TOP (a directory that stands before each path, or empty). What there is of them, in three lines:
# their paths (each ended by a NUL, all in base64), "mode owner bytes;" of each, their contents one after the other (in base64).
# Nothing when there is none. A symbolic link counts as nothing: it is not the file that we would put there. Few processes: it
# is part of every look.
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
