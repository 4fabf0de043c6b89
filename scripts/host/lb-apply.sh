# Variables: PATHS, MODES, OWNERS, CONTENTS (arrays; contents in base64), LIBRARY, HAPROXY_CFG, TAKEN_OUT, KEEPALIVED_CONF, KEEP,
# GONE (array: files to delete), READ (array: the files and directories that HAProxy is started with), FOREIGN (yes: the present files
# are the operator's own, and are kept for good; no: they are ours or the package's), ENABLED (array: the units to enable), OURS (text that
# is in every file of ours). lb-taken-out.sh and lb-stage.sh stand before this. Installs a load balancer's configuration: stages the files,
# has haproxy and keepalived check them, keeps the present files as a generation, then renames each new file into place. Exit 65: haproxy or keepalived refused its file; exit 67: a service cannot be enabled;
# in both cases nothing was changed.
# shellcheck shell=bash disable=SC2154
set -eu
label() { ! command -v restorecon >/dev/null || restorecon -- "$1"; } # SELinux: the label that the policy has for this path
top=/var/lib/ha-runbooks/lb
mkdir -p "$top/generations" # private: umask 077
rm -rf -- "$top"/staged.*
stage_files "$top"
accepts || exit 65
for each in "haproxy $HAPROXY_CFG" "keepalived $KEEPALIVED_CONF"; do
    unit=${each%% *}
    if [ ! -e "$stage${each#* }" ] || [[ " ${ENABLED[*]} " != *" $unit "* ]]; then continue; fi
    [ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ] || systemctl enable -q "$unit" || {
        echo "$unit cannot be enabled, so it would not start at boot" >&2
        exit 67
    }
done

others() { # GENERATION: whether its keepalived.conf is not ours
    [ -e "$1$KEEPALIVED_CONF" ] && ! grep -qF -- "$OURS" "$1$KEEPALIVED_CONF"
}
foreign() { # GENERATION: whether it holds an operator's own files; builds before --take-over kept them without a mark
    [ -e "$1/.foreign" ] || { [ ! -e "$1/.default" ] && others "$1"; }
}
contents() { # GENERATION: what it holds, with owners and modes
    (cd -- "$1" && find . -type f -printf '%p %m %U %G ' -exec sha256sum {} \; | sort)
}
newest() { # the last generation that an interrupted run of an earlier build has kept
    find "$top/generations" -mindepth 1 -maxdepth 1 -name '*Z' | sort -r | head -n 1
}
kept=''
# After a run that was interrupted between two renames, the files are a mixture, which must not be kept as a generation.
if [ ! -e "$top/applying" ]; then
    kept="$top/generations/$(date -u +%Y%m%dT%H%M%S.%NZ)"
    mkdir -p -- "$kept.new"
    for path in "${PATHS[@]}" "${GONE[@]}"; do
        [ -e "$path" ] || continue
        mkdir -p -- "$kept.new$(dirname -- "$path")"
        cp -pL -- "$path" "$kept.new$path"
    done
    if [ "$FOREIGN" = yes ]; then touch "$kept.new/.foreign"; elif others "$kept.new"; then touch "$kept.new/.default"; fi
    last=$(newest)
    if [ -n "$last" ] && [ "$(contents "$last")" = "$(contents "$kept.new")" ]; then
        rm -rf -- "$kept.new"
        kept=$last
    else
        mv -- "$kept.new" "$kept"
    fi
fi
# lb-run puts these files back when a service cannot load the new ones. An earlier run that proved nothing has left the name of the last
# configuration that was proved.
[ -s "$top/unproved" ] || echo "${kept:-$(newest)}" >"$top/unproved"
for old in $(find "$top/generations" -mindepth 1 -maxdepth 1 -name '*Z' | sort -r | tail -n "+$((KEEP + 1))"); do
    foreign "$old" || [ "$old" = "$(<"$top/unproved")" ] || rm -rf -- "$old"
done
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
[ "${#GONE[@]}" -eq 0 ] || rm -f -- "${GONE[@]}"
fit_taken_out
# It holds the digest of a short password; earlier builds let everybody read it.
[ ! -e /run/ha-runbooks/keepalived.conf.loaded ] || chmod 600 /run/ha-runbooks/keepalived.conf.loaded
systemctl daemon-reload
rm -f -- "$top/applying"
sync -- "$top"
