# Variables: PATIENCE (seconds). Goes before a script that installs packages: how they call apt-get, dnf and yum, and what they do first.
# While another program holds a lock of the package manager, it is waited for, PATIENCE seconds in all; then exit 73, with its name.
# Prints "waited SECONDS PROGRAM", and "trouble TEXT" of what was said about package repositories.
# The host's own variables for proxies (session.sh) are for its package manager, whichever that is.
# shellcheck shell=bash disable=SC2154
for each in "${proxies[@]}"; do export "${each?}"; done
who='' said='' trouble=''
holder() { # FILE...: the program that holds one of these locks: a process locks the file (apt, dpkg) or has its number there (dnf, yum)
    local file pid
    for file in "$@"; do
        [ -e "$file" ] || continue
        pid=$(<"$file")
        [ -n "$pid" ] || pid=$(awk -v end=":$(stat -c %i -- "$file")" \
            '$2 == "POSIX" && $5 > 0 && substr($6, length($6) - length(end) + 1) == end { print $5; exit }' /proc/locks)
        if [ -n "$pid" ] && [ -r "/proc/$pid/comm" ]; then echo "$(<"/proc/$pid/comm") (process $pid)" && return; fi
    done
}
pause() { # FILE...: waits for the holder of these locks a moment, or gives up
    local seen
    seen=$(holder "$@")
    who=${seen:-${who:-a program that cannot be told}}
    if ((SECONDS >= PATIENCE)); then
        echo "the package manager of this host is in use by $who, which has not ended within $PATIENCE s" >&2
        exit 73
    fi
    sleep 1
}
troubles() { # prints and keeps what $said tells about repositories
    local line
    trouble=$(awk '/^(E|Error): / && !/Some index files failed/ || /^(W|Warning): (Failed|GPG|An error)/ { print }
        /^Errors during downloading metadata/ { head = $0; getline; print head $0 }' <<<"$said")
    while read -r line; do [ -z "$line" ] || echo "trouble $line"; done <<<"$trouble"
}
waited() { # SINCE
    if [ -n "$who" ]; then echo "waited $((SECONDS - $1)) $who"; fi
    who=''
}
patiently() { # COMMAND...: run it, again while one of apt's or dpkg's locks is held; said is then what it wrote to standard error
    local code since=$SECONDS
    while
        code=0
        { said=$("$@" 2>&1 >&3) || code=$?; } 3>&2
        [ "$code" != 0 ] && grep -q 'Could not get lock\|is another process using it\|locked by another process' <<<"$said"
    do pause /var/lib/apt/lists/lock /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/cache/apt/archives/lock; done
    waited "$since"
    [ -z "$said" ] || echo "$said" >&2
    return "$code"
}
apt() { # WORD... (its own DPkg::Lock::Timeout is for dpkg's lock only)
    patiently apt-get -q -y -o DPkg::Lock::Timeout=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
apt_begin() { # [OPTION...]: fresh package lists; finishes what an interrupted run left half installed
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    local broken
    apt update || true # one repository that cannot be used does not matter while the others offer what is wanted
    troubles
    # A package whose unpacking was interrupted must be unpacked again.
    [ -z "$(ls -A /var/lib/dpkg/updates)" ] || patiently dpkg --configure -a || true
    # shellcheck disable=SC2016
    mapfile -t broken < <(dpkg-query -W -f '${db:Status-Eflag} ${Package}=${Version}\n' | sed -n 's/^reinstreq //; T; s/=$//; p')
    [ "${#broken[@]}" = 0 ] || apt install --reinstall --no-install-recommends "$@" -- "${broken[@]}" || true
}
rpms() { # dnf|yum WORD...: both wait for each other, but without an end; a repository that cannot be used is left out
    local code=0 since=$SECONDS locks=(/var/cache/dnf/{metadata,download}_lock.pid /var/lib/dnf/rpmdb_lock.pid /run/yum.pid)
    while [ -n "$(holder "${locks[@]}")" ]; do pause "${locks[@]}"; done
    waited "$since"
    said=$("$1" -y --setopt=exit_on_lock=0 '--setopt=*.skip_if_unavailable=1' "${@:2}" 2>&1) || code=$?
    troubles
    return "$code"
}
told() { # EXIT STATUS: ends; the last lines are what was said about repositories, and the last one of what failed
    if [ -n "$trouble" ]; then
        printf 'what was said about the package repositories:\n%s\n%s\n' "$(head -n 3 <<<"$trouble")" "$(tail -n 1 <<<"$said")" >&2
    fi
    exit "$1"
}
