# Variables: VIP, FAMILY (4 or 6), INTERFACE, ADDRESS (this host's own), PEERS (array: the other LBs' addresses), SAMPLE (seconds),
# VIPS (array: NAME ADDRESS INSTANCE of each VIP beside the one of the API).
# Prints what decides where the VIP is, one "key value" a line: links, addresses, masked and stopped services, full disks, the VRRP
# adverts that keepalived counted and the machines that answer for the VIP during SAMPLE (0: neither), and the packet filter (nftables'
# JSON in base64). Read-only.
# shellcheck shell=bash disable=SC2154
link=/sys/class/net/$INTERFACE
if [ -e "$link" ]; then
    echo "link $(<"$link/operstate")"
    echo "mac $(<"$link/address")"
else echo "link missing"; fi
[ -z "$(ip -o "-$FAMILY" address show dev "$INTERFACE" to "$ADDRESS" 2>/dev/null)" ] || echo "address yes"
while read -r _ device _; do echo "vip_on ${device%%@*}"; done < <(ip -o "-$FAMILY" address show to "$VIP")
for each in "${VIPS[@]}"; do
    read -r name other _ <<<"$each"
    while read -r _ device _; do echo "other_on $name ${device%%@*}"; done < <(ip -o "-$FAMILY" address show to "$other")
done
for unit in haproxy keepalived; do
    state=$(systemctl is-enabled "$unit" 2>/dev/null)
    [[ $state != masked* ]] || echo "masked $unit"
    systemctl -q is-active "$unit" || echo "said $unit $(journalctl -q -u "$unit" -n 1 -o cat --no-pager 2>/dev/null)"
done
for path in / /etc /run /tmp /var /var/log; do
    read -r free inodes < <(df --output=avail,iavail -- "$path" 2>/dev/null | tail -n 1)
    # A file system without a fixed number of inodes shows "-", or 0 of 0.
    if [ "${free:-1}" = 0 ]; then echo "full $path"; elif [ "$inodes" = 0 ] && [ "$(df --output=itotal -- "$path" | tail -n 1)" != 0 ]; then echo "full $path"; fi
done

# keepalived writes its counters to a file when it gets SIGUSR2, and its data when it gets SIGUSR1: keepalived(8).
asked() { # SIGNAL NAME: prints that file, and deletes it
    local pid place file
    read -r pid 2>/dev/null </run/keepalived.pid && [ -d "/proc/$pid/root" ] || return
    for place in /tmp /run/keepalived /run; do
        file=/proc/$pid/root$place/$2
        if [ -f "$file" ] && [ ! -L "$file" ]; then rm -f -- "$file"; fi
    done
    kill "-$1" "$pid" || return
    for _ in {1..40}; do
        sleep 0.05 # keepalived may still be writing
        for place in /tmp /run/keepalived /run; do
            file=/proc/$pid/root$place/$2
            [ ! -s "$file" ] || break 2
        done
    done
    sleep 0.05
    cat -- "$file" 2>/dev/null
    for place in /tmp /run/keepalived /run; do rm -f -- "/proc/$pid/root$place/$2" "/proc/$pid/root$place/keepalived_parent.data"; done
}
counted() { # WHEN: prints "counters WHEN RECEIVED SENT ERRORS"
    local key value section received=0 sent=0 errors=0 any=''
    while IFS=':' read -r key value; do
        key=${key#"${key%%[! ]*}"} value=${value// /} any=yes
        case $key in
        Received) [ "$section" != Advertisements ] || received=$((received + value)) ;;
        Sent) [ "$section" != Advertisements ] || sent=$((sent + value)) ;;
        *) if [ -z "$value" ]; then section=$key; elif [[ $section == *Errors ]]; then errors=$((errors + value)); fi ;;
        esac
    done < <(asked USR2 keepalived.stats)
    [ -z "$any" ] || echo "counters $1 $received $sent $errors"
}
neighbours() { # ADDRESS PREFIX: prints every hardware address that answers for a VIP, each after the prefix
    if [ "$FAMILY" = 4 ] && command -v arping >/dev/null; then
        timeout "$((SAMPLE + 1))" arping -c 2 -w "$SAMPLE" -I "$INTERFACE" "$1" 2>/dev/null |
            grep -oiE '([0-9a-f]{2}:){5}[0-9a-f]{2}' | sort -u | sed "s/^/$2 /"
    fi
}
arriving() { # PEER: prints how many of its adverts reach the interface, before any filter
    local number
    command -v tcpdump >/dev/null || return
    number=$(timeout "$SAMPLE" tcpdump -nlp -Q in -i "$INTERFACE" "ip proto 112 and src host $1 or ip6 proto 112 and src host $1" 2>/dev/null | grep -c IP)
    echo "arriving $1 $number"
}
# "vrrp STATE" of the first instance, which is that of the API's VIP, and "vrrp_of INSTANCE STATE" of each.
asked USR1 keepalived.data | awk '/^ *VRRP Instance = / { name = $4; next }
    name != "" && /^ *State = / { if (!seen++) print "vrrp " $3; print "vrrp_of " name " " $3; name = "" }'
if [ "$SAMPLE" != 0 ]; then counted before; fi
[ "$SAMPLE" = 0 ] || for peer in "${PEERS[@]}"; do
    arriving "$peer" &
    if ping -n -q -c 1 -W 1 "$peer" >/dev/null 2>&1; then echo "ping $peer yes"; else echo "ping $peer no"; fi &
done
if [ "$SAMPLE" != 0 ]; then
    neighbours "$VIP" answers_for_vip &
    for each in "${VIPS[@]}"; do
        read -r name other _ <<<"$each"
        neighbours "$other" "answers_for $name" &
    done
    sleep "$SAMPLE" &
    wait
    counted after
fi
if command -v nft >/dev/null; then echo "ruleset $(nft -j list ruleset 2>/dev/null | base64 -w0)"; fi
true
