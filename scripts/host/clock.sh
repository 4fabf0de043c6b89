# Prints this host's time, in seconds since 1970.
# shellcheck shell=bash
date +%s.%N
