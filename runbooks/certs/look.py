"""The certificates of the site as they are now, host by host, and the operator's own kubeconfig."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runbooks.commands import certs
from runbooks.commands.certs import Certificate, HostCerts
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import kubeconfig as rules_kubeconfig
from runbooks.view.cluster import Survey


def look(run: Run, survey: Survey, hosts: Iterable[Host]) -> dict[Host, HostCerts | RunbookError]:
    """See every one of ``hosts`` at the same time; an error stands in the place of one that cannot be seen."""
    return survey.each(run, {host: certs.look(run.site, host) for host in hosts})


def of(run: Run, host: Host) -> HostCerts:
    """See one host, which has to answer."""
    return run.read(host, certs.look(run.site, host))


def kubeconfig(path: Path) -> Certificate | None:
    """Return the client certificate in the operator's kubeconfig, None when there is none."""
    return rules_kubeconfig.client(_text(path), str(path))


def kubeconfigs_authority(path: Path) -> str:
    """Return the fingerprint of the CA in the operator's kubeconfig, or ""."""
    return rules_kubeconfig.authority(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
