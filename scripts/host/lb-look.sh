# Variables: VIP, FAMILY (4 or 6), API_PORT, ADDRESS (this host's own), STATS_PORT, METRICS_PORT, HAPROXY_CFG, KEEPALIVED_CONF, MARK,
# VIPS (array: NAME ADDRESS of each VIP beside the one of the API). Needs knock.sh before it.
# Prints the state of this LB, one "key value" a line. Read-only. Starts few processes, because it is run very often.
# shellcheck shell=bash disable=SC2154
run=/run/ha-runbooks
line() { # NAME FILE: prints the first line of a file, without a process for it
    local text=''
    if [ -r "$2" ]; then read -r text <"$2"; fi
    echo "$1 $text"
}
# One block of properties for each unit; the unit's Id may be anywhere in the block.
block=() unit='' pid='' main='' keepalived=''
while IFS='=' read -r key value || [ -n "$unit" ]; do
    case $key in
    Id) unit=${value%.service} ;;
    MainPID) pid=$value ;;
    ?*) block+=("$key $value") ;;
    *)
        printf "$unit.%s\n" "${block[@]}"
        if [ "$unit" = haproxy ]; then main=$pid; else keepalived=$pid; fi
        block=() unit='' pid=''
        ;;
    esac
done < <(systemctl show haproxy keepalived -p Id -p MainPID -p ActiveState -p SubState -p UnitFileState -p ActiveEnterTimestamp)
if [ -n "$(ip -o "-$FAMILY" address show to "$VIP")" ]; then echo "holds 1"; else echo "holds 0"; fi
for each in "${VIPS[@]}"; do
    text='' name=${each% *} holds=0
    if [ -r "$run/vips/$name.state" ]; then read -r text <"$run/vips/$name.state"; fi
    [ -z "$(ip -o "-$FAMILY" address show to "${each#* }")" ] || holds=1
    echo "vip.$name $holds $text"
done
line nonlocal_bind "/proc/sys/net/ipv$FAMILY/ip_nonlocal_bind"
for flag in haproxy_down drain vrrp_state haproxy.cfg.loaded keepalived.conf.loaded; do line "$flag" "$run/$flag"; done
# The worker that was started last, the mark of the configuration that answers on the socket, and what the files would be.
children=() worker=''
{ read -r -a children <"/proc/$main/task/$main/children"; } 2>/dev/null # a line without an end: `read` fails
for child in "${children[@]}"; do
    if read -r name <"/proc/$child/comm" && [ "$name" = haproxy ]; then worker=$child; fi
done 2>/dev/null
echo "process.haproxy $worker"
echo "process.keepalived $keepalived"
marked() { sed -nE "s/^ *[Dd]escription:? +($MARK [0-9a-f]+).*/\1/p" | head -n 1; }
answers=''
if [ -S /run/haproxy/admin.sock ] && info=$(echo 'show info' | timeout 3 socat -t1 -T2 - UNIX-CONNECT:/run/haproxy/admin.sock 2>/dev/null) && [ -n "$info" ]; then
    echo "runs $(marked <<<"$info")"
    answers=yes
fi
for file in "$HAPROXY_CFG" "$KEEPALIVED_CONF"; do
    sum=''
    if [ -r "$file" ]; then read -r sum _ < <(sha256sum <"$file"); fi
    echo "${file##*/}.file $sum"
    line "${file##*/}.head" "$file"
done
echo "file_mark $([ ! -r "$HAPROXY_CFG" ] || marked <"$HAPROXY_CFG")"
printf 'clock %(%s)T\n' -1
# A short timeout for an address that does not answer. "open" says only that HAProxy accepts: without backends it closes at once.
connects "$VIP" "$API_PORT" 0.7
case $said in open | silent) echo "api $said" ;; *) echo api refused ;; esac
status() ( # PORT PATH: prints the HTTP status of this host's own address
    exec 3<>"/dev/tcp/$ADDRESS/$1" || exit
    # Through cat: bash itself sends each line separately, the second one 40 ms later (Nagle).
    cat >&3 <<<"GET $2 HTTP/1.0"$'\r\n\r'
    read -r -t 1 _ code _ <&3
    echo "$code"
) 2>/dev/null
if [ -n "$answers" ]; then # one that hangs answers nowhere; each question would cost a second
    echo "stats $(status "$STATS_PORT" /stats)"
    echo "metrics $(status "$METRICS_PORT" '/metrics?scope=global')"
fi
true
