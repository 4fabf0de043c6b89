# Variables: CONFIG (containerd's file), CONTENT (in base64: what that file is to be; nothing when it stays as it is), and TOP and WANTED of
# packages-new.sh, which stands before this, and so do containerd-dump.sh and containerd-own.sh. Fetches the new packages, and prints what the new
# containerd makes of its configuration, as containerd_dump does, and a line "all" with all of it (in base64); installs nothing. Keeps the packages that are installed: "unkept NAME VERSION" is
# one that cannot be kept. TOP/tried.new becomes TOP/tried when that configuration was judged to be right.
# Exit 65: the new containerd cannot read its configuration; 71: a new program cannot run here.
# shellcheck shell=bash disable=SC2154
set -eu
take
unpack
runs containerd --version
runs runc --version
file=()
[ ! -e "$CONFIG" ] || file=("$CONFIG")
if [ -n "$CONTENT" ]; then
    file=("$TOP/config.toml")
    base64 -d <<<"$CONTENT" >"${file[0]}"
fi
said=$(
    export PATH="$TOP/root/usr/bin:$PATH"
    beside containerd_dump ${file[@]+"${file[@]}"}
    all=$(beside containerd_all ${file[@]+"${file[@]}"} | base64 -w0)
    [ -z "$all" ] || echo "all $all"
)
if wrong=$(grep '^invalid ' <<<"$said"); then
    echo "the new containerd cannot read its configuration: ${wrong#invalid }" >&2
    exit 65
fi
echo "$said"
keep
rm -rf -- "$TOP/root" "$TOP/said" "$TOP/config.toml"
{
    echo "${WANTED[*]}"
    [ ! -f "$CONFIG" ] || sha256sum -- "$CONFIG"
} >"$TOP/tried.new"
