# Whether this host is a container; stands before another script. Variables: none.
# container_kind prints its kind, "none", or "unknown" where systemd does not tell.
# shellcheck shell=bash
container_kind() { # PID 1 writes that file at its start: https://systemd.io/CONTAINER_INTERFACE/
    local kind=none
    [ -d /run/systemd/system ] || kind=unknown
    [ ! -r /run/systemd/container ] || read -r kind </run/systemd/container
    echo "${kind:-unknown}"
}
