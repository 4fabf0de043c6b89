# Whether the fault before this can be injected on this host: looks, and changes nothing. Variables: the fault's.
# Prints "no WHY", "never WHY" (its ready returned 69: not on a host like this), or nothing.
# shellcheck shell=bash
why=$(ready 2>&1)
case $? in
0) ;;
69) echo "never $why" ;;
*) echo "no $why" ;;
esac
