"""The data directory of a host's etcd: what is in it, what etcd said when it ended, and how it is set aside."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.etcd import STACKED, access_variables


@dataclass(frozen=True, slots=True)
class EtcdData:
    """What there is. ``db`` is the size of the database in bytes, 0 when it is missing; ``wal`` counts write-ahead log files.

    ``asides`` are paths of data that was set aside earlier; ``log`` is what the last containers said at their ends.
    """

    directory: str
    _: KW_ONLY
    db: int = 0
    wal: int = 0
    asides: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    log: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there is a database and a log to go on from."""
        return bool(self.db and self.wal)


def look() -> Probe[EtcdData]:
    """See the data of this host's etcd, whether it runs or not."""
    return Probe(replace(_data("look"), shown="look at etcd's data and its last words"), parse)


def aside(stamp: str) -> Command:
    """Move the data out of etcd's way, on the same disk, to a directory whose name ends in ``stamp``; prints where to."""
    return replace(_data("aside", stamp), shown=f"mv /var/lib/etcd/member aside-{stamp}")


def parse(answer: Answer) -> EtcdData:
    """Read what etcd-data.sh printed for look. Raises ValueError when it does not name the directory."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> tuple[str, ...]:
        return tuple(value for first, value in lines if first == key)

    if not every("directory"):
        raise ValueError("this tells nothing of etcd's data")
    return EtcdData(
        directory=every("directory")[0],
        db=int(next(iter(every("db")), "0")),
        wal=int(next(iter(every("wal")), "0")),
        asides=every("aside"),
        units=tuple((name, state) for name, _, state in (each.partition(" ") for each in every("unit"))),
        log=every("log"),
    )


def _data(action: str, stamp: str = "") -> Command:
    return script(
        "etcd-data",
        {"ACTION": action, "STAMP": stamp, **access_variables(STACKED)},
        timeout=60,
        after=("etcd-find", "etcd-place"),
    )
