# Prints this host's time, in seconds since 1970. bash before 5 has no EPOCHREALTIME: there a program is started for it.
# shellcheck shell=bash
echo "${EPOCHREALTIME:-$(date +%s.%N)}"
