"""`inv recover.etcd-quorum`: the majority of etcd's members is lost; prove it, choose what to restore, say what that costs, do it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbooks.commands.etcd_restore import Newer
from runbooks.engine.confirm import confirm
from runbooks.errors import DegradedError, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Site
from runbooks.recover.quorum.look import newer_than, survey_etcd
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.quorum.start import KEY, procedure
from runbooks.recover.quorum.steps import RestoreContext
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.quorum import EtcdSurvey, Restore, Source
from runbooks.rules import etcd as etcd_rules
from runbooks.text import age_text, counted, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What the operator asked for; "" stands for what was left out. At most one of the first three."""

    backup: str = ""
    snapshot: str = ""
    from_member: str = ""
    identity: str = ""
    yes: str = ""
    insist: bool = False
    anew: bool = False

    @property
    def source(self) -> tuple[str, str] | None:
        """The kind and the name of what shall be restored, or None for the best that there is."""
        given = {"set": self.backup, "file": self.snapshot, "member": self.from_member}
        named = [(kind, name) for kind, name in given.items() if name]
        if len(named) > 1:
            raise InventoryError("--backup, --snapshot and --from-member exclude one another", hint="give one of them")
        return named[0] if named else None


def recover(session: Session, wish: RestoreOptions, *, resume: bool = True) -> None:
    """Restore etcd; without ``resume``, --resume is not about this.

    Raises PrecheckError when that must not be, DegradedError when hosts were left out.
    """
    site, run = session.site, session.run
    if site.kubernetes.etcd != "stacked":
        raise InventoryError(f"{site.name}: its etcd does not run on the control plane", hint="docs/recover-quorum.md")
    supply, wanted = Snapshots(site, wish.identity), wish.source
    if resume and (before := session.resumed(KEY)):
        plan = rules.read(before["plan"])
        if not plan:
            raise InventoryError("the interrupted restore is of another version of this tool", hint="run it without --resume")
        _carry_out(session, plan, supply, resume=resume)
        return
    survey = survey_etcd(run)
    begun = None if wish.anew else _begun(survey, wanted)
    reason = rules.refusal(survey, begun.token if begun else "")
    if reason and not ((wish.insist or (begun and begun.insist)) and not reason.final):
        raise PrecheckError(f"nothing is restored: {reason.why}", hint=reason.instead)
    plan, why = (begun, "that restore was begun and not finished") if begun else decide(survey, supply, wish)
    lost = newer_than(run, survey, plan.source)
    _tell(session, survey, plan, why, lost)
    if not session.options.plan:
        confirm_restore(site, wish.yes)
    _carry_out(session, plan, supply, resume=resume)


def _begun(survey: EtcdSurvey, wanted: tuple[str, str] | None) -> Restore | None:
    """Return the restore that has to be finished. Raises PrecheckError when the operator means another one, or it is old."""
    begun = rules.unfinished(survey)
    if not begun:
        return None
    when = f"{rules.moment(begun.started):%Y-%m-%d %H:%M} UTC"
    anew = "--anew gives it up and begins another one; what it set aside stays where it is"
    if wanted and wanted != (begun.source.kind, begun.source.name):
        raise PrecheckError(
            f"a restore of {begun.source} was begun at {when} and is not finished", hint=f"leave the flag away; {anew}"
        )
    if rules.is_stale(begun, datetime.now(UTC)):
        raise PrecheckError(f"a restore of {begun.source} was begun at {when} and never finished", hint=anew)
    return begun


# ---- deciding


def decide(survey: EtcdSurvey, supply: Snapshots, wish: RestoreOptions) -> tuple[Restore, str]:
    """Return what is to be done, and why from that source. Raises RunbookError when it cannot be done."""
    members, left = rules.new_members(survey)
    if not members:
        text = "".join(f"\n  {host}: {reason}" for host, reason in left.items())
        raise PrecheckError(
            f"no control plane host has what a member of etcd needs:{text}",
            hint="when they are empty machines: inv recover.control-plane puts their files back from a set, and restores etcd",
        )
    databases = rules.survivors(survey, members)
    source, why = _source(supply, wish, databases)
    for host, data in survey.hosts.items():
        if host.name in members and (short := rules.short_of_room(data, source.size)):
            raise PrecheckError(f"{host}: {short}", hint="make room there, then run this again")
    related = [each.revision for each in databases if not each.cluster or each.cluster == source.cluster or not source.cluster]
    plan = Restore(
        token=f"restore-{secrets.token_hex(8)}",
        started=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        source=source,
        members=members,
        left=left,
        quiet=tuple(host.name for host, pods in survey.pods.items() if host.name in left and _runs_anything(pods.values())),
        nodes=tuple(host.name for host in survey.nodes),
        missed=tuple(host.name for host in survey.missed),
        before=max([source.revision, *related]),
        insist=wish.insist,
    )
    return plan, why


def _runs_anything(pods: object) -> bool:
    return any(pod.manifest == "on" or pod.container for pod in pods)  # type: ignore[attr-defined]


def _source(supply: Snapshots, wish: RestoreOptions, databases: Sequence[Source]) -> tuple[Source, str]:
    match wish.source:
        case ("set", name):
            return supply.named(name), "it was asked for"
        case ("file", name):
            found = supply.of_file(name)
            if not found.carries and not wish.insist:
                raise PrecheckError(
                    f"{name}: it carries no SHA-256, as a snapshot of etcd's does: nobody can tell whether it is whole",
                    hint="a copy of a member's database is restored with --insist",
                )
            return found, "it was asked for"
        case ("member", name):
            own = next((each for each in databases if each.name == name), None)
            if not own:
                known = ", ".join(each.name for each in databases) or "none"
                raise InventoryError(f"--from-member {name}: it has no database that can be read (hosts that have one: {known})")
            return own, "it was asked for"
    saved, passed = supply.newest()
    source, why = rules.choose([saved] if saved else [], databases)
    if not source:
        raise PrecheckError(
            "\n  ".join([f"there is nothing to restore from: {why}", *passed]), hint="--snapshot FILE; inv backup.fetch"
        )
    return source, "; ".join([why, *(f"passed over: {each}" for each in passed if saved)])


# ---- telling and asking


def _tell(session: Session, survey: EtcdSurvey, plan: Restore, why: str, lost: Newer | None) -> None:
    if session.options.json:
        found = {"event": "restore", "why": why, **asdict(plan), "newer": asdict(lost) if lost else None}
        print(json.dumps(found), flush=True)
    else:
        print(describe(session.site, survey, plan, why, lost), flush=True)


def describe(site: Site, survey: EtcdSurvey, plan: Restore, why: str, lost: Newer | None) -> str:
    """Say what is there, what will be restored from where, and what will be gone."""
    source = plan.source
    hosts = [[host.name, *_state(survey, plan, host.name)] for host in site.control_plane]
    made = f", of {source.made.replace('T', ' ').replace('+00:00', ' UTC')}" if source.made else ""
    age = f" ({age_text((datetime.now(UTC) - datetime.fromisoformat(source.made)).total_seconds())} ago)" if source.made else ""
    rows = [
        ["restore", f"{source}: revision {source.revision}{made}{age}, {size_text(source.size)}"],
        ["because", why],
        ["onto", ", ".join(plan.members) + " (a new cluster of etcd, the same cluster of Kubernetes)"],
        *(["without", f"{host}: {reason}"] for host, reason in plan.left.items()),
        ["lost", _lost(plan, lost)],
        *([["", ", ".join(name.removeprefix("/registry/") for name in lost.names)]] if lost and lost.names else []),
        ["old data", "stays on each host, in a directory of its own beside or in /var/lib/etcd"],
    ]
    served = any(look.serves for look in survey.view.looks.values())
    title = "etcd has a quorum, which is given up (--insist)" if served and plan.insist else "etcd has no quorum"
    return f"{site.name}: {title}\n\n{table(('host', 'etcd', 'database'), hosts)}\n{table(('', ''), rows)}\n"


def _state(survey: EtcdSurvey, plan: Restore, name: str) -> list[str]:
    host = next(each for each in survey.view.said if each.name == name)
    data, status = survey.hosts.get(host), survey.view.statuses.get(host)
    if not data:
        return [survey.silent.get(host, "not asked"), "?"]
    if survey.over(host, plan.token):
        return ["restored", "new"]
    said = (
        f"revision {status.revision}, no leader"
        if status and not status.leader
        else etcd_rules.why_unhealthy(survey.view, host) or "serves"
    )
    if not data.database:
        return [said, "none"]
    revision = f", revision {data.database.revision}" if data.database.revision else ""
    return [
        said,
        f"{size_text(data.database.size)}{revision}, written {datetime.fromtimestamp(data.database.written, UTC):%m-%d %H:%M:%S} UTC",
    ]


def _lost(plan: Restore, lost: Newer | None) -> str:
    behind = plan.before - plan.source.revision
    if behind <= 0:
        return "what was written after that; no host has anything newer" + (
            "" if plan.source.kind != "member" else ", but for the last moment before its etcd ended"
        )
    text = f"{behind} revisions that a survivor has (up to {plan.before})"
    return text + (
        f"; {counted(lost.count, 'key')} of Kubernetes written since (leases and events left out), among them:" if lost else ""
    )


def confirm_restore(site: Site, given: str) -> None:
    """Have the restore confirmed. ``given`` is --yes-restore. Raises PrecheckError when it is not."""
    confirm(
        site.name,
        given,
        warning="What etcd holds now is replaced by this.",
        refusal=f"{site.name} is not restored",
        flag="--yes-restore",
    )


# ---- doing


def _carry_out(session: Session, plan: Restore, supply: Snapshots, *, resume: bool) -> None:
    spool = session.state / f"etcd-{plan.token}.db"
    ctx = RestoreContext(session.site, plan, supply, spool)
    session.carry_out(procedure(ctx), resume=resume)
    if session.options.plan:
        return
    spool.unlink(missing_ok=True)
    troubles = [*_saved(session, plan)]
    for name, reason in plan.left.items():
        troubles.append(f"{name} is not in it: {reason}. Its old etcd belongs to the lost cluster: it must not be started again")
    troubles += [f"the kubelet of {name} was not restarted: it cannot be reached" for name in plan.missed]
    if troubles:
        raise DegradedError(
            f"{session.site.name} is restored and serves, but not all of it is there:\n  " + "\n  ".join(troubles),
            hint=_next(list(plan.left)),
        )


def _next(left: Sequence[str]) -> str:
    """Say how the hosts that were left out come back: one alone, or several together, since each would wait for the others."""
    if not left:
        return "inv backup.run --accept-older; inv cluster.verify"
    command = f"inv recover.node --host {left[0]}" if len(left) == 1 else f"inv cluster.join --host {','.join(left)}"
    return f"once they are empty machines: {command} (a new host key: inv site.trust --replace)"


def _saved(session: Session, plan: Restore) -> list[str]:
    """Make a new set: from here on the old ones are of another cluster. Say what kept it from being made."""
    if not session.site.backup:
        return ["no backup was made: hosts.yaml has no section backup"]
    from runbooks.backup.run.procedure import back_up  # noqa: PLC0415 - start-up time

    try:
        back_up(session, accept_older=True, resume=False)
    except DegradedError as error:
        return [] if plan.left or plan.missed else [str(error)]
    except RunbookError as error:
        return [f"no backup could be made: {error}"]
    return []
