# Whether a drill is at work on this host. Variables: UNIT, DIRECTORY. Prints "armed yes|no"; if yes also "scenario NAME" and "there yes|no".
# shellcheck shell=bash disable=SC2154
if [ -e "/etc/systemd/system/$UNIT.service" ] && [ -r "$DIRECTORY/heal" ]; then
    echo "armed yes"
    echo "scenario $(cat "$DIRECTORY/scenario")"
    bash -o pipefail "$DIRECTORY/heal" look
else
    echo "armed no"
fi
