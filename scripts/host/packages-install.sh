# Variables: PACKAGES (array). Installs what is missing with the host's own package manager; installed ones keep their version.
# Exit 69: none that we know.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
if command -v apt-get >/dev/null; then
    apt_begin
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
