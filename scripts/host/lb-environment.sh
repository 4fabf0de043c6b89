# Variables: NAMES (array: variables of a haproxy.cfg). Prints their values, each line "KIND BASE64":
#   has NAME=VALUE     of the HAProxy that runs, or of systemd itself, which gives them to every service
#   unit TEXT          assignments of the unit, or of its environment files, which take effect at the next start
#   all                (alone) a name without a line above is not set
# What HAProxy runs with counts; the unit only where it does not run. Of files and processes only the lines of NAMES leave the host. Read-only.
# shellcheck shell=bash disable=SC2154
named() { # prints the lines of standard input that set one of NAMES
    local line name
    while IFS= read -r "$@" line || [ -n "$line" ]; do
        for name in "${NAMES[@]}"; do
            if [ "${line%%=*}" = "$name" ]; then printf '%s\0' "$line"; fi
        done
    done
}
say() { # KIND: prints the entries of standard input, which end with NUL
    local entry
    while IFS= read -r -d '' entry; do echo "$1 $(printf %s "$entry" | base64 -w0)"; done
}
main=$(systemctl show haproxy -p MainPID --value 2>/dev/null)
if [ "${main:-0}" != 0 ] && [ -r "/proc/$main/environ" ]; then
    named -d '' <"/proc/$main/environ" | say has
    echo all
elif [ "$(systemctl show haproxy -p LoadState --value 2>/dev/null)" = loaded ]; then
    systemctl show-environment | named | say has
    printf '%s\0' "$(systemctl show haproxy -p Environment --value)" | say unit
    while read -r file _; do
        if [ -r "$file" ]; then named <"$file" | say unit; fi
    done < <(systemctl show haproxy -p EnvironmentFiles --value)
    if [ -z "$(systemctl show haproxy -p PassEnvironment --value)" ]; then echo all; fi
fi
true
