# Variables: UNIT (haproxy or keepalived). Starts a service anew that runs but does not do its work. An haproxy that hangs serves
# nobody, so it is killed; keepalived first gets five seconds to come back by itself, as it does when its haproxy has.
# shellcheck shell=bash disable=SC2154
set -u
if [ "$UNIT" = keepalived ]; then
    for _ in {1..25}; do
        if grep -qsE '^(MASTER|BACKUP) ' /run/ha-runbooks/vrrp_state; then exit 0; fi
        sleep 0.2
    done
    exec systemctl restart "$UNIT"
fi
trap '' TERM HUP INT # what was killed is to be started as well
before=$(systemctl show "$UNIT" -p MainPID --value)
systemctl kill --signal=KILL "$UNIT"
for _ in {1..25}; do # until systemd has noticed, or has started it by itself
    [ "$(systemctl show "$UNIT" -p MainPID --value)" = "$before" ] || break
    sleep 0.2
done
systemctl reset-failed "$UNIT" 2>/dev/null
systemctl start "$UNIT"
