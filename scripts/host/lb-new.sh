# Variables: READ (array: the files and directories that HAProxy is started with), KEEPALIVED_CONF, and TOP and WANTED of
# packages-new.sh, which stands before this as lb-harmless.sh does. Fetches the new packages, and has their haproxy and keepalived check the configuration of
# this host; installs nothing. Keeps the packages that are installed. Prints "unkept NAME VERSION" of one that cannot be kept.
# Exit 65: the new program refuses the configuration; 71: it cannot run here.
# shellcheck shell=bash disable=SC2154
set -eu
take
unpack
runs haproxy -v
words=()
for path in "${READ[@]}"; do words+=(-f "$path"); done
beside "$new" -c "${words[@]}" >"$TOP/said" 2>&1 || {
    echo "the new haproxy refuses the configuration:" >&2
    cat "$TOP/said" >&2
    exit 65
}
runs keepalived -v
beside "$new" -t -f "$KEEPALIVED_CONF" >"$TOP/said" 2>&1 || harmless "$TOP/said" || {
    echo "the new keepalived refuses the configuration:" >&2
    cat "$TOP/said" >&2
    exit 65
}
keep
rm -rf -- "$TOP/root" "$TOP/said"
files=()
for path in "${READ[@]}" "$KEEPALIVED_CONF"; do [ ! -f "$path" ] || files+=("$path"); done
{
    echo "${WANTED[*]}"
    [ "${#files[@]}" = 0 ] || sha256sum -- "${files[@]}"
} >"$TOP/tried.new"
mv -f -- "$TOP/tried.new" "$TOP/tried"
