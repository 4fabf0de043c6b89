"""`inv backup.status`: is the newest good set recent enough, and do the schedules work? Connects to no host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbooks.backup.rules import times
from runbooks.backup.schedule import local
from runbooks.backup.schedule.local import Installed
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store
from runbooks.errors import InventoryError, OutcomeError
from runbooks.local.disk import free_bytes
from runbooks.text import HOUR, age_text, counted, size_text

if TYPE_CHECKING:
    from runbooks.engine.session import Session

REASON = 160  # characters of the last attempt's error; the log of scripts/ha-backup has all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule, its next due time, the last due time at which no run started (local times), and what is wrong or ""."""

    installed: Installed
    next: datetime | None
    missed: datetime | None
    problem: str


def trouble_with(session: Session) -> tuple[list[str], str, bool]:
    """Return everything that is wrong with the backups, the fix, and whether a schedule is installed on this machine.

    Raises InventoryError when hosts.yaml has no section backup.
    """
    store, now = Store(session.site), datetime.now().astimezone()
    newest, good = newest_sets(store)
    schedules = [_state(each, store.records("last-attempt"), now) for each in local.found(session)]
    return _trouble(store, newest, good, schedules, now), _way_out(good, schedules), bool(schedules)


def show(session: Session) -> None:
    """Print the state of the backups. Raises OutcomeError with everything that is wrong."""
    store, now = Store(session.site), datetime.now().astimezone()
    sets = store.sets()
    newest, good = newest_sets(store)
    attempt = store.records("last-attempt")
    schedules = [_state(each, attempt, now) for each in local.found(session)]
    trouble = _trouble(store, newest, good, schedules, now)
    facts = {
        "ok": not trouble,
        "problems": trouble,
        "newest_good": good and _for_machines(good, now),
        "newest": newest and _for_machines(newest, now),
        "max_age_h": store.backup.max_age_h,
        "last_attempt": attempt or None,
        "schedules": [_schedule(each) for each in schedules],
        "sets": len(sets),
        "size": sum(each.size for each in sets),
        "free": free_bytes(store.directory),
    }
    if session.options.json:
        print(json.dumps(facts, default=str))
    else:
        print("\n".join(_for_people(session.site.name, store, facts, schedules)))
    if trouble:
        raise OutcomeError("\n       ".join(trouble), hint=_way_out(good, schedules))


def newest_sets(store: Store) -> tuple[Manifest | None, Manifest | None]:
    """Return the newest set that can be read, and the newest good one."""
    known = [each.manifest for each in store.sets() if each.manifest]
    return next(iter(known), None), next((each for each in known if each.state == "good"), None)


def _trouble(
    store: Store, newest: Manifest | None, good: Manifest | None, schedules: list[ScheduleState], now: datetime
) -> list[str]:
    late = _too_old(good, store.backup.max_age_h, now)
    if newest and newest.unlisted:
        late.insert(0, f"the newest set, {newest.id}, lacks objects: {newest.unlisted}")
    return [*late, *(f"{each.installed.where}: {each.problem}" for each in schedules if each.problem)]


def _too_old(good: Manifest | None, max_age_h: int, now: datetime) -> list[str]:
    if not good:
        return ["there is no good set"]
    age_s = (now - good.started).total_seconds()
    if age_s > max_age_h * HOUR:
        return [f"the newest good set is {age_text(age_s)} old; backup.max_age_h allows {max_age_h} h"]
    return []


def _state(installed: Installed, attempt: dict[str, Any], now: datetime) -> ScheduleState:
    """Return the state of one schedule: whether it would run, and whether the last due run started."""
    entry, here = installed.entry, now.replace(tzinfo=None)
    try:
        due_times = times.parse(entry.at)
        longest = timedelta(seconds=times.duration_s(entry.timeout))
        since = _local(entry.since, now) or here
        missed = times.missed(due_times, since=since, attempt=_local(attempt.get("started"), now), now=here, longest=longest)
        due = times.next_after(due_times, here)
    except InventoryError as error:
        return ScheduleState(
            installed=installed, next=None, missed=None, problem=f"the entry was changed by hand and is invalid: {error}"
        )
    late = f"no run started at {missed:%Y-%m-%d %H:%M}" if missed else ""
    return ScheduleState(
        installed=installed, next=due, missed=missed, problem="; ".join(each for each in (installed.problem, late) if each)
    )


def _local(text: object, now: datetime) -> datetime | None:
    """Return an ISO 8601 time with a zone as local time of this machine, or None when it is not one."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(now.tzinfo).replace(tzinfo=None)
    except ValueError:
        return None


def _for_machines(made: Manifest, now: datetime) -> dict[str, Any]:
    age = int((now - made.started).total_seconds())
    return {"id": made.id, "state": made.state, "started": made.started.isoformat(), "age_s": age, "revision": made.etcd.revision}


def _schedule(state: ScheduleState) -> dict[str, Any]:
    entry = state.installed.entry
    return {
        "where": state.installed.where,
        "at": entry.at,
        "timeout": entry.timeout,
        "since": entry.since,
        "alive": not state.installed.problem,
        "next": state.next and state.next.isoformat(timespec="minutes"),
        "missed": state.missed and state.missed.isoformat(timespec="minutes"),
        "problem": state.problem,
    }


def _for_people(name: str, store: Store, facts: dict[str, Any], schedules: list[ScheduleState]) -> list[str]:
    def told(one: dict[str, Any] | None) -> str:
        if not one:
            return "none"
        return f"{one['id']}, {age_text(one['age_s'])} old, {one['state']}, etcd at revision {one['revision']}"

    lines = [f"{name}: {'well' if facts['ok'] else 'NOT WELL: ' + facts['problems'][0]}", ""]
    lines.append(f"newest good set  {told(facts['newest_good'])} (allowed: {facts['max_age_h']} h)")
    if facts["newest"] != facts["newest_good"]:
        lines.append(f"newest set       {told(facts['newest'])}")
    lines.append(f"last attempt     {_attempt(facts['last_attempt'])}")
    for each in schedules:
        alive = each.problem or "alive"
        lines.append(f'schedule         "{each.installed.entry.at}" in {each.installed.where}: {alive}')
        if each.next and not each.installed.problem:
            lines.append(f"next run         {each.next:%Y-%m-%d %H:%M} (local time)")
    if not schedules:
        lines.append('schedule         none on this machine: inv backup.schedule --at "17 2 * * *"')
    room = f"{counted(facts['sets'], 'set')}, {size_text(facts['size'])}; {size_text(facts['free'])} free"
    lines.append(f"{store.directory}  {room}")
    return lines


def _attempt(attempt: dict[str, Any] | None) -> str:
    if not attempt:
        return "none is on record"
    ended = _local(attempt.get("ended"), datetime.now().astimezone())
    outcome = f"exit {attempt.get('exit')}"
    why = f": {' '.join(str(attempt['error']).split())[:REASON]}" if attempt.get("error") else ""
    when = f"{ended:%Y-%m-%d %H:%M}" if ended else "at an unknown time"
    return f"{when} (local time), by {attempt.get('by', '?')}, {outcome}{why}"


def _way_out(good: Manifest | None, schedules: list[ScheduleState]) -> str:
    if any(each.installed.problem for each in schedules):
        return "start its daemon, or run inv backup.schedule again"
    return "inv backup.run" if not good or not schedules else "see the log of scripts/ha-backup, then inv backup.run"
