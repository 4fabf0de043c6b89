"""The files of the container runtime on a node: which differ, and how they are put in place and taken away."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runbooks.cluster.runtime_files import proxy_files
from runbooks.commands import files, prepare, runtime_files
from runbooks.commands.files import File, Found
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host, Site
from runbooks.rules.no_proxy import no_proxy

WRITTEN = "# Written by ha-runbooks"  # begins each file of ours that people may have written themselves before
PROXY_PARTS = tuple(f"/etc/systemd/system/{unit}.service.d/{runtime_files.PROXY_PART}" for unit in runtime_files.PROXIED)
KUBELET_PROXY = PROXY_PARTS[1]


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do on one host. ``place``: files that are missing or differ; ``remove``: files of ours that hosts.yaml asks for no more."""

    place: Sequence[File]
    remove: Sequence[str]
    there: dict[str, Found]

    @property
    def paths(self) -> list[str]:
        """All of them."""
        return [*(file.path for file in self.place), *self.remove]

    def __bool__(self) -> bool:
        return bool(self.paths)


def differing(run: Run, host: Host, wanted: Sequence[File]) -> Left:
    """Return what is left to do on ``host`` until it has the files ``wanted``."""
    return compared(wanted, run.read(host, runtime_files.look(file.path for file in wanted)))


def compared(wanted: Sequence[File], there: dict[str, Found]) -> Left:
    """As `differing`, with the files that are ``there``."""
    names = {file.path for file in wanted}
    remove = [path for path in there if path not in names and is_of_runtime(path)]
    return Left(files.differing(wanted, there), remove, there)


def is_of_runtime(path: str) -> bool:
    """Whether ``path`` is a file of the container runtime, or the proxy of its services."""
    return path == prepare.CONTAINERD_CONFIG or path in PROXY_PARTS or path.startswith((runtime_files.CERTS, runtime_files.PARTS))


def is_quiet(path: str) -> bool:
    """Whether containerd reads ``path`` at every pull, so that nothing is restarted for it."""
    return path.startswith(f"{runtime_files.CERTS}/")


def place(run: Run, host: Host, wanted: Sequence[File]) -> Left:
    """Put the files ``wanted`` in place, with their differences shown; one that somebody else has written is kept beside it. Returns what was done."""
    left = differing(run, host, wanted)
    _carry_out(run, host, left)
    return left


def place_quiet(run: Run, host: Host, wanted: Sequence[File]) -> None:
    """As `place`, for those of ``wanted`` that nothing is restarted for; other files stay as they are."""
    left = differing(run, host, wanted)
    _carry_out(
        run, host, Left([file for file in left.place if is_quiet(file.path)], [*filter(is_quiet, left.remove)], left.there)
    )


def _carry_out(run: Run, host: Host, left: Left) -> None:
    for file in left.place:
        found = left.there.get(file.path)
        if file.path == prepare.CONTAINERD_CONFIG or (found and is_quiet(file.path) and not found.content.startswith(WRITTEN)):
            run.change(host, prepare.keep(file.path))
    if left.place:
        run.place(host, list(left.place), left.there, files.place(left.place))
    if left.remove:
        run.change(host, runtime_files.remove(left.remove))


def other_proxy(run: Run, site: Site, host: Host, units: Collection[str] = runtime_files.PROXIED) -> str:
    """Return which of the services ``units`` runs with another proxy than that of hosts.yaml, "" when none does.

    Only asked where this tool has, or has had, a say: a proxy that somebody else has given a service is left alone.
    """
    if not proxy_files(site):
        return ""
    proxy = site.baseline.proxy
    given = {"HTTP_PROXY": proxy and proxy.http, "HTTPS_PROXY": proxy and proxy.https, "NO_PROXY": no_proxy(site)}
    running = run.read(host, runtime_files.environment())
    for unit in units:
        if unit in running and any(running[unit].get(name) != text for name, text in given.items() if text):
            return f"{unit} does not run with the proxy of hosts.yaml"
    return ""
