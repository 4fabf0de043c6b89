"""`inv rehearse`: choose the set, build the twin, carry the procedure out there, report, and take the twin away."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab import kube_build, machine
from lab.control import Lab
from lab.kube_choice import Flags
from lab.kube_choice import chosen as kubernetes_of
from lab.kubernetes import Kubernetes, noted, programs_of
from lab.kubernetes import version as version_of
from rehearse import balancers, child, host_files, look, origin, show
from rehearse.origin import Contents
from rehearse.rules import apis, choices, drained, forecast, host_settings, limits, procedures, webhooks
from rehearse.rules.choices import Choices
from rehearse.rules.outcome import Outcome, own, reason
from rehearse.twin import Twin, name_of_save, place, saved
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets.opened import Opened
from runbooks.backup.sets.store import Set, Store
from runbooks.engine import history
from runbooks.engine.history import RunRecord
from runbooks.engine.journal import new_run_id
from runbooks.engine.tasks import Given
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.measure import record
from runbooks.measure.rules.result import Result
from runbooks.text import age_text, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

WHOLE = "recover.control-plane"  # what builds the twin's control plane is itself rehearsed
PAST_RUNS = 60


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """One rehearsal: what is known before there is a twin. ``site`` is the twin's: the set's version, the hosts that get a twin."""

    session: Session
    given: Given
    chosen: Choices
    site: Site
    origin: Set
    identity: str
    contents: Contents
    kubernetes: Kubernetes
    offered: tuple[str, ...]
    opened: Opened
    gone: tuple[str, ...]
    tell: Callable[[str], None]
    id: str = field(default_factory=lambda: new_run_id(datetime.now(UTC)))

    @property
    def words(self) -> tuple[str, ...]:
        """The procedure's command line on the twin."""
        return procedures.words_for(self.given, self.site, backup=self.origin.id, identity=self.identity)

    def host_files(self) -> dict[Host, dict[str, str]]:
        """What control plane hosts are started with, of those whose files the set has."""
        read = {host: host_files.of_set(self.opened, host, host_settings.wanted) for host in self.site.control_plane}
        return {host: files for host, files in read.items() if files}


def rehearse(session: Session, given: Given, chosen: Choices) -> None:
    """Rehearse ``given``. Raises what refuses it, before there is anything of the twin; `show.NotThrough` with the procedure's exit status."""
    procedures.refuse(given)
    machine.require()
    plan = prepare(session, given, chosen)
    faults = procedures.faults(given, plan.site, chosen.lost)
    lab = Lab(chosen.lab, say=plan.tell)
    kept = [chosen.keep]
    with place(lab, keep=lambda: kept[0], tell=plan.tell):
        twin = Twin(lab, plan.site, plan.origin, plan.identity, plan.contents, plan.tell)
        ready(plan, twin)
        found = carry_out(plan, twin, faults)
    show.show(session, found)


def prepare(session: Session, given: Given, chosen: Choices) -> Rehearsal:
    """Return everything that is known beforehand. Raises InventoryError or PrecheckError for what cannot be rehearsed."""
    drained.flags(given, session.site)
    found = origin.choose(session.site, chosen.backup, chosen.identity)
    version = found.sound.kubernetes.removeprefix("v") or session.site.kubernetes.version
    hosts = choices.hosts(session.site, chosen, given)
    changed = msgspec.structs.replace
    site = changed(
        session.site,
        hosts=hosts,
        kubernetes=changed(session.site.kubernetes, version=version, image_repository=None),
        example=False,
    )
    if site.kubernetes.etcd != "stacked":
        raise InventoryError(f"{site.name}: its etcd is external, and the set has none of it", hint="docs/rehearse.md")
    tell = partial(print, file=sys.stderr if session.options.json else sys.stdout, flush=True)
    kubernetes, offered = programs(chosen, given, version, tell)
    key = sets_opened.identity(Store(session.site), chosen.identity)
    tell(f"{site.name}: {given.name} is rehearsed on a twin from the set {found.id} (Kubernetes {version})")
    opened = Opened(found, key)
    contents = origin.read(opened)
    there = {name for host in hosts for name in contents.drains.nodes if host.is_called(name) or host.name == name}
    return Rehearsal(
        session=session,
        given=given,
        chosen=chosen,
        site=site,
        origin=found,
        identity=str(key or ""),
        contents=contents,
        kubernetes=kubernetes,
        offered=offered,
        opened=opened,
        gone=tuple(sorted(set(contents.drains.nodes) - there)),
        tell=tell,
    )


def programs(chosen: Choices, given: Given, version: str, tell: Callable[[str], None]) -> tuple[Kubernetes, tuple[str, ...]]:
    """Return where the twin's Kubernetes comes from, and its versions (with a v). ``version``: the set's.

    A release that is missing is fetched. Raises InventoryError when these are other versions than the rehearsal needs.
    """
    first, more = choices.sources(chosen, given, version, kube_build.STAMPS)
    if Path(first).is_dir():  # before anything is fetched
        choices.refuse_versions([version_of(Path(first))], version, "")
    flags = Flags(kubernetes=first, upgrade=more, mirror=chosen.mirror)
    kubernetes = kubernetes_of(flags, tell) or Kubernetes()
    offered = kubernetes.built or tuple(programs_of(kubernetes))
    choices.refuse_versions(offered, version, choices.target(given))
    return kubernetes, offered


def ready(plan: Rehearsal, twin: Twin) -> None:
    """Build the twin, or boot a save of it, and wait until it is well."""
    name = name_of_save(plan.site, plan.origin, plan.kubernetes, plan.gone)
    if plan.given.name == WHOLE:
        twin.build(plan.kubernetes)
        return
    if saved(name):
        twin.from_save(name)
    else:
        twin.build(plan.kubernetes)
        twin.restore(plan.gone)
    twin.well()
    if plan.chosen.save and not saved(name):
        twin.save(name)
    twin.unlink_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of the procedure: how it ended, its runs, the seconds of those on the side, all runs of the twin, which API was served before and after it, what clients saw."""

    ended: child.Ended
    runs: tuple[RunRecord, ...]
    beside_s: float
    everything: tuple[RunRecord, ...]
    before: apis.Versions
    after: apis.Versions
    clients: Result | None
    unmeasured: str


def carry_out(plan: Rehearsal, twin: Twin, faults: tuple[procedures.Fault, ...]) -> Outcome:
    """Break what has to be broken, carry the procedure out, and return what was seen."""
    lab, site, wanted = twin.lab, twin.site, plan.contents.used.versions
    whole = plan.given.name == WHOLE
    before = {} if whole else look.served(lab, site, wanted)
    earlier = {run.run for run in look.runs(lab, site)}
    if plan.given.name in procedures.NEEDS_SET:
        twin.link_set()
    result = lab.instance.state / "clients.json"
    if whole:
        why = "nothing serves before it"
        with twin.adapting(plan.gone):
            ended = _inv(plan, twin)
    else:
        with child.clients(lab.instance, result) as why:
            twin.breaks(faults)
            with twin.adapting(plan.gone, joined=True) if plan.given.name in procedures.NEEDS_SET else nullcontext():
                ended = _inv(plan, twin)
    twin.unlink_set()
    clients = None if why else record.read(result)
    everything = look.runs(lab, site)
    new = [run for run in everything if run.run not in earlier]
    seen = Seen(
        ended=ended,
        runs=tuple(own(new)),
        beside_s=sum(run.seconds for run in new if run not in own(new)),
        everything=tuple(everything),
        before=before,
        after=look.served(lab, site, wanted),
        clients=clients,
        unmeasured=why or ("" if clients else "no result"),
    )
    return timed(plan, seen, judged(plan, twin, faults, seen))


def _inv(plan: Rehearsal, twin: Twin) -> child.Ended:
    twin.tell(f"inv {' '.join(plan.words)}")
    return child.inv(twin.instance, *plan.words, shown=not plan.session.options.json)


def judged(plan: Rehearsal, twin: Twin, faults: tuple[procedures.Fault, ...], seen: Seen) -> Outcome:
    """Return the outcome without its times."""
    contents, made, name = plan.contents, plan.origin.sound, twin.instance.name
    absent = apis.absent(contents.used, seen.before) if seen.before else ()
    versions = listed(each.removeprefix("v") for each in plan.offered)
    return Outcome(
        id=plan.id,
        site=plan.site.name,
        command=" ".join((plan.given.name, *plan.given.words)),
        exited=seen.ended.exited,
        origin=plan.origin.id,
        made=age_text((datetime.now(UTC) - made.started).total_seconds()),
        versions=f"Kubernetes {versions} here, {plan.site.kubernetes.version} in the set",
        fault=tuple(map(str, faults)),
        kept=f"RUNBOOKS_SITE=lab:{name}; RUNBOOKS_LAB={name} inv lab.down" if plan.chosen.keep else "",
        error=reason(seen.runs, seen.ended.said) if seen.ended.exited else "",
        clients=seen.clients,
        unmeasured=seen.unmeasured,
        drains=tuple(drained.findings(plan.given, plan.session.site, contents.drains, seen.runs)),
        settings=tuple(host_settings.findings(plan.given, plan.site.kubernetes.version, plan.host_files())),
        broken=tuple(apis.broken(contents.used, seen.before, seen.after)) if seen.after else (),
        silent=not (seen.before and seen.after),
        hooks=tuple(map(webhooks.told, webhooks.unanswered(contents.drains))),
        warnings=tuple(f"{text} ({listed(hosts)})" for text, hosts in look.warnings(twin.lab, twin.site).items()),
        changed=(*twin.changed, *balancers.differing(twin.lab, twin.site, plan.opened, plan.session.site)),
        limits=tuple(
            limits.limits(plan.given, supplied=_supplied(plan, twin), gone=plan.gone, absent=absent, missing=made.lacking)
        ),
        built=twin.seconds,
    )


def timed(plan: Rehearsal, seen: Seen, found: Outcome) -> Outcome:
    """Return ``found`` with the time of each step, and the forecast from past runs of the real site."""
    known = forecast.past(history.newest(plan.session.state / "runs", PAST_RUNS))
    own_scale = forecast.factor(
        seen.runs, known
    )  # of the same minutes; a save was built at another time, perhaps beside other work
    scale = own_scale if own_scale.steps else forecast.factor(seen.everything, known)
    steps = forecast.forecast(seen.runs, known, scale)
    took, real = forecast.total(seen.runs, steps)
    found = replace(found, beside_s=seen.beside_s, untimed=len(plan.gone))
    return replace(found, runs=seen.runs, steps=steps, took_s=took, real_s=real, basis=str(scale))


def _supplied(plan: Rehearsal, twin: Twin) -> list[str]:
    entry = noted(twin.instance)
    where = "built from Debian's source" if not plan.kubernetes.binaries else listed(plan.kubernetes.directories)
    rows = [f"Kubernetes {listed(plan.offered)}: {where}"]
    if entry:
        rows.append(f"etcd {entry.etcd}; the set's snapshot is of {plan.origin.sound.best.version}")
    return [*rows, "containerd, haproxy, keepalived: Debian's, whatever the site has"]
