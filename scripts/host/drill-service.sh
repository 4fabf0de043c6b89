# The fault "services are stopped", for the drill-*.sh after it. Variables: UNITS (array).
# Every fault defines: ready (it can be injected here; says why not), inject, there (whether it is there), undo (safe to run again).
# shellcheck shell=bash disable=SC2154
ready() {
    local unit
    for unit in "${UNITS[@]}"; do
        systemctl -q is-active "$unit" || {
            echo "$unit does not run here" >&2
            return 1
        }
    done
}
inject() { systemctl stop "${UNITS[@]}"; }
there() {
    local unit
    for unit in "${UNITS[@]}"; do systemctl -q is-active "$unit" || return 0; done
    return 1
}
undo() { systemctl start "${UNITS[@]}"; }
