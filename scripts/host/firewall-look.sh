# Variables: INTERFACE, or where that is empty ADDRESS (one of this host's). Prints what firewalld lets in there, three lines: the interface's
# zone, then that zone's runtime and permanent settings (JSON of D-Bus). Prints nothing when firewalld does not run. Uses D-Bus, because
# firewall-cmd takes 20 times as long. Read-only.
# shellcheck shell=bash disable=SC2154
command -v firewall-cmd >/dev/null || exit 0
set -eu
name=org.fedoraproject.FirewallD1 top=/org/fedoraproject/FirewallD1
call() { # PATH-BELOW INTERFACE-BELOW METHOD [SIGNATURE ARGUMENT]
    busctl --json=short --auto-start=no --timeout=10 call "$name" "$top$1" "$name$2" "${@:3}"
}
text() { # {"type":"s","data":["public"]} -> public
    local rest=${1#*'"data":["'}
    REPLY=${rest%%'"'*}
}
if [ -z "$INTERFACE" ]; then
    read -r _ INTERFACE _ < <(ip -o address show to "$ADDRESS") || true
fi
said=$(call '' .zone getZoneOfInterface s "$INTERFACE" 2>&1) || {
    systemctl -q is-active firewalld || exit 0
    printf '%s\n' "$said" >&2
    exit 1
}
text "$said"
if [ -z "$REPLY" ]; then # an interface without a zone of its own is in the default zone
    said=$(call '' '' getDefaultZone)
    text "$said"
fi
zone=$REPLY
said=$(call /config .config getZoneByName s "$zone")
text "$said"
echo "$zone"
call '' .zone getZoneSettings2 s "$zone"
call "${REPLY#"$top"}" .config.zone getSettings2
