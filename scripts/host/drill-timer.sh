# The timer that undoes a drill by itself, on this host: it needs no operator, no network and no login, and goes on after a reboot.
# Variables: TIMER (prove or arm), UNIT, DIRECTORY, LOCK, SCENARIO, AFTER (seconds), HEAL (the program of drill-heal.sh), and those of the
# fault, which stands before this. prove: the timer runs the heal now, with nothing to undo, and both have to be gone then. arm: it does so
# AFTER seconds from now. Exit 65: the fault cannot be injected here, or the timer does not do its work; nothing is left behind.
# shellcheck shell=bash disable=SC2154
set -u
units=/etc/systemd/system
refuse() {
    echo "$1" >&2
    exit 65
}

[ "$(cat /proc/1/comm)" = systemd ] || refuse "this host is not run by systemd: no timer would undo the drill"
ready || exit 65
if there; then refuse "the fault is there already, and not by this drill"; fi
exec 9>"$LOCK"
flock 9
if [ -e "$units/$UNIT.service" ]; then refuse "another drill is at work here: inv drill.heal ends it"; fi
give_up() {
    systemctl disable -q --now "$UNIT.timer"
    systemctl stop "$UNIT.service"
    rm -rf -- "$units/$UNIT.timer" "$units/$UNIT.service" "$DIRECTORY"
    systemctl daemon-reload
    refuse "$1"
}
[ "$TIMER" = arm ] || AFTER=1
unwritten="what undoes the drill cannot be written to this host's disk (full?)"
mkdir -p -- "$DIRECTORY" || give_up "$unwritten" # 0700: umask 077
printf '%s\n' "$SCENARIO" >"$DIRECTORY/scenario" || give_up "$unwritten"
printf '%s\n' "$HEAL" >"$DIRECTORY/heal" || give_up "$unwritten"
printf '%s\n' "$HEAL" | cmp -s - "$DIRECTORY/heal" || give_up "$unwritten"
cat >"$units/$UNIT.service" <<EOF || give_up "$unwritten"
[Unit]
Description=ha-runbooks: undoes the drill $SCENARIO

[Service]
Type=oneshot
Environment=LC_ALL=C
ExecStart=/bin/bash -o pipefail $DIRECTORY/heal
TimeoutStartSec=infinity
OOMScoreAdjust=-900
EOF
# By the clock as well: each `systemctl daemon-reload`, of whomever, lets OnActiveSec begin anew (systemd 252). Whichever comes first.
by_the_clock=$(date -u -d "@$(($(date +%s) + AFTER + 1))" '+%F %T UTC') || give_up "date cannot tell the time in $AFTER s"
cat >"$units/$UNIT.timer" <<EOF || give_up "$unwritten"
[Unit]
Description=ha-runbooks: undoes the drill $SCENARIO after $AFTER s

[Timer]
OnActiveSec=$AFTER
OnCalendar=$by_the_clock
# A heal that was killed is started again; one that has done its work takes this timer away.
OnUnitInactiveSec=10
AccuracySec=100ms

[Install]
WantedBy=timers.target
EOF
chmod 644 "$units/$UNIT.service" "$units/$UNIT.timer" || give_up "$unwritten"
systemctl daemon-reload
systemctl enable -q --now "$UNIT.timer" || give_up "systemd does not start the timer"
if [ "$TIMER" = arm ]; then # a host that loses its power has to find all of it on its disk
    sync -f -- "$DIRECTORY" "$units" || give_up "$unwritten"
    systemctl -q is-active "$UNIT.timer" || give_up "the timer does not run"
    exit 0
fi
flock -u 9
for ((i = 0; i < 300; i++)); do
    if [ ! -e "$units/$UNIT.service" ] && [ ! -e "$DIRECTORY" ]; then exit 0; fi
    sleep 0.1
done
give_up "the timer has not run the heal within 30 s: journalctl -u $UNIT"
