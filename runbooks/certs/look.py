"""Reads the certificates of the site's hosts, and the operator's own kubeconfig."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runbooks.certs.rules.renewal import CertsByHost
from runbooks.commands import certs
from runbooks.commands.certs import Certificate, HostCerts
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.rules import kubeconfig
from runbooks.view.cluster import Survey


def all_hosts(run: Run, survey: Survey, hosts: Iterable[Host]) -> CertsByHost:
    """Read the certificates of ``hosts`` in parallel; a host that cannot be read has its error instead."""
    return survey.each(run, {host: certs.look(run.site, host) for host in hosts})


def one(run: Run, host: Host) -> HostCerts:
    """Read the certificates of one host. Raises RunbookError when it cannot be read."""
    return run.read(host, certs.look(run.site, host))


def kubeconfig_certificate(path: Path) -> Certificate | None:
    """Return the client certificate in the operator's kubeconfig, None when there is none."""
    return kubeconfig.client(_text(path), str(path))


def kubeconfig_ca(path: Path) -> str:
    """Return the fingerprint of the CA in the operator's kubeconfig, "" when there is none."""
    return kubeconfig.authority(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
