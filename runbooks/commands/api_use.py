"""Which deprecated APIs are asked for, by whom, and which objects name them.

https://kubernetes.io/docs/reference/using-api/deprecation-guide/ ; the metrics: https://kubernetes.io/docs/reference/instrumentation/metrics/
(apiserver_requested_deprecated_apis, from 1.19 on); the annotations of audit events: k8s.io/deprecated, k8s.io/removed-release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host

LARGEST: Final = 64 << 20  # bytes of the audit log that are read
COUNTS: Final = ("apiserver_resource_objects", "apiserver_storage_objects", "etcd_object_counts")  # from 1.34, 1.21, and before
NO_SUCH: Final = "doesn't have a resource type"  # what is not served is not stored either
_METRIC = re.compile(r"(\w+)(?:\{(.*)\})? ([0-9.eE+-]+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Requested:
    """A deprecated API that was asked for: ``api`` is GROUP/VERSION, ``removed`` the version without it, such as "1.25"; "" when none is fixed."""

    api: str
    resource: str
    removed: str


@dataclass(frozen=True, slots=True)
class User:
    """Who asked for a deprecated API, and how often, in that part of the audit log that was read."""

    name: str
    agent: str
    times: int
    what: Requested


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUse:
    """What one API server has counted since its process was ``started`` (seconds since 1970; ``clock``: now).

    requested  deprecated APIs; objects: how many are stored, by RESOURCE.GROUP.
    error      why the metrics could not be read, or "".
    audit      the path of the audit log and the time of the first event that was read, or why none was; users: from it.
    """

    clock: int
    started: float = 0
    requested: tuple[Requested, ...] = ()
    objects: dict[str, int] = field(default_factory=dict)
    error: str = ""
    audit: str = ""
    audited: bool = False
    users: tuple[User, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """An object in which a removed API is named. ``managers``: (name, time) of those that wrote fields by it; ``applied``: its manifest is in it."""

    key: str
    managers: tuple[tuple[str, str], ...]
    applied: bool


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one resource that name the removed API, or why they could not be listed."""

    resource: str
    api: str
    objects: tuple[Named, ...]
    error: str = ""


def look(host: Host) -> Probe[ApiUse]:
    """Read what the API server of ``host`` has counted, and who asked for it."""
    variables = {"SERVER": url(host.address), "LARGEST": str(LARGEST)}
    shown = "kubectl get --raw /metrics; grep k8s.io/removed-release in the audit log"
    return Probe(replace(script("api-use", variables, timeout=60), shown=shown), parse)


def parse(answer: Answer) -> ApiUse:
    """Parse the lines of api-use.sh. Raises ValueError for a metric or a user that is not as expected, and without a clock."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]
    said = dict(lines)
    metrics = [_metric(text) for key, text in lines if key == "metric"]
    started = next((value for name, _, value in metrics if name == "process_start_time_seconds"), 0.0)
    asked = [labels for name, labels, value in metrics if name == "apiserver_requested_deprecated_apis" and value]
    audit, _, since = said.get("audit", "").rpartition(" ")
    return ApiUse(
        clock=int(said["clock"]) if "clock" in said else _missing("clock"),
        started=started,
        requested=tuple(dict.fromkeys(_requested(labels) for labels in asked)),
        objects=_counts(metrics),
        error=said.get("error", "").strip() or ("" if started else "it has no start time in its metrics"),
        audit=f"{audit} since {since}" if audit else said.get("noaudit", "it was not read"),
        audited=bool(audit),
        users=tuple(_user(text) for key, text in lines if key == "user"),
    )


def _missing(what: str) -> int:
    raise ValueError(f"api-use said nothing about the {what}")


def _metric(text: str) -> tuple[str, dict[str, str], float]:
    found = _METRIC.fullmatch(text.strip())
    if not found:
        raise ValueError(f"this is no metric: {text[:80]!r}")
    return found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])


def _requested(labels: dict[str, str]) -> Requested:
    api = "/".join(filter(None, (labels.get("group"), labels.get("version"))))
    return Requested(api, labels.get("resource", ""), labels.get("removed_release", ""))


def _counts(metrics: Iterable[tuple[str, dict[str, str], float]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, labels, value in metrics:
        if name in COUNTS and value >= 0:
            whole = ".".join(filter(None, (labels.get("resource"), labels.get("group"))))
            found[whole] = max(found.get(whole, 0), int(value))
    return found


def _user(text: str) -> User:
    parts = text.split("\t")
    if len(parts) != 6 or not parts[0].isdigit():
        raise ValueError(f"this is no user of an API: {text[:80]!r}")
    times, name, agent, api, resource, removed = parts
    return User(name, agent, int(times), Requested(api, resource, removed))


def objects(host: Host, wanted: Sequence[tuple[str, str, str]]) -> Probe[tuple[Objects, ...]]:
    """List the objects that name a removed API. ``wanted``: (resource, removed API, API to read them by), by the API server of ``host``."""
    variables = {"SERVER": url(host.address), "WANTED": [" ".join(each) for each in wanted]}
    command = script("api-objects", variables, timeout=180)
    return Probe(replace(command, shown="kubectl get, of what the target removes: managers of fields"), parse_objects)


def parse_objects(answer: Answer) -> tuple[Objects, ...]:
    """Parse what api-objects.sh printed. Raises ValueError for a line that is not as expected."""
    found: list[Objects] = []
    for line in answer.stdout.split("\n"):
        if line.startswith("@@ "):
            resource, api, status = line[3:].split(" ")
            found.append(Objects(resource, api, (), "" if status == "0" else f"kubectl exited {status}"))
        elif line.startswith("! ") and found and found[-1].error:
            found[-1] = replace(found[-1], error="" if NO_SUCH in line else line[2:].strip())
        elif "\x1f" in line and found:
            found[-1] = replace(found[-1], objects=(*found[-1].objects, _named(line, found[-1].api)))
    return tuple(found)


def _named(line: str, api: str) -> Named:
    namespace, name, fields, applied = (line.split("\x1f") + [""] * 4)[:4]
    entries = [each.split("\t") for each in fields.split("\x1d") if each.strip()]
    managers = tuple((each[2], each[1]) for each in entries if len(each) == 3 and each[0] == api)
    return Named("/".join(filter(None, (namespace, name))), managers, f'"apiVersion":"{api}"' in applied[:200])
