"""Steps for what every host has besides, by `baseline` in hosts.yaml: names, unattended upgrades, sysctls and modules, time.

Nodes get them by `inv cluster.prepare` and `inv cluster.reconfigure`, load balancers by `inv lb.setup`. A part that hosts.yaml does not name
has a step only where something of ours is left on the host: the step takes it away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runbooks.commands import baseline as commands
from runbooks.commands import files, prepare
from runbooks.commands.baseline import MODULES_FILE, RECORD, SYSCTL_FILE, Seen
from runbooks.engine.by_hand import ByHand, by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Run, Step, Together, Unmet
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import baseline as rules
from runbooks.rules import baseline_files as texts
from runbooks.rules import blocks
from runbooks.rules.baseline_files import Files, Part

TITLES: Mapping[Part, str] = {
    "names": "names in /etc/hosts (baseline)",
    "upgrades": "unattended upgrades keep off (baseline)",
    "kernel": "own sysctls and modules (baseline)",
    "time": "time service (baseline)",
}


def steps(site: Site, hosts: Sequence[Host], left: Mapping[Host, Sequence[Part]] | None = None) -> list[Step | Together]:
    """Return the steps for ``hosts``, each part on all of them in parallel. ``left``: what `leftovers` found; None: nobody has looked."""
    of_hosts = [each for those in by_host(site, hosts, left).values() for each in those]
    titles = list(dict.fromkeys(each.name for each in of_hosts))
    return [Together(tuple(each for each in of_hosts if each.name == title)) for title in titles]


def by_host(site: Site, hosts: Sequence[Host], left: Mapping[Host, Sequence[Part]] | None = None) -> dict[Host, list[Step]]:
    """Return the steps of each of ``hosts``, for one after the other. ``left`` as in `steps`."""
    return {
        host: [step(site, host, part) for part in texts.PARTS if texts.is_given(site, part) or (left and part in left[host])]
        for host in hosts
    }


def leftovers(run: Run, hosts: Sequence[Host]) -> dict[Host, Sequence[Part]]:
    """Return the parts of which something is left of an earlier hosts.yaml, by host; none of a host that cannot be read: its steps say why."""
    site, said = run.site, run.read_each({host: commands.look(run.site) for host in hosts})
    seen = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
    return {host: [part for part in rules.parts(site, seen.get(host)) if not texts.is_given(site, part)] for host in hosts}


def differing(run: Run, hosts: Sequence[Host]) -> dict[Host, list[Step]]:
    """Return the steps that have something to do or to say, by host. Raises HostErrors when a host cannot be read."""
    seen = run.read_all({host: commands.look(run.site) for host in hosts})
    return {
        host: [step(run.site, host, part) for part in texts.PARTS if any(True for _ in rules.of_part(run.site, each, part))]
        for host, each in seen.items()
    }


def step(site: Site, host: Host, part: Part) -> Step:
    """Return the step of one part. What only a person can change is noted, and is no reason to fail."""

    def check(run: Run) -> None:
        for each in rules.of_part(site, _look(run, host), part):
            if each.stops:
                raise PrecheckError(f"{host}: {each}", hint=f"on {host}: {each.by_hand}")
            if each.by_hand:
                run.note(host, f"{each}, and hosts.yaml says {each.wanted}: {each.by_hand}")

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("; ".join(map(str, rules.due(site, _look(run, host), part))))

    return Step(
        TITLES[part],
        host,
        check=check,
        done=done,
        do=lambda run: DOES[part](run, host),
        within=10,
        settled=True,
        by_hand=_text(site, part),
    )


def _text(site: Site, part: Part) -> ByHand:
    """Return what a person does, on a host of Debian's family that has nothing of it yet."""
    base, wanted = site.baseline, texts.of(site, commands.NOTHING, part).written
    if part == "names":
        return by_hand("baseline", "names", files=wanted, path=commands.HOSTS, begin=blocks.BEGIN, end=blocks.END)
    if part == "upgrades":
        dnf, apt = commands.DNF_AUTOMATIC, commands.APT_FILE
        return by_hand("baseline", "upgrades", files=wanted, packages=texts.PACKAGES, path=apt, dnf=dnf)
    if part == "kernel":
        paths = (SYSCTL_FILE, MODULES_FILE)
        return by_hand(
            "baseline", "kernel", files=wanted, modules=base.modules, sysctl_file=SYSCTL_FILE if base.sysctls else "", paths=paths
        )
    service = base.time.service if base.time else ""
    return by_hand(
        "baseline",
        "time",
        service=service,
        package=commands.PACKAGE.get(service, ""),
        units=commands.UNITS.get(service, ()),
        files=wanted,
        mains=commands.CHRONY_MAINS,
        include=commands.CHRONY_FILE,
    )


def _look(run: Run, host: Host) -> Seen:
    return run.read(host, commands.look(run.site))


def _put(run: Run, host: Host, wanted: Files, *, time: bool = False) -> None:
    """Write the files and delete those that go; one that somebody else has written is kept beside ours."""
    there = _look(run, host).files
    for file in wanted.written:
        if file.path in texts.WHOLE and file.path in there and not texts.is_ours(there[file.path].content):
            run.change(host, prepare.keep(file.path))
    if wanted.written:
        place = commands.place_time if time else files.place
        run.place(host, wanted.written, there, place(wanted.written))
    if wanted.gone:
        gone = [*wanted.gone, *([RECORD] if SYSCTL_FILE in wanted.gone else [])]
        run.change(host, (commands.remove_time if time else commands.remove)(gone))


def _files(run: Run, host: Host, part: Part) -> None:
    _put(run, host, texts.of(run.site, _look(run, host), part))


def _kernel(run: Run, host: Host) -> None:
    """Load and apply all of it: a sysctl that is dropped keeps its value until the next boot, since nobody knows the one before."""
    base, seen = run.site.baseline, _look(run, host)
    _put(run, host, texts.of(run.site, seen, "kernel"))
    if base.modules or base.sysctls:
        run.change(host, commands.load_kernel(base.modules, base.sysctls))
    if not run.plan:
        for name, wanted, made in rules.made_otherwise(run.site, _look(run, host)):
            run.note(host, f"{name}: the kernel has made {made} of {wanted}")
    for name in rules.dropped(run.site, seen):
        run.note(
            host,
            f"{name} keeps its value until the next boot: hosts.yaml no longer names it, and what it was before is not known",
        )
    if MODULES_FILE in seen.files and not base.modules:
        run.note(host, "the modules that hosts.yaml named stay loaded until the next boot")


def _time(run: Run, host: Host) -> None:
    """Install the service where it is missing, write its files, stop the others, start it with its files."""
    time = run.site.baseline.time
    if time and not rules.unit_of(run.site, _look(run, host)):
        install(run, host, commands.install_time(time.service))
    seen = _look(run, host)
    _put(run, host, texts.of(run.site, seen, "time"), time=True)
    unit = rules.unit_of(run.site, seen) or (commands.UNITS[time.service][0] if time else "")
    answer = run.change(host, commands.run_time(unit, rules.others(run.site, seen)))
    if (
        time
        and answer
        and (kept_off := _look(run, host).units.get(unit))
        and kept_off.barred
        and kept_off.active not in rules.RUNS
    ):
        run.note(
            host,
            f"systemd does not start {unit} here, since its conditions are not met (in a container, the machine below keeps the clock)",
        )


DOES: Mapping[Part, Callable[[Run, Host], None]] = {
    "names": lambda run, host: _files(run, host, "names"),
    "upgrades": lambda run, host: _files(run, host, "upgrades"),
    "kernel": _kernel,
    "time": _time,
}
