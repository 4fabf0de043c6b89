# Injects the fault of a drill; the fault stands before this. Never without the timer that undoes it. Variables: UNIT, LOCK, and the fault's.
# Safe to run again. Exit 65: the timer does not run, and nothing was injected.
# shellcheck shell=bash disable=SC2154
exec 9>"$LOCK"
flock 9
systemctl -q is-active "$UNIT.timer" || {
    echo "the timer $UNIT does not run here: nothing was injected" >&2
    exit 65
}
there || inject 9>&-
