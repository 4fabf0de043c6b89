"""Newer versions of real packages: a host's own .deb with another version number, in a repository on that host."""

from __future__ import annotations

from collections.abc import Mapping

from lab.control import Lab

REPOSITORY = "/srv/newer"
# Reads lines of "NAME SUFFIX [SCRIPT]": the package of the lab's repository gets SUFFIX behind its version; SCRIPT, run inside the unpacked
# package, changes it.
PUBLISH = """
set -eu
mkdir -p /srv/newer
work=$(mktemp -d)
while read -r name suffix change; do
    for deb in /srv/lab-repo/"$name"_*.deb; do dpkg-deb -R "$deb" "$work/tree"; done
    sed -i "s/^Version: .*/&$suffix/" "$work/tree/DEBIAN/control"
    (cd "$work/tree" && eval "$change")
    dpkg-deb -Znone -b "$work/tree" "/srv/newer/$name$suffix.deb" >/dev/null
    rm -r "$work/tree"
done
cd /srv/newer
for deb in *.deb; do
    dpkg-deb -f "$deb"
    printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
done >Packages
echo 'deb [trusted=yes] file:/srv/newer ./' >/etc/apt/sources.list.d/newer.list
"""


def publish(lab: Lab, host: str, packages: Mapping[str, str], change: str = ":") -> None:
    """Offer each of ``packages`` (name -> suffix, such as "+lab1") on the host, beside the version that is there."""
    lines = "".join(f"{name} {suffix} {change}\n" for name, suffix in packages.items())
    lab.console(host, ["bash", "-c", PUBLISH], stdin=lines, check=True, timeout_s=120)


def withdraw(lab: Lab, *hosts: str) -> None:
    """Take the repository away from the hosts."""
    for host in hosts:
        lab.console(host, ["rm", "-rf", REPOSITORY, "/etc/apt/sources.list.d/newer.list"], check=True)


def version(lab: Lab, host: str, name: str) -> str:
    """Return the installed version of a package."""
    shown = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name]
    return lab.console(host, shown, check=True).stdout.removeprefix("installed ")
