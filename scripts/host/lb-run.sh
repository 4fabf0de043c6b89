# Variables: UNIT (haproxy or keepalived), PATHS (array), HAPROXY_CFG, TAKEN_OUT, KEEPALIVED_CONF, MARK, ASIDE (yes: keepalived is stopped for a
# while, and is to run again with the old files), BRIDGED (array: addresses to keep while keepalived is reloaded); lb-taken-out.sh stands
# before this.
# Enables the unit, starts it or reloads it, and proves that it has loaded its file. `systemctl reload haproxy` succeeds, too, when the
# new worker could not bind a port and the old one goes on with the old configuration; so HAProxy itself is asked.
# When the file cannot be loaded, the files from before lb-apply are put back and loaded. Then exit 66, with these lines on standard
# output: what the service said, "@@", and "back" (all is as before), "broken" (the old files could not be loaded either), or "none"
# (there was nothing to put back).
# shellcheck shell=bash disable=SC2154
set -u
top=/var/lib/ha-runbooks/lb run=/run/ha-runbooks
label() { ! command -v restorecon >/dev/null || restorecon -- "$1"; }
worker() { # sets worker: HAProxy's newest one, which is the last child of the master
    local main child name children=()
    worker=''
    main=$(systemctl show haproxy -p MainPID --value)
    read -r -a children <"/proc/$main/task/$main/children" # a line without an end: `read` fails
    for child in "${children[@]}"; do
        if read -r name <"/proc/$child/comm" && [ "$name" = haproxy ]; then worker=$child; fi
    done
} 2>/dev/null
marked() { sed -nE "s/^ *[Dd]escription:? +($MARK [0-9a-f]+).*/\1/p" | head -n 1; }
ask() { echo "$2" | timeout 2 socat -t2 -T2 - "UNIX-CONNECT:$1" 2>/dev/null; }
failures() { ask /run/haproxy-master.sock 'show proc' | sed -nE 's/.* master .*\[failed: ([0-9]+)\].*/\1/p'; }
record() { # FILE PROCESS: as `lb-hook loaded` does, which is not called for a configuration from before lb.setup
    local to=$run/${1##*/}.loaded
    (umask 022 && mkdir -p "$run")
    (umask 077 && echo "$(sha256sum <"$1" | cut -d' ' -f1) $2" >"$to.new")
    mv -f -- "$to.new" "$to"
}
load_haproxy() { # starts or reloads haproxy; succeeds when a new worker runs the file
    local before='' failed=0 now
    if systemctl is-active -q haproxy; then
        worker
        before=$worker
        failed=$(failures)
        systemctl reload haproxy || return 1
    else
        systemctl reset-failed haproxy 2>/dev/null
        systemctl start haproxy || return 1
    fi
    local until=$((SECONDS + 15))
    while [ "$SECONDS" -lt "$until" ]; do
        worker
        if [ -n "$worker" ] && [ "$worker" != "$before" ] &&
            [ "$(ask /run/haproxy/admin.sock 'show info' | marked)" = "$(marked <"$HAPROXY_CFG")" ]; then
            # A worker that could not start ends at once (HAProxy 3.1 and newer read the configuration only there).
            sleep 0.2
            [ -d "/proc/$worker" ] || return 1
            record "$HAPROXY_CFG" "$worker"
            # A configuration from before lb.setup has no hook that would take the flag back.
            [ "$(cat "$run/haproxy_down" 2>/dev/null)" != 1 ] || echo 0 >"$run/haproxy_down"
            return 0
        fi
        now=$(failures)
        [ "${now:-0}" -le "${failed:-0}" ] || return 1
        sleep 0.2
    done
    return 1
}
# keepalived takes an instance that changes from multicast to unicast, or its virtual_router_id, for another one: it drops the address, and is
# master again three adverts later. Meanwhile the address is on lo, from where the kernel deletes it by itself if this program ends too soon.
# An address that another LB had until its keepalived was stopped may still be on its way here: without it there is nothing to bridge, and the new
# instance would take it only when it has heard nobody for three adverts.
bridge() {
    local each tries there
    for each in "${BRIDGED[@]}"; do
        for ((tries = 0; tries < 50; tries++)); do
            there=$(ip -o address show to "$each")
            [ -z "$there" ] || break
            sleep 0.1
        done
        [ -z "$there" ] || on_lo "$each"
    done
}
on_lo() { ip address replace "$1" dev lo valid_lft 10 preferred_lft 10; }
unbridge() { # keepalived drops the address some time after the reload has ended; where that was not seen, lo has it until its time is over
    local each tries gone there
    for each in "${BRIDGED[@]}"; do
        [ -n "$(ip -o address show dev lo to "$each")" ] || continue
        gone=''
        for ((tries = 0; tries < 400; tries++)); do
            there=$(ip -o address show to "$each") # not in a pipe: grep ends before `ip` has told all, which counts as an error
            if ! grep -qv '^[0-9]*: lo ' <<<"$there"; then
                gone=yes
                ((tries % 40)) || on_lo "$each" # on a busy machine keepalived may take longer than the address lives there
            elif [ -n "$gone" ]; then
                ip address delete "$each" dev lo 2>/dev/null || true
                break
            elif [ "$tries" -ge 40 ]; then
                break
            fi
            sleep 0.05
        done
    done
}
load_keepalived() {
    if [ "$ASIDE" = yes ]; then systemctl enable -q keepalived; fi
    if systemctl is-active -q keepalived; then
        bridge
        systemctl reload keepalived || return 1
        unbridge
    else
        systemctl reset-failed keepalived 2>/dev/null
        systemctl start keepalived || return 1
    fi
    systemctl is-active -q keepalived || return 1
    record "$KEEPALIVED_CONF" "$(systemctl show keepalived -p MainPID --value)"
}
put_back() { # puts the files of the generation $1 back, and deletes those that it does not have
    local path new
    touch "$top/applying" # until all of them are back, the files are a mixture
    for path in "${PATHS[@]}"; do
        if [ ! -e "$1$path" ]; then
            rm -f -- "$path"
            continue
        fi
        cmp -s -- "$1$path" "$path" && continue
        (umask 022 && mkdir -p -- "$(dirname -- "$path")")
        new=$(mktemp -- "$path.XXXXXXXX.new") && cp -p -- "$1$path" "$new" && sync -- "$new" && mv -fT -- "$new" "$path" || return 1
        label "$path"
    done
    fit_taken_out
    systemctl daemon-reload
    rm -f -- "$top/unproved" "$top/applying"
}
started=$(date +%s)
systemctl enable -q "$UNIT" || {
    echo "$UNIT cannot be enabled, so it would not start at boot; it was not loaded with the new files" >&2
    exit 1
}
was=$(systemctl is-active keepalived)
[ "$ASIDE" != yes ] || was=active
if heard=$("load_$UNIT" 2>&1); then
    loaded=''
    [ ! -r "$run/keepalived.conf.loaded" ] || read -r loaded _ <"$run/keepalived.conf.loaded"
    # Until both services run with the new files, the old ones may still have to be put back.
    if [ "$UNIT" = keepalived ] || [ "$loaded" = "$(sha256sum <"$KEEPALIVED_CONF" 2>/dev/null | cut -d' ' -f1)" ]; then
        rm -f -- "$top/unproved"
    fi
    exit 0
fi
[ -z "$heard" ] || printf '%s\n' "$heard" >&2
said=$(journalctl -q -u "$UNIT" --since "@$started" -o cat --no-pager 2>/dev/null)
# Also the loss of the last server of a backend is an alert; it says nothing about the configuration.
if alerts=$(grep -F '[ALERT]' <<<"$said" | grep -v 'has no server available'); then said=$alerts; else said+=${heard:+$'\n'$heard}; fi
tail -n 5 <<<"$said"
echo '@@'
kept=''
[ ! -r "$top/unproved" ] || read -r kept <"$top/unproved"
if [ -z "$kept" ] || [ ! -d "$kept" ]; then
    echo none
    exit 66
fi
trap '' TERM HUP INT # an interruption must not leave a mixture of files
if put_back "$kept" >&2 && load_haproxy >&2 && { [ "$was" != active ] || load_keepalived >&2; }; then echo back; else echo broken; fi
exit 66
