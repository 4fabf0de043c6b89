# Functions: all that containerd makes of its configuration, without passwords. Variables: none. Read-only.
#   containerd_all [FILE]   prints `config dump` (of FILE) as TOML
# shellcheck shell=bash
containerd_all() {
    GOGC=off timeout 10 containerd ${1:+-c "$1"} config dump 2>/dev/null | without_passwords
}
without_passwords() {
    sed -E 's/^( *[A-Za-z_."-]*(password|token|secret|auth)[A-Za-z_"]* *= *).*$/\1"***"/I'
}
