"""Ask, before anything is deleted, whether the API accepts what a procedure will write."""

from __future__ import annotations

from uuid import uuid4

from runbooks.commands import admission as commands
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import admission as rules
from runbooks.view import admission
from runbooks.view.cluster import Survey

NAME = "the API accepts what {} writes (dry run)"


def accepts_a_join(survey: Survey) -> Step:
    """Return the step that refuses a join, before the old Node is deleted, when a webhook or a policy would not let it be written."""

    def done(run: Run) -> bool | Unmet:
        return _accepted(run, survey, None, deletes=False, drains=False)

    return Step(NAME.format("a join"), done=done, by_hand=by_hand("cluster", "dry_run", host=None))


def accepts_a_change(survey: Survey, host: Host, *, deletes: bool = True, drains: bool = False) -> Step:
    """Return the step that refuses to remove or replace ``host`` when its Node cannot be deleted, or its successor not be written.

    ``deletes``: its Node is deleted. ``drains``: its pods go to other nodes, so pods of workloads have to be accepted too.
    """

    def done(run: Run) -> bool | Unmet:
        return _accepted(run, survey, host, deletes=deletes, drains=drains)

    return Step(NAME.format("this"), host, done=done, by_hand=by_hand("cluster", "dry_run", host=host))


def _accepted(run: Run, survey: Survey, host: Host | None, *, deletes: bool, drains: bool) -> bool | Unmet:
    """Whether nothing refuses the writes. Raises PrecheckError, which names who does."""
    api_host = survey.api_host(run, without=host)
    if not api_host:
        return Unmet(survey.why_none_serves(run))
    delete = host.name if host and deletes and host.name in survey.nodes(run, api_host) else ""
    tried = commands.writes_of_a_join(f"ha-runbooks-try-{uuid4().hex[:8]}", workload=drains)
    seen = admission.look(run, api_host, tried, delete=delete)
    reason, fix = rules.refused(seen)
    if reason:
        raise PrecheckError(f"nothing was deleted, because this would fail half way: {reason}", hint=fix)
    for text in rules.unsure(seen):
        run.note(api_host, text)
    return True
