#!/bin/sh
# Called by systemd and keepalived on a load balancer (installed by `inv lb.setup`). What it writes is read by keepalived
# (track_file) and by `inv lb.status`.
#   up, down       HAProxy serves, or does not
#   leave          HAProxy is about to stop: let the VIP go first, so that nobody notices
#   prepare        make the directory that the flags live in
#   loaded FILE    this configuration was loaded just now
#   state ...      keepalived's notify: type, instance, state, priority
set -eu
umask 022
run=/run/ha-runbooks
mkdir -p "$run"
case $1 in
up) echo 0 >"$run/haproxy_down" ;;
down) echo 1 >"$run/haproxy_down" ;;
leave)
    echo 1 >"$run/haproxy_down"
    sleep 0.2
    ;;
prepare) ;;
loaded) sha256sum <"$2" | cut -d' ' -f1 >"$run/${2##*/}.loaded" ;;
state) echo "$4 $(date +%s)" >"$run/vrrp_state" ;;
*) exit 64 ;;
esac
