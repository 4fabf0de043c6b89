#!/bin/sh
# Called by systemd and keepalived on a load balancer (installed by `inv lb.setup`). keepalived (track_file) and `inv lb.status` read
# the files that it writes.
#   prepare         keepalived is about to start
#   up, down        HAProxy has started, or has stopped
#   leave           HAProxy or keepalived is about to stop: give up the VIP first, so that no connection fails
#   gone VIP LINK   keepalived has ended: delete the VIP from LINK if it is still there, because the other LB has it now
#   loaded FILE     this configuration file was just loaded: records its SHA-256 and the process that runs it. HAProxy's
#                   reload is not recorded here: the old worker goes on when the new one cannot start, and only root's `inv lb.setup`
#                   proves which of them runs
#   state ...       keepalived's notify call: type, instance, state, priority
#   vip SITE NAME ...   the same call, for a VIP beside the one of the API
#   metrics [SITE]  write lb.prom anew from what was recorded: keepalived's state, for node_exporter (docs/monitoring.md). With the site's
#                   name also where an earlier version of this hook recorded the state, and counted no changes
set -eu
umask 022
run=/run/ha-runbooks
conf=/etc/keepalived/keepalived.conf
mkdir -p "$run"
of=$run/vrrp_ # what the names of the files begin with that tell of one VIP: $run/vips/NAME. for another one than the API's
moved() { # SITE STATE: counts the changes into each state, since this host was booted
    site=$1 into=$2
    set -- MASTER BACKUP FAULT STOP
    [ ! -r "${of}moves" ] || read -r _ master backup fault stop <"${of}moves" || true
    for each in "${master:-0}" "${backup:-0}" "${fault:-0}" "${stop:-0}"; do
        [ "$1" != "$into" ] || each=$((each + 1))
        shift
        set -- "$@" "$each"
    done
    echo "$site $*" >"${of}moves"
}
forget_vips() { # drops what is known of VIPs that keepalived.conf does not have any more
    [ -r "$conf" ] || return 0
    for file in "$run"/vips/*.*; do
        name=${file##*/}
        [ ! -e "$file" ] || grep -qE "lb-hook vip [^ ]+ ${name%%.*}\"" "$conf" || rm -f "$file"
    done
}
other_vips() { # their part of lb.prom
    set -- "$run"/vips/*.moves
    [ -r "$1" ] || return 0
    echo "# HELP ha_runbooks_vip_master Whether keepalived of this load balancer is MASTER of a VIP beside the one of the API."
    echo "# TYPE ha_runbooks_vip_master gauge"
    for file in "$@"; do
        vip=${file##*/} vip=${vip%.moves} state=STOP
        read -r site _ <"$file" || continue
        [ ! -r "$run/vips/$vip.state" ] || read -r state _ <"$run/vips/$vip.state" || true
        [ "$state" = MASTER ] && is=1 || is=0
        echo "ha_runbooks_vip_master{site=\"$site\",vip=\"$vip\"} $is"
    done
}
metrics() { # node_exporter reads this file as any user; another process may read it at any time, so it is replaced
    [ -r "$run/vrrp_moves" ] || return 0
    read -r site master backup fault stop <"$run/vrrp_moves" || return 0
    state=STOP since=0
    [ ! -r "$run/vrrp_state" ] || read -r state since <"$run/vrrp_state" || true
    {
        echo "# HELP ha_runbooks_vrrp_master Whether keepalived of this load balancer is MASTER, as it told last."
        echo "# TYPE ha_runbooks_vrrp_master gauge"
        [ "$state" = MASTER ] && echo "ha_runbooks_vrrp_master{site=\"$site\"} 1" || echo "ha_runbooks_vrrp_master{site=\"$site\"} 0"
        echo "# HELP ha_runbooks_vrrp_state The state of keepalived: 1 for the one that it told last."
        echo "# TYPE ha_runbooks_vrrp_state gauge"
        for each in MASTER BACKUP FAULT STOP; do
            [ "$each" = "$state" ] && is=1 || is=0
            echo "ha_runbooks_vrrp_state{site=\"$site\",state=\"$each\"} $is"
        done
        echo "# HELP ha_runbooks_vrrp_last_change_timestamp_seconds When it told that."
        echo "# TYPE ha_runbooks_vrrp_last_change_timestamp_seconds gauge"
        echo "ha_runbooks_vrrp_last_change_timestamp_seconds{site=\"$site\"} $since"
        echo "# HELP ha_runbooks_vrrp_transitions_total How often it has changed into a state, since this host was booted."
        echo "# TYPE ha_runbooks_vrrp_transitions_total counter"
        for each in "MASTER $master" "BACKUP $backup" "FAULT $fault" "STOP $stop"; do
            echo "ha_runbooks_vrrp_transitions_total{site=\"$site\",to=\"${each% *}\"} ${each#* }"
        done
        other_vips
    } >"$run/lb.prom.$$"
    mv -f "$run/lb.prom.$$" "$run/lb.prom"
}
case $1 in
prepare)
    echo 0 >"$run/leaving"
    echo 0 >"$run/yield"
    rm -f "$run/hung" "$run/late" "$run/blind"
    # SELinux lets keepalived read the flags only with this label; new files in the directory inherit it.
    [ ! -e /sys/fs/selinux/enforce ] || chcon -R -t keepalived_var_run_t "$run"
    ;;
up)
    echo 0 >"$run/haproxy_down"
    echo 0 >"$run/leaving"
    ;;
down) echo 1 >"$run/haproxy_down" ;;
leave)
    echo 1 >"$run/leaving"
    tries=30 # 3 s at most: there may be no other LB to take the VIP
    while [ "$tries" -gt 0 ] && grep -qs '^MASTER' "$run/vrrp_state" "$run"/vips/*.state; do
        sleep 0.1
        tries=$((tries - 1))
    done
    ;;
gone)
    rm -f "$run/vrrp_state" "$run"/vips/*.state
    ip address delete "$2" dev "$3" 2>/dev/null || true
    metrics || true # systemd takes an error here for a failure of keepalived
    ;;
loaded)
    [ "${2##*/}" != keepalived.conf ] || forget_vips
    umask 077 # keepalived.conf holds a short password, which could be guessed from its digest
    record=$run/${2##*/}.loaded
    process=${MAINPID:-}
    if [ "${2##*/}" = haproxy.cfg ]; then
        children='' process=''
        [ ! -r "/proc/${MAINPID:-0}/task/${MAINPID:-0}/children" ] || read -r children <"/proc/$MAINPID/task/$MAINPID/children" || true
        for child in $children; do # the newest one is the last
            [ "$(cat "/proc/$child/comm" 2>/dev/null)" != haproxy ] || process=$child
        done
    fi
    echo "$(sha256sum <"$2" | cut -d' ' -f1) $process" >"$record.new"
    mv -f "$record.new" "$record"
    ;;
state | vip)
    if [ "$1" = vip ]; then
        mkdir -p "$run/vips"
        of=$run/vips/$3. name=$2
        shift 2
    else
        name=$3
    fi
    # keepalived does not wait for one call to end before the next: the state of the call that was started last is kept.
    state=$4
    read -r mine </proc/$$/stat
    # shellcheck disable=SC2086 # field 22, here the 20th: when this process was started, in ticks since boot
    set -- ${mine##*) }
    shift 19
    exec 9>>"$run/vrrp_state.order" # one lock for all VIPs: lb.prom tells of all
    flock 9
    read -r begun pid <"${of}state.order" || begun=0 pid=0
    if [ "$1" -gt "$begun" ] || { [ "$1" -eq "$begun" ] && [ $$ -gt "$pid" ]; }; then
        echo "$1 $$" >"${of}state.order"
        echo "$state $(date +%s)" >"${of}state"
    fi
    moved "$name" "$state" # last: neither may keep the state from being recorded
    forget_vips            # keepalived tells FAULT of one that it has dropped
    metrics
    ;;
metrics)
    if [ -n "${2:-}" ] && [ -s "$run/vrrp_state" ]; then
        exec 9>>"$run/vrrp_state.order"
        flock 9
        [ -s "$run/vrrp_moves" ] || echo "$2 0 0 0 0" >"$run/vrrp_moves"
    fi
    metrics
    ;;
*) exit 64 ;;
esac
