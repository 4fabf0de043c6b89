"""Cron expressions: parse them, find the next due time, translate them for systemd. Pure. All times are local, without a zone.

Source: crontab(5) of Debian's cron, systemd.time(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from runbooks.errors import InventoryError

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month
NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
HINT: Final = 'five fields: minute, hour, day of month, month, day of week; such as "17 2 * * *": every day at 02:17'
HORIZON_DAYS: Final = 366 * 41  # 29 February on a given weekday comes at least once in 40 years
UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
SLACK: Final = timedelta(minutes=2)  # a run may start this late after its due time


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields: its range, and the names of its numbers, counted from ``low``."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


MINUTE, HOUR = Field("minute", 0, 59), Field("hour", 0, 23)
DAY, MONTH = Field("day of month", 1, 31), Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of week", 0, 7, WEEKDAYS)  # 0 and 7 are Sunday


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When something is due. ``weekdays`` counts from Sunday, 0.

    ``either``: a day is due when its date or its weekday matches; otherwise both must match. In cron ``either`` is true when neither
    field begins with an asterisk.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool

    def on(self, day: date) -> bool:
        """Whether anything is due on ``day``."""
        dated, weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((dated or weekday) if self.either else (dated and weekday))


def parse(text: str, key: str = "--at") -> Times:
    """Parse a cron expression. Raises InventoryError, which names ``key`` and the field, when it is invalid or never due."""
    said = f"{key} {text!r}"
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        if words[0] not in NICKNAMES:
            raise InventoryError(f"{said}: not one of {', '.join(NICKNAMES)}", hint=HINT)
        words = NICKNAMES[words[0]].split()
    if len(words) != 5:
        raise InventoryError(f"{said}: {len(words)} fields instead of five", hint=HINT)
    fields = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
    minutes, hours, days, months, weekdays = (_read(word, field, said) for word, field in zip(words, fields, strict=True))
    restricted = not words[2].startswith("*"), not words[4].startswith("*")
    if restricted == (True, False) and min(days) > max(LONGEST[month - 1] for month in months):
        raise InventoryError(f"{said}: no such day ever comes", hint=HINT)
    return Times(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=tuple(sorted({day % 7 for day in weekdays})),
        either=all(restricted),
    )


def _read(word: str, field: Field, said: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in word.split(","):
        shape = re.fullmatch(r"(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", part.lower())
        if not shape:
            raise _wrong(said, field, part, "is no number, name, range (1-5), step (*/2, 1-9/2) or asterisk")
        star, first, last, step = shape.groups()
        if step and not (star or last):
            raise _wrong(said, field, part, f"a step needs a range before it, such as {first}-{field.high}/{step}")
        if step and not int(step):
            raise _wrong(said, field, part, "a step must not be 0")
        low = field.low if star else _number(first, field, part, said)
        high = field.high if star else _number(last, field, part, said) if last else low
        if low > high:
            raise _wrong(said, field, part, "the range ends before it begins")
        found |= set(range(low, high + 1, int(step or 1)))
    return tuple(sorted(found))


def _number(text: str, field: Field, part: str, said: str) -> int:
    if text.isdigit():
        number = int(text)
    elif text in field.names:
        number = field.names.index(text) + field.low
    else:
        raise _wrong(said, field, part, f"{text} is no {field.name}")
    if not field.low <= number <= field.high:
        raise _wrong(said, field, part, f"the field goes from {field.low} to {field.high}")
    return number


def _wrong(said: str, field: Field, part: str, why: str) -> InventoryError:
    return InventoryError(f"{said}: {field.name} {part!r}: {why}", hint=HINT)


def next_after(times: Times, moment: datetime) -> datetime:
    """Return the first time that is due after ``moment``."""
    start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for ahead in range(HORIZON_DAYS):
        day = start.date() + timedelta(days=ahead)
        if times.on(day):
            for due in _clock(times, day):
                if due >= start:
                    return due
    raise InventoryError("no such day comes in the next 40 years", hint=HINT)


def last_until(times: Times, moment: datetime) -> datetime:
    """Return the last time that was due up to ``moment``, inclusive."""
    for back in range(HORIZON_DAYS):
        day = moment.date() - timedelta(days=back)
        if times.on(day):
            for due in reversed(_clock(times, day)):
                if due <= moment:
                    return due
    raise InventoryError("no such day has come in the last 40 years", hint=HINT)


def _clock(times: Times, day: date) -> list[datetime]:
    return [datetime(day.year, day.month, day.day, hour, minute) for hour in times.hours for minute in times.minutes]


def calendar(times: Times) -> tuple[str, ...]:
    """Return the same times as values of systemd's OnCalendar. They are due at each of them.

    >>> calendar(parse("17 2 * * mon-fri"))
    ('Mon,Tue,Wed,Thu,Fri *-*-* 2:17:00',)
    >>> calendar(parse("0 4 1 * sun"))
    ('*-*-1 4:0:00', 'Sun *-*-* 4:0:00')
    """
    days, weekdays = _any(times.days, DAY), "" if len(times.weekdays) == 7 else _named(times.weekdays)
    month, clock = _any(times.months, MONTH), f"{_any(times.hours, HOUR)}:{_any(times.minutes, MINUTE)}:00"
    if not times.either:
        return (f"{weekdays} *-{month}-{days} {clock}".strip(),)
    if not weekdays or days == "*":
        return (f"*-{month}-* {clock}",)
    return (f"*-{month}-{days} {clock}", f"{weekdays} *-{month}-* {clock}")


def _named(weekdays: Iterable[int]) -> str:
    return ",".join(WEEKDAYS[day].capitalize() for day in sorted(weekdays, key=lambda day: day or 7))


def _any(numbers: tuple[int, ...], field: Field) -> str:
    return "*" if len(numbers) == field.high - field.low + 1 else ",".join(map(str, numbers))


def duration_s(text: str) -> int:
    """Return the seconds of a duration of timeout(1), such as 90m or 3h. Raises InventoryError unless it is 1 minute to 7 days."""
    shape = re.fullmatch(r"([0-9]{1,7})([smhd]?)", text)
    seconds = int(shape[1]) * UNITS_S[shape[2]] if shape else 0
    if not 60 <= seconds <= 7 * UNITS_S["d"]:
        raise InventoryError(f"--timeout {text!r}: not a duration between 1m and 7d", hint="such as 90m or 3h")
    return seconds


def missed(times: Times, *, since: datetime, attempt: datetime | None, now: datetime, longest: timedelta) -> datetime | None:
    """Return the last due time at which no run started, or None.

    ``since`` is when the schedule was installed, ``attempt`` when the last recorded run started. A run is recorded only when it ends,
    so a due time is not missed before ``longest``, the time limit of a run, has passed.
    """
    due = last_until(times, now - longest - SLACK)
    if due <= since or (attempt and attempt >= due - SLACK):
        return None
    return due
