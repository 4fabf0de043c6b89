# Variables: VERSION (of Kubernetes, such as 1.20.2), PROGRAMS (array), RUNTIME (package of containerd, or ""), ONLY_FETCH ("yes": the packages
# are only downloaded, and /var/lib/ha-runbooks/upgrade/fetched says so), TOOLS (array of "program package
# package", the second one is for dnf and yum), and PATIENCE of packages.sh, which stands before this.
# Installs the programs in exactly that version and holds them, so that a later `apt-get upgrade` or `dnf upgrade` does not
# change them; and the packages of those tools that this host does not have. Exit 69: no known package manager. Exit 66: the version is
# not offered.
# shellcheck shell=bash disable=SC2154
set -eu
umask 022
nowhere() {
    said="the package repositories of this host offer no $1 $VERSION; they offer: ${2:-none at all}"
    [ -n "$trouble" ] || echo "$said" >&2
    told 66
}
fetched() {
    mkdir -p /var/lib/ha-runbooks/upgrade && chmod 700 /var/lib/ha-runbooks/upgrade
    echo "$VERSION" >/var/lib/ha-runbooks/upgrade/fetched
    exit 0
}
hold() { # with the versionlock plugin of dnf or yum, at the versions that are installed now
    rpms "$manager" versionlock add "${PROGRAMS[@]}" ||
        echo "nothing holds ${PROGRAMS[*]} here: add exclude=${PROGRAMS[*]} to their .repo file" >&2
}
locked() { # whether that plugin holds one of them
    local names
    names=$(IFS='|' && echo "${PROGRAMS[*]}")
    grep -Eqs "^(.*:)?($names)-[0-9]|^name *= *\"($names)\"" \
        /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list /etc/dnf/versionlock.toml
}
tools() { # apt|dnf: adds to words the packages of programs that are not there
    local program deb rpm
    for each in "${TOOLS[@]}"; do
        read -r program deb rpm <<<"$each"
        command -v "$program" >/dev/null || if [ "$1" = apt ]; then words+=("$deb"); else words+=("$rpm"); fi
    done
}
if command -v apt-get >/dev/null; then
    apt_begin --allow-change-held-packages
    words=()
    for name in "${PROGRAMS[@]}"; do
        offered=$(apt-cache madison "$name" | awk '{ print $3 }')
        exact=$(awk -v version="$VERSION-" 'index($0, version) == 1 || $0 == substr(version, 1, length(version) - 1)' <<<"$offered" | sed -n 1p)
        [ -n "$exact" ] || nowhere "$name" "$(echo "$offered" | head -n 8 | paste -sd' ')"
        words+=("$name=$exact")
    done
    # What is installed keeps its version, so that the container runtime of a member is not restarted.
    for name in $RUNTIME ${RUNTIME:+cri-tools}; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" "$name.io" 2>/dev/null | grep -qx installed || words+=("$name")
    done
    tools apt
    # A downgrade only concerns programs of an unfinished installation: a member with another version is refused before.
    apt install --no-install-recommends --allow-change-held-packages --allow-downgrades ${ONLY_FETCH:+--download-only} -- "${words[@]}" || told $?
    [ "$ONLY_FETCH" != yes ] || fetched
    apt-mark hold "${PROGRAMS[@]}" >/dev/null
elif manager=$(command -v dnf || command -v yum); then
    rpms "$manager" --disableexcludes=all --showduplicates list "${PROGRAMS[@]}" || true
    words=() list=$said
    for name in "${PROGRAMS[@]}"; do
        offered=$(awk -v name="$name." 'index($1, name) == 1 { print $2 }' <<<"$list")
        exact=$(awk -v version="$VERSION-" '{ sub(/^[0-9]+:/, "") } index($0, version) == 1' <<<"$offered" | tail -n 1)
        [ -n "$exact" ] || nowhere "$name" "$(echo "$offered" | tail -n 8 | paste -sd' ')"
        words+=("$name-$exact")
    done
    for name in $RUNTIME ${RUNTIME:+cri-tools}; do rpm -q --quiet "$name" || rpm -q --quiet "$name.io" || words+=("$name"); done
    tools dnf
    # --disableexcludes=all does not lift the plugin's locks. They are back at the end, also when the installation fails.
    held=
    if locked; then
        held=yes
        trap hold EXIT
        rpms "$manager" versionlock delete "${PROGRAMS[@]}" || true
    fi
    rpms "$manager" --setopt=install_weak_deps=False --disableexcludes=all ${ONLY_FETCH:+--downloadonly} install -- "${words[@]}" && code=0 || code=$?
    echo "$said" >&2
    [ "$code" = 0 ] || told "$code"
    [ "$ONLY_FETCH" != yes ] || fetched
    # The repository file of pkgs.k8s.io excludes these packages already; otherwise the versionlock plugin holds them.
    [ -n "$held" ] || grep -qs '^exclude=.*kubelet' /etc/yum.repos.d/*.repo /etc/dnf/dnf.conf || hold
else
    echo "no apt-get, dnf or yum on this host: install ${PROGRAMS[*]} $VERSION and $RUNTIME by hand" >&2
    exit 69
fi
