"""How load balancers are set up, step by step; `runbooks.lb.tasks` has the commands."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from runbooks.commands import files, firewall, lb, selinux
from runbooks.commands.firewall import Openings
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.lb.files import lb_sysctl, nonlocal_bind
from runbooks.lb.wanted import Wanted
from runbooks.rules import firewall as firewall_rules
from runbooks.rules import lb as rules


def set_up(key: str, title: str, wanted: Sequence[Wanted]) -> Procedure:
    """Return the procedure that gives each LB its files, one LB after the other in the order of ``wanted``."""
    steps: list[Step | Together] = [Together(tuple(install_packages(each) for each in wanted))]
    for each in wanted:
        steps += [
            bind_before_holding(each),
            open_firewall(each),
            allow_ports(each),
            install_configuration(each),
            run_service(each, "haproxy", HAPROXY_CFG),
            run_service(each, "keepalived", KEEPALIVED_CONF),
            does_its_work(each),
        ]
    steps.append(prove_pair(wanted))
    contents = "".join(file.content for each in wanted for file in each.files)
    return Procedure(key, title, steps, inputs={"files": sha256(contents.encode()).hexdigest()})


def install_packages(want: Wanted) -> Step:
    """Install what is missing; what is there keeps its version, so that this never restarts a service."""

    def recent(run: Run) -> None:
        if reason := rules.too_old(run.read(want.host, want.look).packages):
            raise PrecheckError(
                f"{want.host}: {reason}; no configuration was touched there",
                hint="upgrade the host, or give it a package repository with a newer one, then `inv lb.setup` again",
            )

    return Step(
        "install " + ", ".join(lb.PACKAGES),
        want.host,
        check=recent,
        done=lambda run: set(lb.PACKAGES) <= run.read(want.host, want.look).packages.keys(),
        do=lambda run: run.change(want.host, lb.install()),
        verify=recent,
        settled=True,
        by_hand=by_hand("lb", "install_packages", packages=lb.PACKAGES, oldest=lb.OLDEST),
    )


def bind_before_holding(want: Wanted) -> Step:
    """Let HAProxy listen on the VIP on the LB that does not hold it, or it could not even start there."""
    file = lb_sysctl(want.site)

    def done(run: Run) -> bool:
        seen = run.read(want.host, want.look)
        return seen.state.nonlocal_bind and not files.differing([file], seen.files)

    def do(run: Run) -> None:
        there = run.read(want.host, want.look).files
        run.place(want.host, files.differing([file], there), there, files.place([file]))
        run.change(want.host, lb.load_sysctl(file.path))

    key = nonlocal_bind(want.site)
    return Step(
        f"allow the VIP to be bound ({key})",
        want.host,
        done=done,
        do=do,
        settled=True,
        by_hand=by_hand("lb", "bind_before_holding", file=file, key=key),
    )


def open_firewall(want: Wanted) -> Step:
    """Let clients and the other LB's VRRP in where firewalld runs; whatever else it has is left as it is."""
    needed = firewall_rules.wanted(want.site, want.host)
    interface = want.host.interface or want.site.load_balancer.interface

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
        by_hand=by_hand("lb", "open_firewall", needed=needed, interface=interface),
    )


def allow_ports(want: Wanted) -> Step:
    """Let HAProxy listen on its ports and reach its servers' where SELinux is in force."""
    return Step(
        "let haproxy use its ports (SELinux)",
        want.host,
        done=lambda run: not run.read(want.host, want.look).switched_off,
        do=lambda run: run.change(want.host, selinux.switch_on(run.read(want.host, want.look).switched_off)),
        settled=True,
        by_hand=by_hand("lb", "allow_ports", booleans=lb.SELINUX_BOOLEANS),
    )


def install_configuration(want: Wanted) -> Step:
    """Put the files in place once haproxy and keepalived on the host itself have accepted them; the old ones are kept."""

    def do(run: Run) -> None:
        there = run.read(want.host, want.look).files
        try:
            run.place(want.host, files.differing(want.files, there), there, lb.apply(want.files))
        except CommandError as error:
            if error.exited != lb.REFUSED:
                raise
            said = "\n".join(str(error).splitlines()[1:])
            raise PrecheckError(
                f"{want.host} refuses the new configuration; nothing was changed there\n{said}",
                hint="mend hosts.yaml or the template (`inv lb.render --to DIR` shows the files); both LBs serve as before",
            ) from None

    return Step(
        "check and install the configuration",
        want.host,
        done=lambda run: not files.differing(want.files, run.read(want.host, want.look).files),
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


def run_service(want: Wanted, unit: str, config: str) -> Step:
    """Enable the unit; start it, or reload it when it runs with another configuration than the wanted one."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_running_with(run.read(want.host, want.look).state, unit, want.sha(config)))

    def do(run: Run) -> None:
        run.change(want.host, lb.run_service(unit))

    # Settled: what it runs with is compared with what is wanted, not with the file that an earlier step puts in place.
    text = by_hand("lb", "run_service", unit=unit)
    return Step(f"run {unit} with it", want.host, done=done, do=do, within=30, settled=True, by_hand=text)


def does_its_work(want: Wanted) -> Step:
    """Gate: the next LB is touched only when this one serves."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_serving(run.read(want.host, want.look).state))

    text = by_hand("lb", "does_its_work", host=want.host, balancer=want.site.load_balancer)
    return Step("serves: VRRP, stats, metrics", want.host, done=done, within=30, by_hand=text)


def prove_pair(wanted: Sequence[Wanted]) -> Step:
    """The VIP is on exactly one LB, and the API port answers through it (refused is fine while there is no cluster)."""

    def done(run: Run) -> bool | Unmet:
        seen = run.read_all({each.host: each.look for each in wanted})
        return Unmet.of(rules.not_a_pair({host: looked.state for host, looked in seen.items()}))

    site = wanted[0].site
    return Step(
        f"the VIP {site.endpoint.vip} is on exactly one LB, and answers there",
        done=done,
        within=30,
        by_hand=by_hand("lb", "prove_pair", endpoint=site.endpoint),
    )
