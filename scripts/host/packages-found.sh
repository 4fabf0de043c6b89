# Variables: PACKAGES (array). Prints "name version" for each that is wholly installed (Debian and Red Hat families).
# shellcheck shell=bash disable=SC2154
if command -v dpkg-query >/dev/null; then
    # shellcheck disable=SC2016
    while read -r status package; do
        if [ "$status" = installed ]; then echo "$package"; fi
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "${PACKAGES[@]}" 2>/dev/null)
else
    rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\n' -- "${PACKAGES[@]}" 2>/dev/null | grep -v 'is not installed'
fi
true
