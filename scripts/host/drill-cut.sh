# The fault "this host is cut from the network", for the drill-*.sh after it. Variables: PEERS (array of addresses to cut it from; empty: from
# everything), FAMILY (ip or ip6), SSH_PORTS (array; SSH goes on, into this host and through it to others), VIP (with IPv4 the host does not
# answer for it in ARP any more; "" when it never does). Packets are dropped by nftables tables of our own, before every other rule; nobody
# else's rule is touched.
# shellcheck shell=bash disable=SC2153,SC2154
name=ha_runbooks_drill
gone() { # FAMILY: nft says that there is no such table; when it fails for another reason, the table may be there
    local said
    if said=$(LC_ALL=C nft list table "$1" "$name" 2>&1 >/dev/null); then return 1; fi
    [[ $said == *'No such file or directory'* || $said == *'does not exist'* ]] # nft 0.9.0 and before: the second
}
families() { echo "inet${VIP:+ arp}"; }
ready() {
    command -v nft >/dev/null || {
        echo "nft is not installed here" >&2
        return 1
    }
}
rule() { # saddr or daddr
    local IFS=,
    if ((${#PEERS[@]})); then echo "$FAMILY $1 { ${PEERS[*]} } drop"; else echo drop; fi
}
no_arp() {
    [ -z "$VIP" ] || echo "table arp $name { chain output { type filter hook output priority 0; policy accept; arp saddr ip $VIP drop; }; }"
}
inject() {
    local IFS=,
    local ssh="{ ${SSH_PORTS[*]} }"
    nft -f - <<EOF
table inet $name {
    chain input {
        type filter hook input priority -350; policy accept;
        iif lo accept
        tcp dport $ssh accept
        tcp sport $ssh accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        $(rule saddr)
    }
    chain output {
        type filter hook output priority -350; policy accept;
        oif lo accept
        tcp sport $ssh accept
        tcp dport $ssh accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        $(rule daddr)
    }
    chain forward {
        type filter hook forward priority -350; policy accept;
        tcp dport $ssh accept
        tcp sport $ssh accept
        $(rule saddr)
        $(rule daddr)
    }
}
$(no_arp)
EOF
}
there() {
    local family
    for family in $(families); do gone "$family" || return 0; done
    return 1
}
undo() { # without asking whether it is there: an answer that does not come must not leave the host cut
    local family
    for family in $(families); do
        printf '%s\n' "add table $family $name" "delete table $family $name" | nft -f - || return
    done
}
