# Variables: VIP, FAMILY (4 or 6), API_PORT, ADDRESS (this host's own), STATS_PORT, METRICS_PORT.
# What an LB does now, one "key value" a line. Read-only.
# shellcheck shell=bash disable=SC2154
run=/run/ha-runbooks
for unit in haproxy keepalived; do
    systemctl show "$unit" -p ActiveState -p SubState -p UnitFileState -p ActiveEnterTimestamp |
        sed "s/^\([A-Za-z]*\)=/$unit.\1 /"
done
echo "holds $(ip -o "-$FAMILY" address show to "$VIP" | wc -l)"
echo "nonlocal_bind $(cat "/proc/sys/net/ipv$FAMILY/ip_nonlocal_bind" 2>/dev/null)"
for flag in haproxy_down drain vrrp_state haproxy.cfg.loaded keepalived.conf.loaded; do
    echo "$flag $(cat "$run/$flag" 2>/dev/null)"
done
echo "clock $(date +%s)"
# A silent address must not cost more than a moment. "open" may still be closed at once by an HAProxy without backends.
# shellcheck disable=SC2016
knock() { timeout 0.7 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }
knock "$VIP" "$API_PORT"
case $? in 0) echo api open ;; 124) echo api silent ;; *) echo api refused ;; esac
status() {
    # By way of cat: bash itself would send each line on its own, and the second one 40 ms later (Nagle).
    # shellcheck disable=SC2016
    timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "GET %s HTTP/1.0\r\n\r\n" "$2" | cat >&3 && read -r _ code _ <&3 && echo "$code"' \
        "$ADDRESS" "$1" "$2" 2>/dev/null
}
if [ -S /run/haproxy/admin.sock ]; then
    echo "stats $(status "$STATS_PORT" /stats)"
    echo "metrics $(status "$METRICS_PORT" '/metrics?scope=global')"
fi
true
