# Variables: PACKAGES (array). Installs what is missing with the host's own package manager; installed ones keep their version.
# Exit 69: none that we know.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    # An earlier run may have been ended half way; dpkg keeps its notes there until that is mended.
    [ -z "$(ls -A /var/lib/dpkg/updates)" ] || dpkg --configure -a >&2
    apt-get -q -o DPkg::Lock::Timeout=300 update >&2
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        install --no-install-recommends --no-upgrade -- "${PACKAGES[@]}" >&2
elif command -v dnf >/dev/null; then
    dnf -q -y install -- "${PACKAGES[@]}" >&2
elif command -v yum >/dev/null; then
    yum -q -y install -- "${PACKAGES[@]}" >&2
else
    echo "no apt-get, dnf or yum on this host: install ${PACKAGES[*]} by hand" >&2
    exit 69
fi
