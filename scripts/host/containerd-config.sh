# Variables: none. Prints `containerd config dump`: what is in force, in the format of that containerd, without passwords. Read-only.
# shellcheck shell=bash
GOGC=off timeout 10 containerd config dump | sed -E 's/^( *[A-Za-z_."-]*(password|token|secret|auth)[A-Za-z_"]* *= *).*$/\1"***"/I'
