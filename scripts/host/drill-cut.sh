# The fault "this host is cut from the network", for the drill-*.sh after it. Variables: PEERS (array of addresses to cut it from; empty: from
# everything), FAMILY (ip or ip6), SSH_PORT (stays open, so that people get in), VIP (with IPv4 the host does not answer for it in ARP any
# more; "" when it never does). Packets are dropped by nftables tables of our own, before every other rule; nobody else's rule is touched.
# shellcheck shell=bash disable=SC2153,SC2154
name=ha_runbooks_drill
has() { nft list table "$1" "$name" >/dev/null 2>&1; }
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
    nft -f - <<EOF
table inet $name {
    chain input {
        type filter hook input priority -350; policy accept;
        iif lo accept
        tcp dport $SSH_PORT accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        $(rule saddr)
    }
    chain output {
        type filter hook output priority -350; policy accept;
        oif lo accept
        tcp sport $SSH_PORT accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        $(rule daddr)
    }
    chain forward {
        type filter hook forward priority -350; policy accept;
        $(rule saddr)
        $(rule daddr)
    }
}
$(no_arp)
EOF
}
there() { has inet || has arp; }
undo() {
    local family
    for family in inet arp; do
        if has "$family"; then nft delete table "$family" "$name" || return; fi
    done
}
