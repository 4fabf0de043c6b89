# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64), LIBRARY, HAPROXY_CFG, KEEPALIVED_CONF, KEEP.
# Installs a load balancer's configuration: stages the files, has haproxy and keepalived check them, keeps the present files as a
# generation, then renames each new file into place. Exit 65: haproxy or keepalived refused its file, and nothing was changed.
# shellcheck shell=bash disable=SC2154
set -eu
label() { ! command -v restorecon >/dev/null || restorecon -- "$1"; } # SELinux: the label that the policy has for this path
top=/var/lib/ha-runbooks/lb
mkdir -p "$top/generations" # private: umask 077
rm -rf -- "$top"/staged.*
stage=$(mktemp -d "$top/staged.XXXXXXXX")
trap 'trap "" TERM HUP INT; rm -rf -- "$stage"' EXIT
for i in "${!PATHS[@]}"; do
    mkdir -p -- "$stage/$(dirname -- "${PATHS[i]}")"
    printf %s "${CONTENTS[i]}" | base64 -d >"$stage${PATHS[i]}"
    chown -- "${OWNERS[i]}" "$stage${PATHS[i]}"
    chmod -- "${MODES[i]}" "$stage${PATHS[i]}"
done

# keepalived checks that its scripts exist, so it checks a copy that names the staged ones.
# An older generation may have no scripts; then the installed ones are named.
scripts=$stage$LIBRARY
[ -d "$scripts" ] || scripts=$LIBRARY
sed "s#$LIBRARY/#$scripts/#g" "$stage$KEEPALIVED_CONF" >"$stage/keepalived.conf"
haproxy -c -f "$stage$HAPROXY_CFG" >"$stage/said" 2>&1 || {
    sed "s#$stage##g" "$stage/said" >&2
    exit 65
}
keepalived -t -f "$stage/keepalived.conf" >"$stage/said" 2>&1 || {
    sed "s#$stage##g" "$stage/said" >&2
    exit 65
}

# After a run that was interrupted between two renames, the files are a mixture, which must not be kept as a generation.
if [ ! -e "$top/applying" ] && [ -e "$KEEPALIVED_CONF" ]; then
    kept="$top/generations/$(date -u +%Y%m%dT%H%M%S.%NZ)"
    for path in "${PATHS[@]}"; do
        [ -e "$path" ] || continue
        mkdir -p -- "$kept.new$(dirname -- "$path")"
        cp -p -- "$path" "$kept.new$path"
    done
    mv -- "$kept.new" "$kept"
    find "$top/generations" -mindepth 1 -maxdepth 1 | sort -r | tail -n "+$((KEEP + 1))" | xargs -r rm -rf --
fi
touch "$top/applying"
for path in "${PATHS[@]}"; do
    directory=$(dirname -- "$path")
    [ -d "$directory" ] || {
        (umask 022 && mkdir -p -- "$directory")
        label "$directory"
    }
    if cmp -s -- "$stage$path" "$path" && [ "$(stat -c %a%U%G -- "$stage$path")" = "$(stat -c %a%U%G -- "$path")" ]; then continue; fi
    # A rename is atomic only within one file system, and the stage may be on another one.
    new=$(mktemp -- "$path.XXXXXXXX.new")
    cp -p -- "$stage$path" "$new"
    sync -- "$new"
    mv -fT -- "$new" "$path"
    label "$path"
done
systemctl daemon-reload
rm -f -- "$top/applying"
sync -- "$top"
