"""Ask, before anything is deleted, whether the API accepts what a procedure will write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

from runbooks.cluster import members
from runbooks.commands import admission as commands
from runbooks.commands.admission import Write
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import admission as rules
from runbooks.view import admission
from runbooks.view.cluster import Survey

NAME = "the API accepts what {} writes (dry run)"


def accepts_a_join(survey: Survey, hosts: Sequence[Host] | None = None) -> Step:
    """Return the step that refuses a join, before the old Node is deleted, when a webhook or a policy would not let it be written.

    When ``hosts`` are given and all of them are in the cluster already, nothing is tried.
    """

    def done(run: Run) -> bool | Unmet:
        if hosts is not None and not members.to_join(run, survey, hosts):
            return True
        return _accepted(run, survey, None, commands.writes_of_a_join, deletes=False)

    return Step(NAME.format("a join"), done=done, by_hand=by_hand("cluster", "dry_run", host=None, joins=True, deletes=False))


def accepts_a_change(
    survey: Survey, host: Host, *, deletes: bool = True, drains: bool = False, again: bool = False, joins: bool = True
) -> Step:
    """Return the step that refuses to remove or replace ``host`` when its Node cannot be deleted, or its successor not be written.

    ``deletes``: its Node is deleted. ``drains``: its pods go to other nodes, so pods of workloads have to be accepted too. ``again``: only
    its etcd joins again. ``joins`` is False when nothing joins in its place now; then no write is tried.
    """

    def tried(name: str) -> tuple[Write, ...]:
        if not joins:
            return ()
        return commands.writes_of_a_rejoin(name) if again else commands.writes_of_a_join(name, workload=drains)

    def done(run: Run) -> bool | Unmet:
        return _accepted(run, survey, host, tried, deletes=deletes)

    return Step(
        NAME.format("this"), host, done=done, by_hand=by_hand("cluster", "dry_run", host=host, joins=joins, deletes=deletes)
    )


def _accepted(
    run: Run, survey: Survey, host: Host | None, writes: Callable[[str], tuple[Write, ...]], *, deletes: bool
) -> bool | Unmet:
    """Whether nothing refuses ``writes``, made for a name that no object has. Raises PrecheckError, which names who does."""
    api_host = survey.api_host(run, without=host)
    if not api_host:
        return Unmet(survey.why_none_serves(run))
    delete = host.name if host and deletes and host.name in survey.nodes(run, api_host) else ""
    seen = admission.look(run, api_host, writes(f"ha-runbooks-try-{uuid4().hex[:8]}"), delete=delete)
    reason, fix = rules.refused(seen)
    if reason:
        raise PrecheckError(f"nothing was deleted, because this would fail half way: {reason}", hint=fix)
    for text in rules.unsure(seen):
        run.note(api_host, text)
    return True
