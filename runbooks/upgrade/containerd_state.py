"""What `inv upgrade.containerd` knows of one node: its packages, what containerd makes of its configuration, and the note on the host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from runbooks.cluster.runtime_files import containerd_file
from runbooks.commands import containerd, files, prepare, runtime_upgrade
from runbooks.commands import service_packages as commands
from runbooks.commands.base import Secret
from runbooks.commands.containerd import PROGRAMS
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.runtime_upgrade import KIND, Note
from runbooks.commands.service_packages import Services
from runbooks.engine.steps import Run, Unmet
from runbooks.inventory.model import Host, Site
from runbooks.local import registry_logins
from runbooks.rules import cluster as cluster_rules
from runbooks.text import listed
from runbooks.upgrade import containerd_kept
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules import runtimes as rules
from runbooks.upgrade.rules import services

NAMES: Final = ("containerd", "containerd.io", "runc")  # containerd.io, of another repository, brings its own runc
UNITS: Final = ("containerd",)


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The versions that the packages of each node are to have. ``one``: what a drain and a gate need to know; nothing of it is upgraded."""

    one: Upgrade
    versions: Mapping[Host, Mapping[str, str]]

    @property
    def site(self) -> Site:
        """The site."""
        return self.one.site

    def told(self, host: Host) -> str:
        """Return the versions of ``host`` in words."""
        return listed(f"{name} {version}" for name, version in self.versions[host].items())

    def beginning(self, run: Run, host: Host) -> Note:
        """Return the note with which the work on ``host`` begins: what it is now. An earlier run's note keeps what it was then."""
        versions, there = self.versions[host], note(run, host)
        if there:
            return replace(there, new=versions, proved=there.proved and there.new == versions, failed="")
        seen, state = services_of(run, host), runtime(run, host)
        # Otherwise the dump is not of what runs, and proves nothing about what has worked.
        known = state.loaded and all(seen.units.get(unit) == "current" for unit in UNITS)
        old = {name: seen.packages[name] for name in versions if name in seen.packages}
        if not known:
            return Note(old=old, new=versions)
        return Note(old=old, new=versions, before=state.config, settings=containerd_kept.settings(run, host))

    def current(self, run: Run, host: Host) -> bool | Unmet:
        """Return whether ``host`` has its versions, and its containerd runs them with its configuration and answers."""
        return Unmet.of(services.not_current(services_of(run, host), self.versions[host], UNITS) or self.not_ready(run, host))

    def whole(self, run: Run, host: Host) -> bool | Unmet:
        """Return whether nothing is left to do on ``host``: as `current`, proved where it was worked on, our file in its version's format."""
        current = self.current(run, host)
        if not current:
            return current
        there = note(run, host)
        if there and not (there.proved and there.new == self.versions[host]):
            return Unmet("no Pod has started with its new packages yet")
        file = self.file_for(run, host, self.versions[host])
        return Unmet.of(
            "its configuration has the format of another version" if file and self._other_format(run, host, file) else ""
        )

    def arrived(self, run: Run, host: Host) -> bool | Unmet:
        """As `whole`, and its node is Ready. Raises NotServing when no API server says so."""
        whole = self.whole(run, host)
        return is_ready(self.one, run, host) if whole else whole

    def not_ready(self, run: Run, host: Host) -> str:
        """Say why containerd on ``host`` is not ready, with the pause image that its own configuration names."""
        state = runtime(run, host)
        driver = self.site.kubernetes.cgroup_driver
        return rules.unfit(state.config, driver) or cluster_rules.runtime_not_ready(state, state.config.sandbox)

    def file_for(self, run: Run, host: Host, versions: Mapping[str, str]) -> File | None:
        """Return containerd's file as it is to be with the packages ``versions``, None when it stays as it is."""
        there = run.read(host, files.found([CONTAINERD_CONFIG])).get(CONTAINERD_CONFIG)
        known = note(run, host)
        before = known.before if known and known.before.sandbox else runtime(run, host).config
        known_ = registry_logins.passwords(self.site)
        return wanted_file(self.site, there, before.sandbox, containerd.major(versions) or 1, before.cni, known_)

    def _other_format(self, run: Run, host: Host, file: File) -> bool:
        there = run.read(host, files.found([CONTAINERD_CONFIG]))[CONTAINERD_CONFIG]
        return rules.config_version(there.content) != rules.config_version(file.content)


def note(run: Run, host: Host) -> Note | None:
    """Return the note on ``host``: it is there while this command works on it, and after an interruption."""
    return run.read(host, runtime_upgrade.read())


def services_of(run: Run, host: Host) -> Services:
    """Return the packages of ``host``, and which of them runs."""
    return run.read(host, commands.look(KIND, NAMES, UNITS))


def runtime(run: Run, host: Host) -> Runtime:
    """Return the state of containerd on ``host``."""
    return run.read(host, prepare.runtime())


def replaced(run: Run, host: Host, old: Mapping[str, str]) -> list[str]:
    """Return the packages of ``old`` that are not installed any more in that version."""
    there = services_of(run, host).packages
    return [name for name, version in old.items() if there.get(name) != version]


def is_ready(one: Upgrade, run: Run, host: Host) -> bool | Unmet:
    """Return whether the node of ``host`` is Ready. Raises NotServing when no API server says so."""
    known = one.node_object(run, host)
    return True if known and known.ready else Unmet(f"its node is not Ready: {known.reason if known else 'there is none'}")


def wanted_file(
    site: Site,
    present: Found | None,
    pause: str,
    major: int,
    programs: Collection[str],
    passwords: Mapping[str, Secret] | None = None,
) -> File | None:
    """Return containerd's file as it is to be for containerd ``major``, None when it stays as it is.

    Only a file that cluster.prepare wrote is written anew, in the format of another version. For 1.x it names the directory of the pod network's
    programs if containerd has looked there (``programs``; not known: as it is). An operator's own stays.
    """
    forms = [
        containerd_file(site, pause, number, cni=cni, passwords=passwords) for number, cni in ((1, True), (1, False), (2, True))
    ]
    if not present or present.content not in {each.content for each in forms}:
        return None
    named = PROGRAMS in programs if programs else present.content != forms[1].content
    wanted = containerd_file(site, pause, min(major, 2), cni=named, passwords=passwords)
    return wanted if present.content != wanted.content else None
