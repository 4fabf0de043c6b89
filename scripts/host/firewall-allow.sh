# Variables: ZONE, NOW_PORTS, NOW_RULES, KEPT_PORTS, KEPT_RULES (arrays). Adds to the zone's runtime rules (NOW) and
# permanent rules (KEPT). Never reloads firewalld: a reload drops all rules that exist at runtime only.
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
