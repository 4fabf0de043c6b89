# Whether a drill is at work on this host. Variables: UNIT, DIRECTORY. Prints "armed yes|no"; if yes also "scenario NAME", and "there yes|no"
# unless that is not known.
# shellcheck shell=bash disable=SC2153,SC2154
unit=/etc/systemd/system/$UNIT.service scenario='' there=''
if [ -e "$unit" ]; then
    scenario=$(cat "$DIRECTORY/scenario" 2>/dev/null)
    there=$(bash -o pipefail "$DIRECTORY/heal" look 2>/dev/null)
fi
if [ -e "$unit" ]; then
    printf '%s\n' "armed yes" "scenario $scenario" ${there:+"$there"}
else # also when it was undone while this looked: the unit is deleted before the rest
    echo "armed no"
fi
