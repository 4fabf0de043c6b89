"""What the operator chooses for an upgrade: the flags of `inv upgrade.plan` and `inv upgrade.run`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.rules.upgrade_seen import Version, version_in
from runbooks.upgrade.rules.evictions import EVERY, Named

DRAIN_S = 300  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices, checked against the site.

    to               the version to arrive at; several: several minor versions, one whole upgrade each (--hops).
    workers_at_once  how many workers are upgraded at the same time, after the first one alone.
    max_failed       of how many workers the upgrade may fail before no other one is begun.
    empty_dirs       --delete-emptydir-data: what evicted Pods have in emptyDir volumes may be deleted.
    force_pods       --force-pods: bare Pods ("NAMESPACE/NAME", or of their workload) that may be deleted for good.
    only             only these hosts; () for all.
    pause_after      the host after which the run ends, to be gone on with later; None: it goes on.
    backup           whether a backup is made when there is no good one that is fresh.
    until            the time after which no other node is begun; None: any time.
    drain_s          how many seconds a drain may take.
    """

    to: Version
    several: bool = False
    workers_at_once: int = 1
    max_failed: int = 0
    empty_dirs: bool = False
    force_pods: frozenset[str] = frozenset()
    only: tuple[Host, ...] = ()
    pause_after: Host | None = None
    backup: bool = True
    until: datetime | None = None
    drain_s: int = DRAIN_S

    @property
    def named(self) -> Named:
        """Return what the operator lets be deleted, as the drains take it."""
        return Named(force=self.force_pods, empty_dirs=frozenset({EVERY} if self.empty_dirs else ()))

    def takes(self, host: Host) -> bool:
        """Return whether the upgrade is to touch this host."""
        return not self.only or host in self.only


def choices(  # noqa: PLR0913 - flags
    site: Site,
    *,
    to: str,
    hops: bool = False,
    workers_at_once: str = "1",
    max_failed: int = 0,
    delete_emptydir_data: bool = False,
    force_pods: str = "",
    only: str = "",
    pause_after: str = "",
    no_backup: bool = False,
    until: str = "",
    drain_timeout: int = DRAIN_S,
) -> Choices:
    """Return the flags as choices. Raises InventoryError for one that is wrong: a version, a number, a Pod, a host."""
    if max_failed < 0:
        raise InventoryError(f"--max-failed {max_failed}: a number of workers, 0 or more")
    if drain_timeout < 1:
        raise InventoryError(f"--drain-timeout {drain_timeout}: seconds, 1 or more")
    chosen = site.named(only, "node") if only else ()
    pause = site.host(pause_after, "node") if pause_after else None
    if chosen and pause and pause not in chosen:
        raise InventoryError(f"--pause-after {pause}: --only leaves it out")
    return Choices(
        to=version(to),
        several=hops,
        workers_at_once=at_once(workers_at_once, sum(not host.is_control_plane for host in site.nodes)),
        max_failed=max_failed,
        empty_dirs=delete_emptydir_data,
        force_pods=pods(force_pods),
        only=chosen,
        pause_after=pause,
        backup=not no_backup,
        until=end(until, datetime.now().astimezone()) if until else None,
        drain_s=drain_timeout,
    )


def version(text: str) -> Version:
    """Return the version that --to means.

    >>> version("v1.36.3"), version("1.20.3")
    ((1, 36, 3), (1, 20, 3))
    """
    found = version_in(text)
    if not found or text.removeprefix("v") != ".".join(map(str, found)):
        raise InventoryError(f"--to {text}: not a version such as 1.36.3", hint="give all three numbers")
    return found


def at_once(text: str, workers: int) -> int:
    """Return how many of ``workers`` the flag means: a number, or a percentage, rounded down; at least 1.

    >>> at_once("3", 10), at_once("20%", 14), at_once("10%", 4)
    (3, 2, 1)
    """
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdigit()) or int(number) < 1 or (text.endswith("%") and int(number) > 100):
        raise InventoryError(f"--workers-at-once {text}: a number of workers, or a percentage from 1% to 100%")
    return max(1, workers * int(number) // 100) if text.endswith("%") else int(number)


def pods(text: str) -> frozenset[str]:
    """Return the Pods that --force-pods names.

    >>> sorted(pods("default/a, kube-system/b"))
    ['default/a', 'kube-system/b']
    """
    names = [word.strip() for word in text.split(",") if word.strip()]
    if wrong := [name for name in names if len([part for part in name.split("/") if part]) != 2 or name.count("/") != 1]:
        raise InventoryError(f"--force-pods {wrong[0]}: not NAMESPACE/NAME")
    return frozenset(names)


def end(text: str, now: datetime) -> datetime:
    """Return the next moment after ``now`` at which a clock shows ``text``, in the time zone of ``now``. Raises InventoryError.

    >>> end("05:00", datetime(2026, 11, 28, 23, 30)), end("23:45", datetime(2026, 11, 28, 23, 30))
    (datetime.datetime(2026, 11, 29, 5, 0), datetime.datetime(2026, 11, 28, 23, 45))
    """
    try:
        clock = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise InventoryError(f"--until {text}: not a time such as 05:00") from None
    today = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
