# Variables: FILE. Keeps a copy of the original file, once.
# shellcheck shell=bash disable=SC2154
[ ! -e "$FILE" ] || [ -e "$FILE.before-ha-runbooks" ] || cp -p -- "$FILE" "$FILE.before-ha-runbooks"
