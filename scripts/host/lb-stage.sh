# A load balancer's new files in a directory of their own, and what haproxy and keepalived say of them; stands before another script.
# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64), LIBRARY, HAPROXY_CFG, KEEPALIVED_CONF, READ (array: the files and
# directories that HAProxy is started with). lb-harmless.sh stands before this.
# shellcheck shell=bash disable=SC2154
stage_files() { # TOP: sets stage, a new directory below TOP, which is deleted at the end
    local i
    stage=$(mktemp -d "$1/staged.XXXXXXXX")
    trap 'trap "" TERM HUP INT; rm -rf -- "$stage"' EXIT
    for i in "${!PATHS[@]}"; do
        mkdir -p -- "$stage/$(dirname -- "${PATHS[i]}")"
        printf %s "${CONTENTS[i]}" | base64 -d >"$stage${PATHS[i]}"
        chown -- "${OWNERS[i]}" "$stage${PATHS[i]}"
        chmod -- "${MODES[i]}" "$stage${PATHS[i]}"
    done
}
accepts() { # whether haproxy and keepalived take the staged files; tells on standard error why not
    local scripts=$stage$LIBRARY words=() path
    # keepalived checks that its scripts exist, so it checks a copy that names the staged ones.
    # An older generation may have no scripts; then the installed ones are named.
    [ -d "$scripts" ] || scripts=$LIBRARY
    # What it includes by a relative path is beside the real file.
    [ ! -e "$stage$KEEPALIVED_CONF" ] || sed -E -e "s#$LIBRARY/#$scripts/#g" \
        -e "s#^([[:space:]]*include[a-z]?[[:space:]]+)([^/\"[:space:]])#\1${KEEPALIVED_CONF%/*}/\2#" "$stage$KEEPALIVED_CONF" >"$stage/keepalived.conf"
    for path in "${READ[@]}"; do
        if [ "$path" = "$HAPROXY_CFG" ]; then path=$stage$path; fi
        words+=(-f "$path")
    done
    [ ! -e "$stage$HAPROXY_CFG" ] || haproxy -c "${words[@]}" >"$stage/said" 2>&1 || {
        sed "s#$stage##g" "$stage/said" >&2
        return 1
    }
    [ ! -e "$stage/keepalived.conf" ] || keepalived -t -f "$stage/keepalived.conf" >"$stage/said" 2>&1 ||
        harmless "$stage/said" || {
        sed "s#$stage/keepalived.conf#$KEEPALIVED_CONF#g; s#$stage##g" "$stage/said" >&2
        return 1
    }
}
