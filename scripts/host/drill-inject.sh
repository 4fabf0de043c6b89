# Injects the fault of a drill; the fault stands before this. Never without the timer that undoes it. Variables: UNIT, DIRECTORY, LOCK, and the
# fault's. Safe to run again. Exit 65: the timer does not wait for its time, or what it starts is not there; nothing was injected.
# shellcheck shell=bash disable=SC2154
exec 9>"$LOCK"
flock 9
if [ "$(systemctl show "$UNIT.timer" -p SubState --value)" != waiting ] || [ ! -s "$DIRECTORY/heal" ]; then
    echo "the timer $UNIT does not run here: nothing was injected" >&2
    exit 65
fi
there || inject 9>&-
