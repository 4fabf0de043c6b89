# Variables: PATHS (array), KEEPALIVED_CONF, OURS (text that is in every file of ours), WHICH (newest or original). Prints a directory
# with a kept configuration, or nothing: the newest one that differs from the present files, or the first one that is the operator's
# own, from before lb.setup.
# shellcheck shell=bash disable=SC2154
top=/var/lib/ha-runbooks/lb/generations
original() { # whether it holds an operator's own files; builds before --take-over kept them without a mark
    [ -e "$1/.foreign" ] ||
        { [ ! -e "$1/.default" ] && [ -e "$1$KEEPALIVED_CONF" ] && ! grep -qF -- "$OURS" "$1$KEEPALIVED_CONF"; }
}
differs() {
    local path
    for path in "${PATHS[@]}"; do cmp -s -- "$1$path" "$path" || return 0; done
    return 1
}
all=$(find "$top" -mindepth 1 -maxdepth 1 -name '*Z' 2>/dev/null | sort)
if [ "$WHICH" = original ]; then look=original; else
    look=differs
    all=$(sort -r <<<"$all")
fi
for kept in $all; do
    if "$look" "$kept"; then
        printf '%s\n' "$kept"
        exit 0
    fi
done
