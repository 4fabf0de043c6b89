"""The pages to follow by hand for the cluster's commands."""

from __future__ import annotations

from typing import Final

from runbooks.cluster import build
from runbooks.cluster import prepare as cluster_prepare
from runbooks.cluster import remove as cluster_remove
from runbooks.inventory.model import Site
from runbooks.pages.examples import second
from runbooks.pages.page import Page


def prepare(site: Site) -> Page:
    """All hosts."""
    return Page(cluster_prepare.prepare_procedure(site, site.nodes))


def init(site: Site) -> Page:
    """A new cluster on empty hosts."""
    plan = build.Plan(site, site.nodes)
    return Page(build.init_procedure(plan, site.control_plane[0]), given="no host is in any cluster yet")


def join(site: Site) -> Page:
    """An empty control plane host joins again."""
    host = second(site)
    return Page(build.join_procedure(build.Plan(site, (host,))), f"--host {host}", f"{host} is empty, the others are in service")


def remove(site: Site) -> Page:
    """One control plane host."""
    host = second(site)
    return Page(
        cluster_remove.remove_procedure(site, host),
        f"--host {host}",
        f"{host} is to be removed, dead or alive, and the others are healthy",
    )


def reset(site: Site) -> Page:
    """All hosts."""
    return Page(cluster_remove.reset_procedure(site, site.nodes))


CLUSTER: Final = (prepare, init, join, remove, reset)
