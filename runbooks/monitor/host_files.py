"""Files on the hosts: the proxy for metrics that are served on localhost only, and what writes files for node_exporter."""

from __future__ import annotations

from typing import Final, NamedTuple

from runbooks.commands.certs import PKI
from runbooks.commands.files import File
from runbooks.commands.monitor import (
    CERTS_PROGRAM,
    CERTS_UNIT,
    PROXY_CFG,
    PROXY_UNIT,
    RELOADER,
    UNITS,
)
from runbooks.inventory.model import Host
from runbooks.inventory.words import Address, Network
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import loopback, loopback_port, proxied, readers
from runbooks.render import ROOT, render

CERTIFICATE: Final = f"{PKI}/apiserver.crt"


class Proxied(NamedTuple):
    """A program behind the proxy. ``token``: whether it checks the API's token."""

    name: str
    address: str
    port: int
    token: bool


def host_files(scope: Scope, host: Host) -> tuple[File, ...]:
    """Return the files that ``host`` should have for monitoring. That of keepalived's state on a load balancer comes with `inv lb.setup`."""
    found: list[File] = []
    if host.is_control_plane:
        found += _certs(scope, host)
        if proxied(scope):
            found += _proxy(scope, host)
    return tuple(found)


def _proxy(scope: Scope, host: Host) -> list[File]:
    site = scope.site
    jobs = [Proxied(job, loopback(site, job, host), loopback_port(site, job), token=job != "etcd") for job in proxied(scope)]
    config = render(
        "metrics-proxy.cfg",
        site=site,
        host=host,
        port=scope.settings.proxy_port,
        certificate=CERTIFICATE,
        scrapers=_readers(scope, host),
        jobs=jobs,
    )
    return [
        File(PROXY_CFG, config, mode="0640"),
        File(f"{UNITS}/{PROXY_UNIT}", render("metrics-proxy.service", config=PROXY_CFG)),
        File(f"{UNITS}/{RELOADER}.path", render("metrics-certificate.path", certificate=CERTIFICATE)),
        File(f"{UNITS}/{RELOADER}.service", render("metrics-certificate.service", unit=PROXY_UNIT)),
    ]


def _readers(scope: Scope, host: Host) -> tuple[Network | Address, ...]:
    """Return who may read the proxy: the scrapers, and the host itself, which could read what is behind it anyway and proves it with that."""
    found = readers(scope)
    inside = any(host.address == each if isinstance(each, Address) else host.address in each for each in found)
    return found if inside else (*found, host.address)


def _certs(scope: Scope, host: Host) -> list[File]:
    program = "#!/bin/bash\n" + "".join(_script(name) for name in ("host/certs-find", "monitor/certs-textfile"))
    unit = render("certs-textfile.service", site=scope.site, host=host, directory=scope.settings.textfiles, program=CERTS_PROGRAM)
    return [
        File(CERTS_PROGRAM, program, mode="0755"),
        File(f"{UNITS}/{CERTS_UNIT}.service", unit),
        File(f"{UNITS}/{CERTS_UNIT}.timer", render("certs-textfile.timer")),
    ]


def _script(name: str) -> str:
    return (ROOT / "scripts" / f"{name}.sh").read_text(encoding="utf-8")
