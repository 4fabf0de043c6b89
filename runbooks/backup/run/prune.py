"""Delete the sets that backup.keep does not retain: at the end of every run, and as `inv backup.prune`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from runbooks.backup.rules import retention
from runbooks.backup.rules.retention import Dated, Decision
from runbooks.backup.run import metrics, offsite
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.steps import clear
from runbooks.backup.sets.store import Set, Store, Unlocked
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Failed, Procedure, Run, Step
from runbooks.errors import PrecheckError, RunbookError
from runbooks.text import listed, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def dated(sets: Iterable[Set]) -> list[Dated]:
    """Return the sets as rules.retention sees them."""
    return [
        Dated(each.id, each.manifest.started, good=each.manifest.state == "good") if each.manifest else Dated(each.id, None)
        for each in sets
    ]


def unwanted(new_set: NewSet) -> Step:
    """Return the step that deletes old sets at the end of a run.

    Never deletes the set that this run made, nor the newest good set. The new set counts as one of those that are kept, also in a
    plan. A set that cannot be deleted goes to ``new_set.problems``.
    """
    store = new_set.store

    def names(run: Run) -> list[str]:
        expected = [Dated(new_set.id, new_set.started, good=True)] if run.plan else []
        decisions = retention.decide([*expected, *dated(store.sets())], store.backup.keep)
        return [
            each.id for each in decisions if not each.kept and each.id != new_set.id and _failed(each.id) not in new_set.problems
        ]

    def do(run: Run) -> Failed | None:
        failed = False
        for name in names(run):
            try:
                _delete(run, store, name)
            except RunbookError as error:
                new_set.problems[_failed(name)] = str(error)
                failed = True
        return Failed() if failed else None

    text = by_hand("backup", "unwanted", directory=store.directory)
    return Step(
        "delete the sets that backup.keep does not retain", done=lambda run: not names(run), do=do, settled=True, by_hand=text
    )


def _failed(name: str) -> str:
    return f"delete {name}"


def prune(session: Session, name: str = "") -> None:
    """Delete the sets that backup.keep does not retain, or only the set ``name``, which may be damaged.

    Never deletes the newest good set, nor the newest set when none is good: raises PrecheckError when ``name`` is that one.
    """
    store = Store(session.site)
    with nullcontext() if session.options.plan else store.locked("inv backup.prune"):
        sets = store.sets()
        if name:
            going = [_deletable(store, sets, name)]
        else:
            decisions = retention.decide(dated(sets), store.backup.keep)
            going = [each.id for each in decisions if not each.kept]
            _tell(session, sets, decisions)
        try:
            session.carry_out(deletion(store, going, name), lease=Unlocked())
        finally:
            if not session.options.plan:
                metrics.write(store)


def _deletable(store: Store, sets: Sequence[Set], name: str) -> str:
    found = store.one(name)
    if found.id == retention.irreplaceable(dated(sets)):
        what = "newest good set" if found.sound.state == "good" else "newest set, and none is good"
        raise PrecheckError(f"{name} is the {what}, which a restore would need", hint="inv backup.run makes a newer one first")
    return found.id


def deletion(store: Store, going: Sequence[str], name: str = "") -> Procedure:
    """Return the procedure that deletes the sets ``going``; ``name`` is the one given with --id, or ""."""
    title = f"delete {name}" if name else f"delete the sets that backup.keep does not retain in {store.directory}"
    copies = [] if name else offsite.afterwards(store)
    steps = [clear(store), *(_deleted(store, each) for each in going), *copies]
    return Procedure("backup.prune", title, steps, {"sets": list(going)})


def _deleted(store: Store, name: str) -> Step:
    return Step(
        f"delete {name}",
        done=lambda _: not (store.directory / name).exists(),
        do=lambda run: _delete(run, store, name),
        by_hand=by_hand("backup", "delete", directory=store.directory, name=name),
    )


def _delete(run: Run, store: Store, name: str) -> None:
    run.here(f"rm -r {store.directory / name}", partial(store.delete, name))


def _tell(session: Session, sets: Sequence[Set], decisions: Sequence[Decision]) -> None:
    if session.options.json:
        rows = [{"id": each.id, "keep": each.kept, "why": list(each.reasons)} for each in decisions]
        print(json.dumps({"event": "sets", "sets": rows}), flush=True)
    elif decisions:
        print(_decision_table({each.id: each for each in sets}, decisions) + "\n", flush=True)


def _decision_table(sets: Mapping[str, Set], decisions: Sequence[Decision]) -> str:
    """Return a table that says of each set whether it stays, and why."""
    rows = []
    for each in decisions:
        one = sets[each.id]
        state = one.manifest.state if one.manifest else "damaged"
        rows.append([each.id, state, size_text(one.size), "stays" if each.kept else "goes", listed(each.reasons)])
    text = table(("id", "state", "size", "verdict", "because"), rows)
    if any(retention.UNREADABLE in each.reasons for each in decisions):
        text += "\n\na set that cannot be read stays until you delete it by name: inv backup.prune --id ID"
    return text
