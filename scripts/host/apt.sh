# Variables: none. Goes before a script that installs packages: the way all of them call apt-get, and what they do first.
# The host's own variables for proxies (session.sh) are for its package manager, whichever that is.
# shellcheck shell=bash disable=SC2154
for each in "${proxies[@]}"; do export "${each?}"; done
apt() { apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" >&2; }
apt_begin() { # [OPTION...]: fresh package lists; finishes what an interrupted run left half installed
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    local broken
    apt update
    # A package whose unpacking was interrupted must be unpacked again.
    [ -z "$(ls -A /var/lib/dpkg/updates)" ] || dpkg --configure -a >&2 || true
    # shellcheck disable=SC2016
    mapfile -t broken < <(dpkg-query -W -f '${db:Status-Eflag} ${Package}=${Version}\n' | sed -n 's/^reinstreq //; T; s/=$//; p')
    [ "${#broken[@]}" = 0 ] || apt install --reinstall --no-install-recommends "$@" -- "${broken[@]}" || true
}
