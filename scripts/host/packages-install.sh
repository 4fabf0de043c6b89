# Variables: PACKAGES (array), and PATIENCE of packages.sh, which stands before this. Installs what is missing with the host's own
# package manager; installed ones keep their version. Exit 69: none that we know.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
if command -v apt-get >/dev/null; then
    apt_begin
    apt install --no-install-recommends --no-upgrade -- "${PACKAGES[@]}" || told $?
elif manager=$(command -v dnf || command -v yum); then
    # As the Red Hat family has it set up (best=True), to install what is there already is to upgrade it.
    missing=()
    for each in "${PACKAGES[@]}"; do rpm -q --quiet -- "$each" || missing+=("$each"); done
    [ "${#missing[@]}" -gt 0 ] || exit 0
    rpms "$manager" --setopt=install_weak_deps=False install -- "${missing[@]}" && code=0 || code=$?
    echo "$said" >&2
    [ "$code" = 0 ] || told "$code"
else
    echo "no apt-get, dnf or yum on this host: install ${PACKAGES[*]} by hand" >&2
    exit 69
fi
