# Functions: what is installed and held. Variables: none. packages_look NAME... prints "package NAME VERSION" of each that is installed,
# and "held NAME" of each that an upgrade leaves alone (Debian and Red Hat families).
# shellcheck shell=bash
packages_look() {
    local want status name version
    if command -v dpkg-query >/dev/null; then
        # shellcheck disable=SC2016
        while read -r want status name version; do
            if [ "$status" = installed ]; then echo "package $name $version"; fi
            if [ "$want" = hold ]; then echo "held $name"; fi
        done < <(dpkg-query -W -f '${db:Status-Want} ${db:Status-Status} ${Package} ${Version}\n' "$@" 2>/dev/null)
        return
    fi
    rpm -q --qf 'package %{NAME} %{VERSION}-%{RELEASE}\n' "$@" 2>/dev/null | grep '^package [^ ]* [0-9]'
    for name in kubeadm kubelet kubectl; do
        if grep -qs "^exclude=.*\<$name\>" /etc/yum.conf /etc/dnf/dnf.conf /etc/yum.repos.d/*.repo ||
            grep -qs "^\(.*:\)\?$name-[0-9]\|^name *= *\"$name\"" /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list \
                /etc/dnf/versionlock.toml; then echo "held $name"; fi
    done
}
