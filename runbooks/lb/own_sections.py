"""The files of `load_balancer.haproxy_files` on this machine: the operator's own sections of haproxy.cfg."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runbooks.commands import lb_config, lb_own
from runbooks.errors import InventoryError
from runbooks.inventory.model import Site
from runbooks.inventory.places import unreadable
from runbooks.rules import lb_sections


def own_sections(site: Site, haproxy_cfg: str) -> str:
    """Return what follows ``haproxy_cfg``, which is an LB's without them. Raises InventoryError, with all that is wrong, before any host is touched."""
    if not site.load_balancer.haproxy_files:
        return ""
    if wrong := list(problems(site, haproxy_cfg)):
        raise InventoryError(
            "\n       ".join(message for _, message in wrong),
            hint="correct these files (load_balancer.haproxy_files in hosts.yaml); inv site.check looks again",
        )
    return lb_own.appended(_texts(site))


def problems(site: Site, haproxy_cfg: str) -> Iterator[tuple[str, str]]:
    """Yield the key in hosts.yaml and what is wrong with its file, with the file's path and line."""
    keys = {str(path): f"load_balancer.haproxy_files[{number}]" for number, path in enumerate(site.load_balancer.haproxy_files)}
    lost = {path: why for path in keys if (why := unreadable(Path(path)) or _not_text(Path(path)))}
    for path, why in lost.items():
        yield keys[path], f"{path} {why}"
    if not lost:
        for path, message in lb_sections.problems(_texts(site), lb_config.binds(haproxy_cfg)):
            yield keys[path], f"{path}:{message}"


def _texts(site: Site) -> dict[str, str]:
    return {str(path): path.read_text(encoding="utf-8") for path in site.load_balancer.haproxy_files}


def _not_text(path: Path) -> str:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "is no UTF-8 text"
    return ""
