# Functions for notes on this host, with which a later run continues interrupted work. Used by another script, which sets top (their
# directory). Variables: none. note NAME TEXT writes a note and syncs it to disk; noted NAME prints it, if it exists.
# shellcheck shell=bash disable=SC2154
note() {
    printf '%s\n' "$2" >"$top/$1.new" && sync -- "$top/$1.new" && mv -f -- "$top/$1.new" "$top/$1" && sync -- "$top"
}
noted() { [ ! -s "$top/$1" ] || cat "$top/$1"; }
