"""The pages to follow by hand for the commands that upgrade."""

from __future__ import annotations

from typing import Final

from runbooks.commands.upgrade_backups import MANIFESTS
from runbooks.inventory.model import Site
from runbooks.pages.examples import second
from runbooks.pages.page import Page
from runbooks.upgrade.rollback import procedure
from runbooks.upgrade.rules.rollback import ETCD, ORDER, Back, Put
from runbooks.view.cluster import Survey


def rollback(site: Site) -> Page:
    """One control plane host, whose etcd has another patch release than before."""
    host = second(site)
    pods = [*ORDER, *([] if site.kubernetes.etcd == "external" else [ETCD])]
    puts = tuple(Put(name=name, to=f"{MANIFESTS}/{name}.yaml") for name in pods)
    back = Back(to=(0, 0, 0), since=(0, 0, 0), pods=puts)
    return Page(procedure(site, host, back, Survey()), f"--host {host}", f"{host} was upgraded, and does not work as it should")


UPGRADE: Final = (rollback,)
