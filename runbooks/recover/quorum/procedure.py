"""`inv recover.etcd-quorum`: prove that the quorum is lost, decide what to restore, show what that costs, ask, and do it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from runbooks.commands.etcd_restore import Newer
from runbooks.engine.confirm import confirm
from runbooks.errors import DegradedError, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Site
from runbooks.recover.quorum.context import RestoreContext
from runbooks.recover.quorum.decide import RestoreOptions, decide, unfinished
from runbooks.recover.quorum.look import newer_than, survey_etcd
from runbooks.recover.quorum.show import describe
from runbooks.recover.quorum.source import Snapshots
from runbooks.recover.quorum.steps import KEY, procedure
from runbooks.recover.rules import quorum as rules
from runbooks.recover.rules.quorum import EtcdSurvey
from runbooks.recover.rules.restore import Restore, read
from runbooks.rules import stacked

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def recover(session: Session, options: RestoreOptions, *, resume: bool = True) -> None:
    """Restore etcd. ``resume=False``: the --resume of the session belongs to another procedure.

    Never restores while etcd has a quorum, or while a majority of the members only has to be started, unless the operator insists;
    and never while a host that cannot be reached by SSH may be part of a quorum: see `rules.refusal`. Deletes no data of etcd.
    Raises PrecheckError when a restore is refused, DegradedError when it succeeded but hosts were left out.
    """
    site, run = session.site, session.run
    stacked.require(site)
    snapshots, wanted = Snapshots(site, options.identity), options.source
    if resume and (before := session.resumed(KEY)):
        plan = read(before["plan"])
        if not plan:
            raise InventoryError(
                "the interrupted restore was begun by another version of this tool", hint="run it without --resume"
            )
        _carry_out(session, plan, snapshots, resume=resume)
        return
    survey = survey_etcd(run)
    begun = None if options.anew else unfinished(survey, wanted)
    reason = rules.refusal(survey, begun.token if begun else "")
    if reason and not ((options.insist or (begun and begun.insist)) and not reason.final):
        raise PrecheckError(f"nothing is restored: {reason.why}", hint=reason.instead)
    plan, why = (begun, "this restore was begun and not finished") if begun else decide(survey, snapshots, options)
    _tell(session, survey, plan, why, newer_than(run, survey, plan.source))
    if not session.options.plan:
        confirm_restore(site, options.yes)
    _carry_out(session, plan, snapshots, resume=resume)


def _tell(session: Session, survey: EtcdSurvey, plan: Restore, why: str, lost: Newer | None) -> None:
    if session.options.json:
        found = {"event": "restore", "why": why, **asdict(plan), "newer": asdict(lost) if lost else None}
        print(json.dumps(found), flush=True)
    else:
        print(describe(session.site, survey, plan, why, lost), flush=True)


def confirm_restore(site: Site, given: str) -> None:
    """Have the restore confirmed with the cluster's name. ``given`` is --yes-restore. Raises PrecheckError when it is not."""
    confirm(
        site.name,
        given,
        warning="The present content of etcd is replaced by this.",
        refusal=f"{site.name} is not restored",
        flag="--yes-restore",
    )


def _carry_out(session: Session, plan: Restore, snapshots: Snapshots, *, resume: bool) -> None:
    spool = session.state / f"etcd-{plan.token}.db"
    session.carry_out(procedure(RestoreContext(session.site, plan, snapshots, spool)), resume=resume)
    if session.options.plan:
        return
    spool.unlink(missing_ok=True)
    for name in plan.outside:
        session.run.listener.say(f"{name} is in hosts.yaml, but has not joined: inv cluster.join --host {name}")
    problems = _back_up(session, plan)
    for name, reason in plan.left.items():
        problems.append(f"{name} is not part of it: {reason}. Never start its old etcd again: it belongs to the lost cluster")
    problems += [f"the kubelet of {name} was not restarted: the host cannot be reached" for name in plan.missed]
    if problems:
        raise DegradedError(
            f"{session.site.name} is restored and serves, but it is not complete:\n  " + "\n  ".join(problems),
            hint=_next(list(plan.left)),
        )


def _next(left: Sequence[str]) -> str:
    """Return the command for the hosts that were left out. Several are joined by one command, so that none waits for the others."""
    if not left:
        return "inv backup.run --accept-older; inv cluster.verify"
    command = f"inv recover.node --host {left[0]}" if len(left) == 1 else f"inv cluster.join --host {','.join(left)}"
    return f"once they are empty machines: {command} (a new host key: inv site.trust --replace)"


def _back_up(session: Session, plan: Restore) -> list[str]:
    """Make a new set, since the old sets are of another etcd cluster. Return the reasons why none was made."""
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
