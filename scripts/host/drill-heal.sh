# Undoes a drill: kept on the host as DIRECTORY/heal, and run there by UNIT.service, which UNIT.timer starts by itself. A fault stands before
# this (drill-service.sh ...). Tries until the fault is gone, then deletes itself and its units. "look" as its argument: prints "there yes|no".
# Variables: UNIT, DIRECTORY, LOCK, SCENARIO, and the fault's.
# shellcheck shell=bash disable=SC2154
if [ "${1-}" = look ]; then
    if there; then echo "there yes"; else echo "there no"; fi
    exit
fi
exec 9>"$LOCK"
flock 9 # an injection that is at work is finished, or killed with its operator's session, before it is undone
until undo 9>&- && ! there; do
    echo "the drill $SCENARIO is not undone yet; trying again" >&2
    sleep 5
done
systemctl disable -q --now "$UNIT.timer"
rm -rf -- "/etc/systemd/system/$UNIT.timer" "/etc/systemd/system/$UNIT.service" "$DIRECTORY"
systemctl daemon-reload
