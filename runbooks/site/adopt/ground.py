"""Where a cluster is looked for: in the machine's own network or inside a lab; how to log in there; and which file is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from runbooks.commands import yaml_text
from runbooks.commands.ssh_config import Jump, jumps
from runbooks.engine.namespace import enter
from runbooks.errors import InventoryError, PrecheckError, RunbookError
from runbooks.inventory.load import load_site
from runbooks.inventory.locate import LAB_RUN, expanded, locate
from runbooks.inventory.model import Host, LabTwin, Site
from runbooks.inventory.problems import shown
from runbooks.inventory.settings import Endpoint, Kubernetes, Networks, Ssh
from runbooks.inventory.settings_lb import LoadBalancer, Vrrp
from runbooks.inventory.words import Address, Network
from runbooks.site.adopt.login import Logins
from runbooks.site.adopt.rules.ground import networks_in, networks_of, refusal

KNOWN_HOSTS = "known_hosts"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is known before anything was looked at.

    file      the site file that is written, or compared where it is ``there``.
    lab       the lab inside which everything happens, None for the machine's own network.
    base      the site file whose login is used, of the lab or the one that is there; None for the operator's own ssh configuration.
    known_hosts   the host keys; beside the file.
    reserved  networks that are never connected to from the machine's own network, and whose they are.
    """

    file: Path
    there: Site | None
    lab: LabTwin | None
    base: Site | None
    known_hosts: Path
    reserved: Mapping[Network, str] = field(default_factory=dict)

    def allow(self, addresses: Iterable[Address]) -> None:
        """Raise PrecheckError unless all of ``addresses`` may be connected to. Inside a lab all may: nothing leads out of it."""
        if not self.lab and (why := refusal(addresses, self.reserved)):
            hint = "RUNBOOKS_SITE=lab:NAME adopts inside that lab; if these are hosts of yours: take the lab down, delete the example"
            raise PrecheckError(why, hint=hint)

    def logins(self, given: Jump) -> Logins:
        """Return how to log in, by what was ``given`` for every host."""
        return Logins(given, self.base, self.known_hosts)

    def stand_in(self, first: Host, ssh: Ssh) -> Site:
        """Return a site to connect with, before there is one: only its ``ssh``, ``lab`` and the host mean anything."""
        one = ip_network(first.address)
        return Site(
            name="site-adopt",
            endpoint=Endpoint(vip=first.address),
            networks=Networks(management=one, pods=one, services=one),
            kubernetes=Kubernetes(version="1.0.0"),
            load_balancer=LoadBalancer(interface="none", vrrp=Vrrp(id=1)),
            ssh=ssh,
            hosts=(first,),
            lab=self.lab,
        )


def ground(environ: Mapping[str, str], root: Path, *, output: str) -> Ground:
    """Return where to look, and enter the lab if it is one. ``output``: --output.

    A site file that RUNBOOKS_SITE names decides: of a lab, everything happens inside that lab, with its login. Raises InventoryError and PrecheckError.
    """
    chosen = locate(environ, root)
    named = load_site(chosen).site if chosen.is_file() else None
    file = expanded(Path(output), Path.cwd()).absolute() if output else chosen.absolute()
    there = named if file == chosen.absolute() else load_site(file).site if file.is_file() else None
    lab = _lab(file, there, named)
    if not file.parent.is_dir():
        raise InventoryError(f"{shown(file)}: there is no directory {file.parent}", hint=f"mkdir -p {file.parent}")
    inside = there if there and there.lab else named if lab else None
    if inside:
        enter(inside)  # before a name is asked for
    return Ground(
        file=file,
        there=there,
        lab=lab,
        base=there or inside,
        known_hosts=there.ssh.known_hosts if there else file.parent / KNOWN_HOSTS,
        reserved={} if lab else _reserved(root, named),
    )


def _lab(file: Path, there: Site | None, named: Site | None) -> LabTwin | None:
    """Return the lab that the two site files are of. Raises PrecheckError for the example, InventoryError when they are of two."""
    if there and there.example and not there.lab:
        raise PrecheckError(
            f"{shown(file)} is the example site, and a file that exists is never written over",
            hint="name another file, and use it from then on: --output mysite.yaml, RUNBOOKS_SITE=mysite.yaml; or delete the example",
        )
    lab = there.lab if there else named.lab if named else None
    if there and named and named.lab != lab:
        raise InventoryError(
            f"{shown(file)} and RUNBOOKS_SITE are not of the same lab",
            hint=f"RUNBOOKS_SITE={shown(file)} inv site.adopt compares that file; or name another one",
        )
    return lab


def given(host: str, key: str) -> Jump:
    """Return what --host, [USER@]HOST[:PORT], and --key say. Raises InventoryError for anything else."""
    found = jumps(host).jumps
    if len(found) != 1 or found[0].host.startswith("-"):
        raise InventoryError(f"--host: {host} is not [USER@]HOST[:PORT]", hint="such as ops@10.1.1.101, or ops@[fd00::101]:22")
    return Jump(found[0].host, found[0].user, found[0].port, key or None)


def _reserved(root: Path, named: Site | None) -> dict[Network, str]:
    """Return the networks of the example, wherever it is named, and of every lab on this machine. Raises PrecheckError as `_labs`."""
    examples = [named] if named else []
    with suppress(RunbookError, OSError):
        examples.append(load_site(root / "hosts.yaml").site)
    found = {network: f"the example site {site.name}" for site in examples if site.example for network in networks_of(site)}
    return found | _labs()


def _labs() -> dict[Network, str]:
    """Return the networks of the labs on this machine. Raises PrecheckError when one cannot be read: then nobody knows which are its own."""
    found: dict[Network, str] = {}
    try:
        directories = sorted(LAB_RUN.iterdir())
    except FileNotFoundError:
        return found
    except OSError as error:
        message = f"which labs are on this machine cannot be read ({LAB_RUN}: {error.strerror}), and nothing may connect to their addresses"
        raise PrecheckError(message, hint="run this as the user who makes labs") from None
    for directory in directories:
        try:
            own = [] if directory.name.startswith(".") else _networks(directory / "site.yaml")
        except (FileNotFoundError, NotADirectoryError):
            continue  # it is being made, or taken away
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not YAML"
            raise PrecheckError(
                f"which addresses are of the lab {directory.name} cannot be read ({directory}/site.yaml: {said}), and nothing may connect to these",
                hint=f"as the user who made it: RUNBOOKS_LAB={directory.name} inv lab.down; or run this as that user",
            ) from None
        found |= dict.fromkeys(own, f"the lab {directory.name}")
    return found


def _networks(path: Path) -> list[Network]:
    """Return the networks of a lab. Raises OSError and ValueError when its site file cannot be read."""
    text = path.read_text(encoding="utf-8")
    try:
        return networks_of(load_site(path).site)
    except RunbookError:
        return networks_in(yaml_text.mapping(text))
