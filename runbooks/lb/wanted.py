"""The configuration that each load balancer should have, what it has now, and the order in which LBs are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from runbooks.commands import files, firewall, lb, lb_config, lb_kept, lb_own, selinux
from runbooks.commands.base import Probe, Secret, batch
from runbooks.commands.files import File, Found
from runbooks.commands.firewall import Firewall
from runbooks.commands.lb import LbState
from runbooks.commands.lb_config import Bind
from runbooks.commands.lb_kept import NOTHING, Kept
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb.files import lb_files, lb_sysctl
from runbooks.lb.taken import apart, changes_hands, look, taken, unknown_holder
from runbooks.rules import lb as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.engine.steps import Run


def wanted(
    session: Session,
    hosts: Sequence[Host] = (),
    *,
    command: str = "lb.setup",
    take_over: bool = False,
    new_password: bool = False,
) -> list[Wanted]:
    """Return the configuration that each load balancer (or only ``hosts``) should have by hosts.yaml.

    ``take_over``: it may replace files that are not from lb.setup. ``new_password``: a VRRP password that the LBs do not have yet may
    replace theirs. ``command`` is the one that runs, for the hint. Raises PrecheckError when it would, and may not.
    """
    site, secret = session.site, _auth_pass(session, new=new_password)
    left = _kept(session.run, hosts or site.load_balancers, take_over=take_over)
    return [
        Wanted(site, host, lb_files(site, host, secret, kept), kept=kept, take_over=take_over, command=command)
        for host, kept in left.items()
    ]


def _kept(run: Run, hosts: Sequence[Host], *, take_over: bool) -> dict[Host, Kept]:
    """Return what each host has from before lb.setup; with ``take_over`` also what is to stay there. Of a host that does not answer, nothing."""
    if not take_over:
        seen = run.read_each(dict.fromkeys(hosts, files.found([HAPROXY_CFG, KEEPALIVED_CONF])))
        return {host: NOTHING if isinstance(each, RunbookError) else kept_in(each) for host, each in seen.items()}
    claims = look(run, hosts)
    return {
        host: NOTHING if isinstance(each, RunbookError) else taken(run.site, host, each).kept for host, each in claims.items()
    }


def kept_in(there: Mapping[str, Found]) -> Kept:
    """Return what these files of an LB have from before lb.setup."""
    texts = {path: there[path].content if path in there else "" for path in (HAPROXY_CFG, KEEPALIVED_CONF)}
    return lb_kept.kept(texts[HAPROXY_CFG], texts[KEEPALIVED_CONF])


def standby_first(run: Run, wanted: Sequence[Wanted]) -> tuple[list[Wanted], bool]:
    """Return ``wanted`` in the order to change the LBs in, the holder of the VIP last; and whether they do not hear each other meanwhile."""
    facts = run.read_all({each.host: each.look for each in wanted})
    present = {host: each.files[KEEPALIVED_CONF].content for host, each in facts.items() if KEEPALIVED_CONF in each.files}
    goal, site = {each.host: each.text(KEEPALIVED_CONF) for each in wanted}, wanted[0].site
    states = {host: each.state for host, each in facts.items()}
    vips = {each.name: str(each.address) for each in site.load_balancer.vips}
    holds = {host: [vips[one.name] for one in each.others if one.holds and one.name in vips] for host, each in states.items()}
    deaf = (
        apart(site, present, goal)
        or any(changes_hands(text, goal.get(host, "")) for host, text in present.items())
        or unknown_holder(present, holds, goal)
    )
    return in_change_order(wanted, states), deaf or rules.half_switched(states)


def in_change_order(wanted: Sequence[Wanted], states: Mapping[Host, LbState]) -> list[Wanted]:
    """Return ``wanted`` in the order of `runbooks.rules.lb.change_order`."""
    order = rules.change_order([each.host for each in wanted], states)
    return sorted(wanted, key=lambda each: order.index(each.host))


def _auth_pass(session: Session, *, new: bool) -> Secret | None:
    if session.site.load_balancer.vrrp.version != 2:
        return None
    import os  # noqa: PLC0415 - only here

    from runbooks.lb.auth_pass import auth_pass, of_site  # noqa: PLC0415 - start-up time

    if new:
        return auth_pass(session.state, os.environ, keep=not session.options.plan)
    probe = files.found([KEEPALIVED_CONF])
    seen = session.run.read_each(dict.fromkeys(session.site.load_balancers, probe))
    silent = {host: each for host, each in seen.items() if isinstance(each, RunbookError)}
    texts = {
        host: each[KEEPALIVED_CONF].content for host, each in seen.items() if isinstance(each, dict) and KEEPALIVED_CONF in each
    }
    return of_site(session.state, os.environ, texts, silent, keep=not session.options.plan)


class LbFacts(NamedTuple):
    """What one LB has now, from one round trip. ``switched_off`` are the SELinux booleans that have to be on."""

    packages: dict[str, str]
    files: dict[str, Found]
    state: LbState
    firewall: Firewall | None
    switched_off: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """One LB and the configuration that it should have.

    ``gone`` are the files that it should not have. ``kept`` is the part of them that is from before lb.setup; None for files that were
    not made from hosts.yaml. ``take_over``: files that are not from lb.setup may be replaced; ``command`` may be given that flag.
    """

    site: Site
    host: Host
    files: tuple[File, ...]
    _: KW_ONLY
    gone: tuple[str, ...] = ()
    kept: Kept | None = None
    take_over: bool = False
    command: str = "lb.setup"

    @cached_property
    def look(self) -> Probe[LbFacts]:
        """Ask for the packages, the files, the state of the services, firewalld and SELinux."""
        paths = [*self.paths, lb_sysctl(self.site).path]
        everything = batch(
            lb.installed(),
            files.found(paths),
            lb.state(self.site, self.host),
            firewall.look(lb.interface(self.site, self.host)),
            selinux.switched_off(lb.SELINUX_BOOLEANS),
        )
        return Probe(everything.command, lambda answer: LbFacts(*everything.parse(answer)))

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all files that are written or deleted."""
        return (*(file.path for file in self.files), *self.gone)

    @property
    def own_binds(self) -> list[Bind]:
        """Where the operator's own sections of haproxy.cfg listen."""
        return lb_config.binds(lb_own.of_the_operator(self.text(HAPROXY_CFG)))

    def judged(self, state: LbState) -> LbState:
        """Return ``state`` without the VIPs that this configuration does not have: an earlier one may have fewer than hosts.yaml."""
        names = lb_config.other_names(self.text(KEEPALIVED_CONF))
        return replace(state, others=tuple(each for each in state.others if each.name in names))

    @property
    def original(self) -> bool:
        """Whether this is a configuration that lb.setup did not write: one from before it."""
        return not all(lb_config.is_ours(self.text(path)) for path in (HAPROXY_CFG, KEEPALIVED_CONF))

    def text(self, path: str) -> str:
        """Return the content of the wanted file at ``path``, "" when there should be none."""
        return next((file.content for file in self.files if file.path == path), "")

    def sha(self, path: str) -> str:
        """Return the SHA-256 of the wanted file at ``path``."""
        return next(sha256(file.content.encode()).hexdigest() for file in self.files if file.path == path)
