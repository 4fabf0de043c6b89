"""Whether the etcd that a host's etcd.yaml names takes the flags that stand there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.etcd import STACKED, access_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The image in etcd.yaml ("" without a manifest), and its flags by name.

    ``version`` is that of the etcd in the image, by its own word; "" when it could not be asked, and then ``unknown`` says why.
    ``refused`` are the flags that this etcd does not take, with what it says.
    """

    image: str
    flags: tuple[str, ...]
    version: str = ""
    unknown: str = ""
    refused: tuple[tuple[str, str], ...] = ()


def look() -> Probe[Flags]:
    """Ask the etcd of the host's etcd.yaml whether it takes the flags of that file. It is not started."""
    after = ("etcd-find", "etcd-place", "etcd-restore-find")
    command = script("etcd-flags", access_variables(STACKED), timeout=90, after=after)
    return Probe(replace(command, shown="etcd FLAGS-OF-ETCD.YAML --version"), parse)


def parse(answer: Answer) -> Flags:
    """Read what etcd-flags.sh printed."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]

    def every(key: str) -> tuple[str, ...]:
        return tuple(value for name, value in lines if name == key)

    return Flags(
        image="".join(every("image")),
        flags=tuple(map(_name, every("flag"))),
        version="".join(every("version")),
        unknown="".join(every("unknown")),
        refused=tuple((_name(each), each.partition(" ")[2]) for each in every("refused")),
    )


def _name(flag: str) -> str:
    return flag.split(" ", maxsplit=1)[0].split("=", maxsplit=1)[0].removeprefix("--")
