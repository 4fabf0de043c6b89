"""The object that is written and read: a ConfigMap in a namespace of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from runbooks.measure.rules.register import GONE, Stored

LABELS: Final = {"app.kubernetes.io/managed-by": "ha-runbooks", "app.kubernetes.io/component": "measure"}
NAMESPACES: Final = "/api/v1/namespaces"
WATCH_S: Final = 86_400  # for how long the server is to keep the watch


@dataclass(frozen=True, slots=True)
class Place:
    """Where the object is; ``name`` is the namespace's name and its own."""

    name: str

    @property
    def namespace(self) -> str:
        """The path of the namespace."""
        return f"{NAMESPACES}/{self.name}"

    @property
    def collection(self) -> str:
        """The path to create the object at."""
        return f"{self.namespace}/configmaps"

    @property
    def object(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{self.name}"

    def watch(self, version: str) -> str:
        """Return the path of a watch that begins after resourceVersion ``version``."""
        selected = f"fieldSelector=metadata.name%3D{self.name}"
        return f"{self.collection}?watch=1&{selected}&resourceVersion={version}&timeoutSeconds={WATCH_S}"

    def new_namespace(self) -> bytes:
        """Return the namespace, to be created."""
        return _text({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": LABELS}})

    def wanted(self, stored: Stored, version: str = "") -> bytes:
        """Return the object that holds ``stored``. With ``version`` it replaces that version only."""
        metadata = {"name": self.name, "labels": LABELS, **({"resourceVersion": version} if version else {})}
        data = {"number": str(stored.number), "at": repr(stored.at_s), "acknowledged": str(stored.acknowledged)}
        return _text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def parse(body: bytes) -> tuple[Stored, str]:
    """Return what an object of ours holds, and its resourceVersion. Raises ValueError when it is none."""
    return _stored(_json(body))


def parse_event(line: bytes) -> tuple[str, Stored, str]:
    """Return an event's type, what the object holds, and its resourceVersion; "" as version of an ERROR. Raises ValueError."""
    event = _json(line)
    kind, found = event.get("type"), event.get("object")
    if kind == "ERROR":
        code = found.get("code") if isinstance(found, dict) else None
        return f"ERROR {code}", Stored(number=GONE), ""
    if kind not in {"ADDED", "MODIFIED", "DELETED"} or not isinstance(found, dict):
        raise ValueError("it is no event")
    return kind, *_stored(found)


def server_version(body: bytes) -> str:
    """Return the version of an API server in its answer to /version, "" when it has none."""
    try:
        found = _json(body).get("gitVersion")
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _stored(found: dict[str, Any]) -> tuple[Stored, str]:
    try:
        data, version = found["data"], found["metadata"]["resourceVersion"]
        if not isinstance(version, str) or not version:
            raise ValueError("it has no resourceVersion")
        stored = Stored(number=int(data["number"]), at_s=float(data["at"]), acknowledged=int(data["acknowledged"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not our object: {error}") from None
    return stored, version


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - as every text that is not understood
    return found


def _text(found: dict[str, object]) -> bytes:
    return json.dumps(found).encode()
