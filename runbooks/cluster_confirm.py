"""What stands between a slip of the hand and the end of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from runbooks import cluster_members as members
from runbooks.cluster_view import Survey
from runbooks.engine.steps import Run
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site


def confirm(site: Site, hosts: Sequence[Host], given: str) -> None:
    """Have the site's name typed, or take it from ``given``. Raises PrecheckError when it is another word."""
    names = ", ".join(host.name for host in hosts)
    if not given and sys.stdin.isatty():
        print(f"This destroys all that Kubernetes keeps on {names}: etcd's data, certificates, containers.")
        print(f"There is no undo but a backup. Type the cluster's name ({site.name}) to go on: ", end="", flush=True)
        given = sys.stdin.readline().strip()
    if given != site.name:
        said = f"{given!r} is not its name" if given else "nobody confirmed it"
        raise PrecheckError(f"{site.name} is not destroyed: {said}", hint=f"--yes-destroy {site.name}")


def refuse_a_member(run: Run, hosts: Sequence[Host]) -> None:
    """Raise PrecheckError for a host that a cluster in service counts on: it has to leave in order."""
    survey = Survey()
    for host in hosts:
        seat = survey.seat(run, without=host)
        if seat and members.known(run, seat, host):
            raise PrecheckError(
                f"{host} is a member of {run.site.name}, which is in service", hint=f"inv cluster.remove --host {host}"
            )
