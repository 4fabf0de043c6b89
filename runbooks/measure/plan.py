"""What the measuring process is told, in one line of JSON on its standard input; never on its command line: it holds a private key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from runbooks.inventory.model import LabTwin

EVERY_MS: Final = 300.0
SERVERS_EVERY_MS: Final = 4500.0
QUICK: Final = 2  # so many times as often while there is trouble: every 150 ms
TIMEOUT_S: Final = 10.0
NICENESS: Final = -10
STOP: Final = b"stop\n"  # the second line: end in good order. Without it, at the end of the input: the parent is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    name, example, lab   of the site: the guard of `engine.namespace` is asked before each connection.
    address, port        of the VIP; ``name_of_vip``: the endpoint's, where a certificate may have it instead of the address; ``servers``: of the API server of each host.
    kubeconfig           the text of the kubeconfig, a secret.
    object               the name for the namespace and the object in it.
    every_ms             the interval of requests through the VIP while all is well, ``servers_every_ms`` of those to each API server;
                         ``quick``: into so many parts it is divided while something fails or is waited for.
    result               the file for the result, replaced every few seconds.
    niceness             of the process, where this user may choose it: what loads this machine is not to delay its requests.
    """

    name: str
    example: bool
    lab: LabTwin | None
    address: str
    port: int
    object: str
    result: str
    kubeconfig: str = field(repr=False)
    servers: dict[str, tuple[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    name_of_vip: str = ""
    every_ms: float = EVERY_MS
    servers_every_ms: float = SERVERS_EVERY_MS
    quick: int = QUICK
    timeout_s: float = TIMEOUT_S
    niceness: int = NICENESS
