# Variables: UNIT (haproxy or keepalived). Restarts a service that runs but does not work. A hanging haproxy serves no client, so it is
# killed. keepalived first gets five seconds to become MASTER or BACKUP by itself, as it does when its haproxy is up again.
# shellcheck shell=bash disable=SC2154
set -u
if [ "$UNIT" = keepalived ]; then
    for _ in {1..25}; do
        if grep -qsE '^(MASTER|BACKUP) ' /run/ha-runbooks/vrrp_state; then exit 0; fi
        sleep 0.2
    done
    exec systemctl restart "$UNIT"
fi
trap '' TERM HUP INT # an interruption must not leave the service killed and not started
before=$(systemctl show "$UNIT" -p MainPID --value)
systemctl kill --signal=KILL "$UNIT"
for _ in {1..25}; do # until systemd has noticed the kill, or has restarted the service by itself
    [ "$(systemctl show "$UNIT" -p MainPID --value)" = "$before" ] || break
    sleep 0.2
done
systemctl reset-failed "$UNIT" 2>/dev/null
systemctl start "$UNIT"
