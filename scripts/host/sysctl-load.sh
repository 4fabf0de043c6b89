# Variables: FILE. Makes the kernel follow a sysctl file now (at boot it does so by itself).
# shellcheck shell=bash disable=SC2154
exec sysctl -q -p "$FILE"
