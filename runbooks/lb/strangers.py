"""Before keepalived takes a VIP: nobody else in the network may have it."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import lb_config, vip_asked
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.commands.vip_asked import Asked
from runbooks.engine.steps import Run
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Site
from runbooks.lb.wanted import Wanted
from runbooks.rules import vip_taken as rules
from runbooks.rules.vip_taken import Taken
from runbooks.text import indented


def refuse_taken(run: Run, wanted: Sequence[Wanted]) -> None:
    """Raise PrecheckError when a machine that is no load balancer answers for a VIP that the files ``wanted`` have, and no LB has yet.

    While a load balancer does not say which addresses it has, nobody can tell: then nothing is refused.
    """
    site = run.site
    named = {each for want in wanted for each in lb_config.virtual_addresses(want.text(KEEPALIVED_CONF))}
    vips = {name: address for name, address in site.vips.items() if str(address) in named}
    asked = list(vips.values())
    said = run.read_each({host: vip_asked.look(site, host, asked) for host in site.load_balancers}) if vips else {}
    seen = {host: each for host, each in said.items() if isinstance(each, Asked)}
    found = rules.taken(vips, seen) if len(seen) == len(said) else []
    if found:
        lines = [_words(run, site, each) for each in found]
        raise PrecheckError(
            f"nothing was changed:{indented(lines)}",
            hint="take the address away from that machine, or write another one into hosts.yaml; then the same command again. "
            f"On {found[0].seen_by}: ip neighbour show to {found[0].address}",
        )


def _words(run: Run, site: Site, one: Taken) -> str:
    """Say who has a VIP: by the name of a host of hosts.yaml where it is one."""
    others = [host for host in site.hosts if not host.is_lb]
    said = run.read_each({host: vip_asked.look(site, host, [one.address]) for host in others})
    names = [str(host) for host, each in said.items() if isinstance(each, Asked) and str(one.address) in each.here]
    who = f"{names[0]} has it" if names else "a machine that is no load balancer answers for it"
    return f"{one.address} ({one.key}) is in use: {who}, hardware address {one.mac}, as {one.seen_by} sees it"
