# Variables: PACKAGES (array). Installs what is missing with the host's own package manager; installed ones keep their version.
# Exit 69: none that we know.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    apt() { apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" >&2; }
    apt update
    # An earlier run may have been ended half way. A package that was just being unpacked is mended by nothing but itself, again.
    [ -z "$(ls -A /var/lib/dpkg/updates)" ] || dpkg --configure -a >&2 || true
    # shellcheck disable=SC2016
    mapfile -t broken < <(dpkg-query -W -f '${db:Status-Eflag} ${Package}=${Version}\n' | sed -n 's/^reinstreq //; T; s/=$//; p')
    [ "${#broken[@]}" = 0 ] || apt install --reinstall --no-install-recommends -- "${broken[@]}" || true
    apt install --no-install-recommends --no-upgrade -- "${PACKAGES[@]}"
elif manager=$(command -v dnf || command -v yum); then
    # As the Red Hat family has it set up (best=True), to install what is there already is to upgrade it.
    missing=()
    for each in "${PACKAGES[@]}"; do rpm -q --quiet -- "$each" || missing+=("$each"); done
    [ "${#missing[@]}" -eq 0 ] || "$manager" -q -y --setopt=install_weak_deps=False install -- "${missing[@]}" >&2
else
    echo "no apt-get, dnf or yum on this host: install ${PACKAGES[*]} by hand" >&2
    exit 69
fi
