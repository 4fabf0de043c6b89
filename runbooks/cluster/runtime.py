"""The files of the container runtime on a node: which differ, and how they are put in place and taken away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbooks.cluster.runtime_files import proxy_files
from runbooks.commands import files, prepare, runtime_files
from runbooks.commands.files import File, Found
from runbooks.commands.runtime_files import Proxied
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host, Site
from runbooks.rules import runtime_settings
from runbooks.rules.no_proxy import no_proxy
from runbooks.text import listed

WRITTEN = "# Written by ha-runbooks"  # begins each file of ours that people may have written themselves before
PROXY_PARTS = tuple(f"/etc/systemd/system/{unit}.service.d/{runtime_files.PROXY_PART}" for unit in runtime_files.PROXIED)
KUBELET_PROXY = PROXY_PARTS[1]


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do on one host. ``place``: files that are missing or differ; ``remove``: files of ours that hosts.yaml asks for no more.

    ``quiet``: the paths of both for which nothing is restarted.
    """

    place: Sequence[File]
    remove: Sequence[str]
    there: dict[str, Found]
    quiet: frozenset[str] = frozenset()

    @property
    def paths(self) -> list[str]:
        """All of them."""
        return [*(file.path for file in self.place), *self.remove]

    @property
    def loud(self) -> list[str]:
        """Those for which containerd or the kubelet is restarted."""
        return [path for path in self.paths if path not in self.quiet]

    def __bool__(self) -> bool:
        return bool(self.paths)

    def only_quiet(self) -> Left:
        """Return those for which nothing is restarted."""
        place = [file for file in self.place if file.path in self.quiet]
        return Left(place, [path for path in self.remove if path in self.quiet], self.there, self.quiet)


def differing(run: Run, host: Host, wanted: Sequence[File]) -> Left:
    """Return what is left to do on ``host`` until it has the files ``wanted``."""
    return compared(wanted, run.read(host, runtime_files.look(file.path for file in wanted)))


def compared(wanted: Sequence[File], there: dict[str, Found]) -> Left:
    """As `differing`, with the files that are ``there``."""
    names = {file.path for file in wanted}
    place = files.differing(wanted, there)
    remove = [path for path in files.regular(there) if path not in names and is_of_runtime(path)]
    config = next((file.content for file in wanted if file.path == prepare.CONTAINERD_CONFIG), None)
    unread = {path for path in [*names, *remove] if config is not None and _is_unread(path, config)}
    quiet = {path for path in [*names, *remove] if is_quiet(path)} | unread | {file.path for file in place if _same(file, there)}
    return Left(place, remove, there, frozenset(quiet))


def _same(file: File, there: Mapping[str, Found]) -> bool:
    """Whether only mode or owner of ``file`` differ: who reads it finds the same."""
    return file.path in there and there[file.path].content == file.content


def _is_unread(path: str, config: str) -> bool:
    """Whether ``path`` is a part of the other version: not in a directory that containerd's file imports. Where that line changes, the file says so."""
    return path.startswith(f"{runtime_files.PARTS}/") and f'"{path.rpartition("/")[0]}/*.toml"' not in config


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
    _carry_out(run, host, differing(run, host, wanted).only_quiet())


def _carry_out(run: Run, host: Host, left: Left) -> None:
    same = [file for file in left.place if _same(file, left.there)]
    other = [file for file in left.place if file not in same]
    for file in other:
        if _is_of_others(file, left.there.get(file.path)):
            run.change(host, prepare.keep(file.path))
    if other:
        run.place(host, other, left.there, files.place(other))
    if same:
        run.place(host, same, left.there, runtime_files.set_modes(same))
    if left.remove:
        run.change(host, runtime_files.remove(left.remove))


def _is_of_others(file: File, found: Found | None) -> bool:
    """Whether what is ``found`` in the place of ``file`` may have something that this tool did not write: then it is kept, once.

    A file of our own is not: it may have an old password.
    """
    if found is None or found.content == file.content:
        return False
    if file.path == prepare.CONTAINERD_CONFIG:
        return not found.content.startswith(WRITTEN) or bool(runtime_settings.by_hand(found.content, file.content))
    return is_quiet(file.path) and not file.path.endswith(f"/{runtime_files.CA}") and not found.content.startswith(WRITTEN)


def other_proxy(run: Run, site: Site, host: Host, units: Collection[str] = runtime_files.PROXIED) -> str:
    """Return which of the services ``units`` runs with another proxy than that of hosts.yaml, why, and the way out; "" when none does.

    Only asked where this tool has, or has had, a say: a proxy that somebody else has given a service is left alone.
    """
    return unlike(site, run.read(host, runtime_files.environment()), units) if proxy_files(site) else ""


def unlike(site: Site, running: Mapping[str, Proxied], units: Collection[str] = runtime_files.PROXIED) -> str:
    """As `other_proxy`, with the proxies of the services that are ``running``. No value is shown: a proxy of others may have a password in it."""
    proxy = site.baseline.proxy
    given = {"HTTP_PROXY": proxy and proxy.http, "HTTPS_PROXY": proxy and proxy.https, "NO_PROXY": no_proxy(site)}
    for unit in units if proxy else ():
        if unit in running and (
            names := [name for name, text in given.items() if text and running[unit].given.get(name) != text]
        ):
            why = f"{unit} runs with another {listed(names)} than hosts.yaml says (baseline.proxy)"
            if running[unit].files:
                return f"{why}: also set in {listed(running[unit].files)}; take it out there, then run the command again"
            return f"{why}; no other file of its unit sets one, so see systemctl show-environment and restart {unit}"
    return ""
