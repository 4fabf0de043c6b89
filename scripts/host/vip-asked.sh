# Variables: VIPS (array: addresses), FAMILY (4 or 6), INTERFACE. Who has an address in this network, one "key value" a line:
#   mac MAC                 the interface's own hardware address
#   here ADDRESS            this host has it, on whatever device
#   answers ADDRESS MAC     another machine answers for it: it is asked by ARP (IPv6: neighbour discovery)
# Needs no arping: the kernel asks before it sends a packet, and says who has answered. Changes nothing but the kernel's memory of neighbours.
# shellcheck shell=bash disable=SC2154
read -r mac 2>/dev/null <"/sys/class/net/$INTERFACE/address" && echo "mac $mac"
asked() { # ADDRESS
    local word last='' state=''
    ip neighbour del "$1" dev "$INTERFACE" 2>/dev/null # what it remembers may be old
    # A machine need not answer the packet itself.
    if ! ping -n -q -c 1 -W 1 -I "$INTERFACE" "$1" >/dev/null 2>&1; then
        if ! command -v ping >/dev/null; then
            { echo >"/dev/udp/$1/9"; } 2>/dev/null # discard: https://www.rfc-editor.org/rfc/rfc863
            sleep 1
        fi
    fi
    for word in $(ip neighbour show to "$1" dev "$INTERFACE" 2>/dev/null); do
        [ "$last" != lladdr ] || state=$word
        last=$word
    done
    case $last in FAILED | INCOMPLETE) ;; *) [ -z "$state" ] || echo "answers $1 $state" ;; esac
}
for vip in "${VIPS[@]}"; do
    if [ -n "$(ip -o "-$FAMILY" address show to "$vip" 2>/dev/null)" ]; then echo "here $vip"; else asked "$vip" & fi
done
wait
