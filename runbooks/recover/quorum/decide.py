"""Decide one restore: whether an unfinished one is continued, from which source, onto which hosts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from runbooks.errors import InventoryError, PrecheckError
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.quorum import EtcdSurvey
from runbooks.recover.rules.restore import Restore, Source, is_stale, started_at
from runbooks.text import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """The flags of the command; "" for a flag that was not given. At most one of the first three may be given."""

    backup: str = ""
    snapshot: str = ""
    from_member: str = ""
    identity: str = ""
    yes: str = ""
    insist: bool = False
    anew: bool = False

    @property
    def source(self) -> tuple[str, str] | None:
        """The kind and the name of the source that was asked for, or None. Raises InventoryError when there are several."""
        given = {"set": self.backup, "file": self.snapshot, "member": self.from_member}
        named = [(kind, name) for kind, name in given.items() if name]
        if len(named) > 1:
            raise InventoryError("--backup, --snapshot and --from-member exclude one another", hint="give one of them")
        return named[0] if named else None


def unfinished(survey: EtcdSurvey, wanted: tuple[str, str] | None) -> Restore | None:
    """Return the restore to continue, or None.

    Raises PrecheckError when the operator asks for another source than that restore's, or when that restore is older than a day.
    """
    begun = rules.unfinished(survey)
    if not begun:
        return None
    when = f"{started_at(begun.started):%Y-%m-%d %H:%M} UTC"
    anew = "--anew gives it up and begins another one; the data that it set aside stays where it is"
    if wanted and wanted != (begun.source.kind, begun.source.name):
        raise PrecheckError(
            f"a restore of {begun.source} was begun at {when} and is not finished", hint=f"leave the flag out; {anew}"
        )
    if is_stale(begun, datetime.now(UTC)):
        raise PrecheckError(f"a restore of {begun.source} was begun at {when} and never finished", hint=anew)
    return begun


def decide(survey: EtcdSurvey, snapshots: Snapshots, options: RestoreOptions) -> tuple[Restore, str]:
    """Return the restore, and the reason for its source. Raises RunbookError when there is nothing to restore from or onto."""
    members, left = rules.new_members(survey)
    if not members:
        text = "".join(f"\n  {host}: {reason}" for host, reason in left.items())
        raise PrecheckError(
            f"no control plane host has the files that a member of etcd needs:{text}",
            hint="when they are empty machines: inv recover.control-plane puts their files back from a set, and restores etcd",
        )
    databases = rules.survivors(survey, members)
    source, why = _source(snapshots, options, databases)
    for host, data in survey.hosts.items():
        if host.name in members and (short := rules.short_of_room(data, source.size)):
            raise PrecheckError(f"{host}: {short}", hint="free space there, then run this again")
    related = [each.revision for each in databases if not each.cluster or each.cluster == source.cluster or not source.cluster]
    plan = Restore(
        token=f"restore-{secrets.token_hex(8)}",
        started=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        source=source,
        members=members,
        left=left,
        quiet=tuple(
            host.name
            for host, pods in survey.pods.items()
            if host.name in left and any(pod.manifest == "on" or pod.container for pod in pods.values())
        ),
        nodes=tuple(host.name for host in survey.nodes),
        missed=tuple(host.name for host in survey.missed),
        outside=tuple(host.name for host in survey.outside),
        before=max([source.revision, *related]),
        insist=options.insist,
    )
    return plan, why


def _source(snapshots: Snapshots, options: RestoreOptions, databases: Sequence[Source]) -> tuple[Source, str]:
    match options.source:
        case ("set", name):
            return snapshots.named(name), "it was asked for"
        case ("file", name):
            found = snapshots.of_file(name)
            if not found.carries and not options.insist:
                raise PrecheckError(
                    f"{name}: it does not end in a SHA-256, as a snapshot of etcd does: whether it is whole cannot be checked",
                    hint="--insist restores a plain copy of a member's database",
                )
            return found, "it was asked for"
        case ("member", name):
            own = next((each for each in databases if each.name == name), None)
            if not own:
                known = listed(each.name for each in databases) or "none"
                raise InventoryError(f"--from-member {name}: it has no database that can be read (hosts that have one: {known})")
            return own, "it was asked for"
    saved, passed = snapshots.newest()
    source, why = rules.choose([saved] if saved else [], databases)
    if not source:
        raise PrecheckError(
            "\n  ".join([f"there is nothing to restore from: {why}", *passed]), hint="--snapshot FILE; inv backup.fetch"
        )
    return source, "; ".join([why, *(f"passed over: {each}" for each in passed if saved)])
