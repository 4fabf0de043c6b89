# Variables: PACKAGES (array). Prints "name version" for each that is wholly installed (Debian and Red Hat families).
# shellcheck shell=bash disable=SC2154
if command -v dpkg-query >/dev/null; then
    # shellcheck disable=SC2016
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "${PACKAGES[@]}" 2>/dev/null | sed -n 's/^installed //p'
else
    rpm -q --qf '%{NAME} %{VERSION}-%{RELEASE}\n' -- "${PACKAGES[@]}" 2>/dev/null | grep -v 'is not installed'
fi
true
