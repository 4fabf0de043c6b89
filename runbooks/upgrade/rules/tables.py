"""The tables of what a version of Kubernetes or etcd no longer takes: data in tables/*.yaml, each row with its source. Pure but for reading them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from runbooks.commands import yaml_text

Minor = tuple[int, int]
Kind = Literal["flag", "value", "gate", "api", "field"]

FOLDER: Final = Path(__file__).parent / "tables"
LAST: Final[Minor] = (1, 37)  # the last version that the tables know
COMPONENTS: Final = ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Something that a component no longer takes.

    components  who: several for a row that is the same for all of `COMPONENTS`.
    item        the name of a flag (without dashes), gate or field, or an API version.
    value       of a flag or field, the only value that is gone, "" when all of it is gone. Of a gate, the value that it is locked to.
    locked      the first version in which a gate takes no other value; gone: the first one that does not know the item.
    cleaned     the first kubeadm whose upgrade takes the flag out of kubeadm-flags.env.
    instead     what to write instead, "" for nothing.
    source      file and branch, or URL. ``documented``: read in documents only.
    """

    kind: Kind
    components: tuple[str, ...]
    item: str
    value: str = ""
    locked: Minor | None = None
    gone: Minor | None = None
    cleaned: Minor | None = None
    instead: str = ""
    source: str = ""
    documented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A resource that ``gone`` and later no longer serve by ``api`` (GROUP/VERSION); ``instead``: the API that has the same objects, or ""."""

    api: str
    resource: str
    gone: Minor
    instead: str
    source: str

    @property
    def group(self) -> str:
        """The group."""
        return self.api.partition("/")[0]


@cache
def apis() -> tuple[Api, ...]:
    """Return the API versions that are no longer served."""
    whole = _table("apis")
    return tuple(
        Api(
            api=each["api"],
            resource=each["resource"],
            gone=parsed(each["gone"]),
            instead=each.get("instead", ""),
            source=whole["sources"][each["source"]],
        )
        for each in whole["apis"]
    )


@cache
def rows() -> tuple[Row, ...]:
    """Return all rows about the components of Kubernetes, kubeadm and etcd; the versions in etcd's rows are those of etcd."""
    every = COMPONENTS
    return (
        *_rows("flags", "flags", "flag", every),
        *_rows("flags", "values", "value", every),
        *_rows("gates", "gates", "gate", every),
        *_rows("gates", "kubeadm", "gate", every),
        *_rows("formats", "apis", "api", every),
        *_rows("formats", "fields", "field", every),
        *_rows("etcd", "flags", "flag", every),
    )


@cache
def by_item() -> dict[tuple[Kind, str, str], tuple[Row, ...]]:
    """Return the rows by kind, component and item."""
    found: dict[tuple[Kind, str, str], tuple[Row, ...]] = {}
    for row in rows():
        for component in row.components:
            key = (row.kind, component, row.item)
            found[key] = (*found.get(key, ()), row)
    return found


def parsed(text: str) -> Minor:
    """Parse "1.30". Raises ValueError for anything else.

    >>> parsed("1.30")
    (1, 30)
    """
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _rows(table: str, section: str, kind: Kind, every: tuple[str, ...]) -> Iterable[Row]:
    whole = _table(table)
    for each in whole[section]:
        component = each.get("component", "all")
        yield Row(
            kind=kind,
            components=every if component == "all" else (component,),
            item=each["item"],
            value=each.get("value", ""),
            locked=_version(each, "locked"),
            gone=_version(each, "gone"),
            cleaned=_version(each, "cleaned"),
            instead=each.get("instead", ""),
            source=whole["sources"][each["source"]],
            documented=each.get("documented") == "yes",
        )


def _version(row: dict[str, str], key: str) -> Minor | None:
    return parsed(row[key]) if key in row else None


@cache
def _table(name: str) -> dict[str, Any]:
    return yaml_text.mapping((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
