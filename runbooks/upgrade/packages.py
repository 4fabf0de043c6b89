"""Reads which packages each host is offered, with its repositories as they would be for the target; and installs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands import prepare, upgrade_packages
from runbooks.commands.files import place
from runbooks.commands.versions import HostVersions
from runbooks.engine.packages import install
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.upgrade_seen import Version, text
from runbooks.upgrade.rules import packages as rules
from runbooks.upgrade.rules.packages import HostPackages


def look(run: Run, target: Version, hosts: Mapping[Host, HostVersions | RunbookError]) -> dict[Host, HostPackages | RunbookError]:
    """Read what each of ``hosts`` is offered for ``target``; ``hosts`` is what `look.look` has read of them. Changes nothing there.

    The repository of another minor version is asked as it would be after the switch.
    """
    seen: dict[Host, HostPackages | RunbookError] = {host: each for host, each in hosts.items() if isinstance(each, RunbookError)}
    found = run.read_each({host: upgrade_packages.sources() for host in hosts if host not in seen})
    files = {host: each for host, each in found.items() if not isinstance(each, RunbookError)}
    switch = {host: rules.switch(each, target) for host, each in files.items()}
    offers = run.read_each({host: upgrade_packages.offers(text(target), switch[host]) for host in files})
    for host, versions in hosts.items():
        for each in (versions, found.get(host), offers.get(host)):
            if isinstance(each, RunbookError):
                seen.setdefault(host, each)
        if host not in seen and isinstance(versions, HostVersions):
            offered = offers[host]
            assert not isinstance(offered, RunbookError)  # noqa: S101 - for the type checker: it would be in seen
            seen[host] = HostPackages(versions=versions, found=files[host], switch=switch[host], offers=offered)
    return {host: seen[host] for host in hosts}


def between(
    run: Run, now: Version, target: Version, hosts: Mapping[Host, HostVersions | RunbookError]
) -> dict[Version, dict[Host, HostPackages | RunbookError]]:
    """Read as `look` what ``hosts`` are offered of each minor version between ``now`` and ``target``; by its release 0, {} for one hop.

    `rules.packages.newest_between` is what the hops go through.
    """
    return {version: look(run, version, hosts) for minor in range(now[1] + 1, target[1]) for version in [(now[0], minor, 0)]}


def switch_repositories(run: Run, host: Host, target: Version) -> None:
    """Write the host's files of repositories for the minor version of ``target``; their diff is shown. Nothing when they are right."""
    there = run.read(host, upgrade_packages.sources())
    if wanted := rules.switch(there, target):
        run.place(host, wanted, there, place(wanted))


def install_held(run: Run, host: Host, target: Version, programs: Sequence[str]) -> None:
    """Install exactly ``target`` of ``programs`` (of kubeadm, kubelet, kubectl) and hold them; a hold that is there does not keep it out.

    Raises CommandError with a hint, also when no repository has the version. Does not restart a kubelet.
    """
    install(run, host, prepare.pin_packages(text(target), programs=programs))
