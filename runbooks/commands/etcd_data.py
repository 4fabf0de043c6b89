"""The data directory of a host's etcd: read it, read etcd's last messages, set the data aside."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.etcd import STACKED, access_variables


@dataclass(frozen=True, slots=True)
class EtcdData:
    """``db`` is the size of the database in bytes, 0 when it is missing; ``wal`` is the number of write-ahead log files.

    ``free`` are the free bytes of its disk, None when it does not say; ``no_inodes``: it has room for no more files. ``asides`` are the
    paths of data that was set aside earlier. ``certificates`` are the paths of etcd's certificates and CAs that are not valid now, with
    the reason; ``ports`` those of etcd's ports that another program has, with its name. ``latest`` are the last messages about this data of
    the latest container that said any, ``log`` those of the one before, then these.
    """

    directory: str
    _: KW_ONLY
    free: int | None = None
    no_inodes: bool = False
    db: int = 0
    wal: int = 0
    asides: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, str], ...] = ()
    log: tuple[str, ...] = ()
    latest: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there is a database and a write-ahead log, so that etcd may continue with them."""
        return bool(self.db and self.wal)


def look() -> Probe[EtcdData]:
    """Read the data of this host's etcd, whether it runs or not."""
    return Probe(replace(_data("look"), shown="look at etcd's data and its last messages"), parse)


def aside(stamp: str) -> Command:
    """Move the data to a directory on the same disk whose name ends in ``stamp``, and print its path. Fails while etcd runs."""
    return replace(_data("aside", stamp), shown=f"mv etcd's member aside-{stamp}")


def parse(answer: Answer) -> EtcdData:
    """Read what etcd-data.sh printed for look. Raises ValueError when it does not name the directory."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> tuple[str, ...]:
        return tuple(value for first, value in lines if first == key)

    def pairs(key: str) -> tuple[tuple[str, str], ...]:
        return tuple((first, rest) for first, _, rest in (each.partition(" ") for each in every(key)))

    if not every("directory"):
        raise ValueError("this does not describe etcd's data")
    return EtcdData(
        directory=every("directory")[0],
        free=int(every("free")[0]) if every("free") else None,
        no_inodes="none" in every("inodes"),
        db=int(next(iter(every("db")), "0")),
        wal=int(next(iter(every("wal")), "0")),
        asides=every("aside"),
        units=pairs("unit"),
        certificates=pairs("certificate"),
        ports=pairs("port"),
        log=(*every("log"), *every("last")),
        latest=every("last"),
    )


def _data(action: str, stamp: str = "") -> Command:
    return script(
        "etcd-data",
        {"ACTION": action, "STAMP": stamp, **access_variables(STACKED)},
        timeout=60,
        after=("etcd-find", "etcd-place"),
    )
