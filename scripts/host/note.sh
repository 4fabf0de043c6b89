# Notes that a piece of work leaves on this host for whoever goes on with it; stands before another script, which sets top (their
# directory). Variables: none. note NAME TEXT writes one, on disk before it counts; noted NAME prints it, if there is one.
# shellcheck shell=bash disable=SC2154
note() {
    printf '%s\n' "$2" >"$top/$1.new" && sync -- "$top/$1.new" && mv -f -- "$top/$1.new" "$top/$1" && sync -- "$top"
}
noted() { [ ! -s "$top/$1" ] || cat "$top/$1"; }
