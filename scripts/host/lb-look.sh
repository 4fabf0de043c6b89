# Variables: VIP, FAMILY (4 or 6), API_PORT, ADDRESS (this host's own), STATS_PORT, METRICS_PORT.
# Prints the state of this LB, one "key value" a line. Read-only. Starts few processes, because it is run very often.
# shellcheck shell=bash disable=SC2154
run=/run/ha-runbooks
line() { # NAME FILE: prints the first line of a file, without a process for it
    local text=''
    if [ -r "$2" ]; then read -r text <"$2"; fi
    echo "$1 $text"
}
# One block of properties for each unit; the unit's Id may be anywhere in the block.
block=() unit=''
while IFS='=' read -r key value || [ -n "$unit" ]; do
    case $key in
    Id) unit=${value%.service} ;;
    ?*) block+=("$key $value") ;;
    *)
        printf "$unit.%s\n" "${block[@]}"
        block=() unit=''
        ;;
    esac
done < <(systemctl show haproxy keepalived -p Id -p ActiveState -p SubState -p UnitFileState -p ActiveEnterTimestamp)
if [ -n "$(ip -o "-$FAMILY" address show to "$VIP")" ]; then echo "holds 1"; else echo "holds 0"; fi
line nonlocal_bind "/proc/sys/net/ipv$FAMILY/ip_nonlocal_bind"
for flag in haproxy_down drain vrrp_state haproxy.cfg.loaded keepalived.conf.loaded; do line "$flag" "$run/$flag"; done
printf 'clock %(%s)T\n' -1
# A short timeout for an address that does not answer. "open" says only that HAProxy accepts: without backends it closes at once.
# shellcheck disable=SC2016
timeout 0.7 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$VIP" "$API_PORT" 2>/dev/null
case $? in 0) echo api open ;; 124) echo api silent ;; *) echo api refused ;; esac
status() ( # PORT PATH: prints the HTTP status of this host's own address
    exec 3<>"/dev/tcp/$ADDRESS/$1" || exit
    # Through cat: bash itself sends each line separately, the second one 40 ms later (Nagle).
    cat >&3 <<<"GET $2 HTTP/1.0"$'\r\n\r'
    read -r -t 1 _ code _ <&3
    echo "$code"
) 2>/dev/null
if [ -S /run/haproxy/admin.sock ]; then
    echo "stats $(status "$STATS_PORT" /stats)"
    echo "metrics $(status "$METRICS_PORT" '/metrics?scope=global')"
fi
true
