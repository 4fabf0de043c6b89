"""The steps that set up load balancers; `runbooks.lb.tasks` has the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from runbooks.commands import files, firewall, lb, selinux
from runbooks.commands.firewall import Openings
from runbooks.commands.lb_own import with_origins
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.claims import addresses_are_held, look, refuse, serves_again, still_kept, takes_nothing_away
from runbooks.lb.files import lb_sysctl, nonlocal_bind
from runbooks.lb.service import is_master, run_service, step_aside
from runbooks.lb.strangers import refuse_taken
from runbooks.lb.wanted import Wanted
from runbooks.rules import firewall as firewall_rules
from runbooks.rules import lb as rules
from runbooks.rules import lb_claims as claim_rules
from runbooks.text import listed


def set_up(
    key: str,
    title: str,
    wanted: Sequence[Wanted],
    first: Mapping[Host, Sequence[Step]] | None = None,
    names: Sequence[Step] = (),
    *,
    deaf: bool = False,
) -> Procedure:
    """Return the procedure that installs each LB's files, one LB after the other in the order of ``wanted``.

    ``first``: what comes before its files on each. ``names``: what comes before the packages: their servers may be found by it.
    ``deaf``: LBs with the old and the new files do not hear each other (see `switch`).
    Never works on two LBs at the same time (installing packages aside): the next one is changed only when this one serves.
    """
    steps: list[Step | Together] = [
        takes_nothing_away(wanted, lambda run: refuse_taken(run, wanted)),
        *([Together(tuple(names))] if names else []),
        Together(tuple(install_packages(each) for each in wanted)),
    ]
    before = {
        each.host: [
            *(first or {}).get(each.host, ()),
            allow_nonlocal_bind(each),
            open_firewall(each),
            allow_selinux_ports(each),
        ]
        for each in wanted
    }
    if deaf:
        steps += [step for those in before.values() for step in those]
        steps += switch(wanted)
    else:
        for each in wanted:
            steps += [*before[each.host], install_configuration(each), *run_both(each)]
    steps.append(addresses_are_held(wanted) if any(each.original for each in wanted) else verify_pair(wanted))
    contents = "".join(file.content for each in wanted for file in each.files)
    return Procedure(key, title, steps, inputs={"files": sha256(contents.encode()).hexdigest()})


def run_both(want: Wanted, aside: Sequence[Host] | None = None) -> list[Step]:
    """Run HAProxy and keepalived with the wanted files, and prove that the LB serves. ``aside``: as in `run_service`."""
    return [
        run_service(want, "haproxy", HAPROXY_CFG, aside),
        run_service(want, "keepalived", KEEPALIVED_CONF, aside),
        serves_again(want) if want.original else serves(want),
    ]


def switch(wanted: Sequence[Wanted]) -> list[Step]:
    """Return the steps that bring the pair to files with which it hears no LB that has the old ones; the last of ``wanted`` has the VIP.

    Two of them would both be master. So keepalived of the others is stopped, and does not start at boot, until the last one has
    the new files: it goes on as the only master, and the VIP stays on it (lb-run.sh). Until then it has no standby. The new haproxy.cfg
    serves on the others first.
    """
    *others, last = wanted
    steps: list[Step] = []
    for each in others:
        steps += [
            step_aside(each, last),
            install_configuration(each, [one.host for one in others]),
            run_service(each, "haproxy", HAPROXY_CFG, [each.host]),
        ]
    steps += [install_configuration(last, [each.host for each in others]), *run_both(last, [each.host for each in others])]
    if others and not last.original:
        steps.append(is_master(last))
    for each in others:
        steps += run_both(each)[1:]
    return steps


def install_packages(want: Wanted) -> Step:
    """Install the missing packages. Never upgrades an installed one, because an upgrade would restart its service."""

    def recent(run: Run) -> None:
        if reason := rules.too_old(run.read(want.host, want.look).packages):
            raise PrecheckError(
                f"{want.host}: {reason}; its configuration was not changed",
                hint="upgrade the host, or add a package repository with a newer version; then run `inv lb.setup` again",
            )

    return Step(
        f"install {listed(lb.PACKAGES)}",
        want.host,
        check=recent,
        done=lambda run: set(lb.PACKAGES) <= run.read(want.host, want.look).packages.keys(),
        do=lambda run: install(run, want.host, lb.install()),
        verify=recent,
        settled=True,
        by_hand=by_hand("lb", "install_packages", packages=lb.PACKAGES, oldest=lb.OLDEST),
    )


def allow_nonlocal_bind(want: Wanted) -> Step:
    """Let HAProxy bind the VIP on an LB that does not hold it; without that, HAProxy does not start there (kernel: ip_nonlocal_bind)."""
    file = lb_sysctl(want.site)

    def done(run: Run) -> bool:
        facts = run.read(want.host, want.look)
        return facts.state.nonlocal_bind and not files.differing([file], facts.files)

    def do(run: Run) -> None:
        there = run.read(want.host, want.look).files
        run.place(want.host, files.differing([file], there), there, files.place([file]))
        run.change(want.host, lb.load_sysctl(file.path))

    key = nonlocal_bind(want.site)
    return Step(
        f"let HAProxy bind the VIP ({key})",
        want.host,
        done=done,
        do=do,
        settled=True,
        by_hand=by_hand("lb", "allow_nonlocal_bind", file=file, key=key),
    )


def open_firewall(want: Wanted) -> Step:
    """Open firewalld, where it runs, for clients and for the other LBs' VRRP. Only adds: other rules stay as they are."""
    needed = firewall_rules.wanted(want.site, want.host, want.own_binds)

    def lacking(run: Run) -> tuple[Openings, Openings]:
        there = run.read(want.host, want.look).firewall
        if not there:
            return Openings(), Openings()
        return firewall_rules.missing(needed, there.now), firewall_rules.missing(needed, there.kept)

    def do(run: Run) -> None:
        if there := run.read(want.host, want.look).firewall:
            run.change(want.host, firewall.allow(there.zone, *lacking(run)))

    return Step(
        "open the firewall (firewalld)",
        want.host,
        done=lambda run: not any(lacking(run)),
        do=do,
        settled=True,
        by_hand=by_hand("lb", "open_firewall", needed=needed, interface=lb.interface(want.site, want.host)),
    )


def allow_selinux_ports(want: Wanted) -> Step:
    """Let HAProxy listen on its ports and connect to its servers' ports where SELinux is on."""
    return Step(
        "let HAProxy use its ports (SELinux)",
        want.host,
        done=lambda run: not run.read(want.host, want.look).switched_off,
        do=lambda run: run.change(want.host, selinux.switch_on(run.read(want.host, want.look).switched_off)),
        settled=True,
        by_hand=by_hand("lb", "allow_selinux_ports", booleans=lb.SELINUX_BOOLEANS),
    )


def install_configuration(want: Wanted, aside: Sequence[Host] = ()) -> Step:
    """Install the files once haproxy and keepalived on that host have accepted them. The old files are kept for lb.rollback.

    ``aside``: the LBs whose keepalived is stopped meanwhile, and goes on not to start at boot.
    """
    enabled = ("haproxy",) if want.host in aside else ("haproxy", "keepalived")

    def done(run: Run) -> bool:
        there = run.read(want.host, want.look).files
        return not files.differing(want.files, there) and not there.keys() & set(want.gone)

    def do(run: Run) -> None:
        there, claims = run.read(want.host, files.found(want.paths)), look(run, [want])[want.host]
        refuse([(want, claims)])
        still_kept(want, claims)
        foreign = bool(claim_rules.foreign(want.site, want.host, claims))
        try:
            command = lb.apply(want.files, want.gone, foreign=foreign, read=claims.haproxy_reads, enabled=enabled)
            run.place(want.host, files.differing(want.files, there), there, command)
        except CommandError as error:
            raise _not_applied(want, error, aside) from None

    return Step(
        "check and install the configuration",
        want.host,
        done=done,
        do=do,
        settled=True,
        by_hand=by_hand(
            "lb",
            "install_configuration",
            host=want.host,
            files=want.files,
            haproxy_cfg=HAPROXY_CFG,
            keepalived_conf=KEEPALIVED_CONF,
            library=LIBRARY,
        ),
    )


def _not_applied(want: Wanted, error: CommandError, aside: Sequence[Host]) -> RunbookError:
    output = files.hidden(with_origins("\n".join(str(error).splitlines()[1:]), want.text(HAPROXY_CFG), HAPROXY_CFG))
    both = (
        f"keepalived of {listed(aside)} may be stopped until then; with the files from before: systemctl enable --now keepalived there"
        if aside
        else "both LBs serve as before"
    )
    if error.exited == lb.REFUSED:
        return PrecheckError(
            f"{want.host} refuses the new configuration; nothing was changed there\n{output}",
            hint=f"correct hosts.yaml, the template (`inv lb.render --to DIR` writes the files) or the file that it names; {both}",
        )
    if error.exited == lb.NOT_ENABLED:
        return PrecheckError(
            f"{want.host}: nothing was changed there\n{output}",
            hint=f"on {want.host}: systemctl status haproxy keepalived shows why (masked?); then inv {want.command}",
        )
    return error


def serves(want: Wanted) -> Step:
    """Gate: the next LB is changed only when this one serves."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_serving(want.judged(run.read(want.host, want.look).state)))

    text = by_hand("lb", "serves", host=want.host, balancer=want.site.load_balancer)
    return Step("serves: VRRP, stats, metrics", want.host, done=done, within=30, by_hand=text)


def verify_pair(wanted: Sequence[Wanted]) -> Step:
    """Gate: the VIP is on exactly one LB, and the API port answers through it. "Connection refused" is fine: there may be no cluster yet."""

    def done(run: Run) -> bool | Unmet:
        facts = run.read_all({each.host: each.look for each in wanted})
        return Unmet.of(rules.not_a_pair({each.host: each.judged(facts[each.host].state) for each in wanted}))

    site = wanted[0].site
    return Step(
        f"the VIP {site.endpoint.vip} is on exactly one LB, and answers there"
        if not site.load_balancer.vips
        else "every VIP is on exactly one LB, and the API answers",
        done=done,
        within=30,
        by_hand=by_hand("lb", "verify_pair", endpoint=site.endpoint, vips=site.load_balancer.vips),
    )
