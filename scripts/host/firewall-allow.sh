# Variables: ZONE, NOW_PORTS, NOW_RULES, KEPT_PORTS, KEPT_RULES (arrays). Adds to what firewalld's zone lets in, now and (KEPT)
# after a restart. Never reloads: that would also drop whatever somebody has changed for the time being only.
# shellcheck shell=bash disable=SC2154
set -eu
allow() { # --permanent or nothing, the kind, its values
    local when=$1 kind=$2
    shift 2
    [ $# -eq 0 ] || firewall-cmd -q ${when:+"$when"} --zone="$ZONE" "${@/#/--add-$kind=}" >&2
}
allow '' port "${NOW_PORTS[@]}"
allow '' rich-rule "${NOW_RULES[@]}"
allow --permanent port "${KEPT_PORTS[@]}"
allow --permanent rich-rule "${KEPT_RULES[@]}"
