"""The two pairs that are compared: what `inv lb.setup` makes, and what the document that this project started from says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bench.twin import LBS, await_true

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.twin import Twin

DOCUMENT: Final = Path(__file__).with_name("document")
PACKAGES: Final = ("haproxy", "keepalived", "socat")


class Configuration(Protocol):
    """A way to set the pair up."""

    name: str

    def install(self, twin: Twin) -> None:
        """Set up two LBs that have empty disks."""

    def change(self, twin: Twin, *, back: bool) -> None:
        """Bring a changed configuration of both services to both LBs, or the first one back."""


class Ours:
    """`inv lb.setup`, by way of SSH like any operator. ``advert_ms`` is for trying another one than the site's."""

    name = "ha-runbooks"

    def __init__(self, advert_ms: int | None = None) -> None:
        self._advert_ms = advert_ms

    def install(self, twin: Twin) -> None:
        twin.inv("lb.setup", site=varied(twin, self._advert(twin)))

    def change(self, twin: Twin, *, back: bool) -> None:
        """Change a number in each of the two services' files."""
        changes = {"\n    maxconn: 3000": "\n    maxconn: 3100", "preempt_delay_s: 1\n": "preempt_delay_s: 2\n"}
        twin.inv("lb.setup", site=varied(twin, self._advert(twin) | ({} if back else changes)))

    def _advert(self, twin: Twin) -> dict[str, str]:
        now = twin.site.load_balancer.vrrp.advert_ms
        return {f"advert_ms: {now}\n": f"advert_ms: {self._advert_ms}\n"} if self._advert_ms else {}


def varied(twin: Twin, changes: Mapping[str, str]) -> str:
    """Return the twin's site file with ``changes``, each of which must fit exactly once; "" without any."""
    if not changes:
        return ""
    text = twin.lab.instance.site.read_text()
    for old, new in changes.items():
        if text.count(old) != 1:
            raise RuntimeError(f"the twin's site file says {old.strip()!r} {text.count(old)} times")
        text = text.replace(old, new)
    path = twin.lab.instance.state / "bench-varied.yaml"
    path.write_text(text)
    return str(path)


class Document:
    """The document's two files, its package list and its commands."""

    name = "document"

    def install(self, twin: Twin) -> None:
        for host, state in zip(LBS, ("master", "backup"), strict=True):
            twin.on(host, "apt-get", "-q", "update")
            twin.on(
                host, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy", "install", "--no-install-recommends", *PACKAGES
            )
            twin.on(host, "systemctl", "stop", "haproxy", "keepalived")
            # The one thing it cannot start without: the standby's HAProxy binds an address that the host does not have.
            twin.on(host, "sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1")
            place(twin, host, "/etc/sysctl.d/90-bench.conf", "net.ipv4.ip_nonlocal_bind = 1\n")
            place(twin, host, "/etc/haproxy/haproxy.cfg", (DOCUMENT / "haproxy.cfg").read_text())
            place(twin, host, "/etc/keepalived/keepalived.conf", (DOCUMENT / f"keepalived-{state}.conf").read_text())
        for host in LBS:
            twin.on(host, "systemctl", "enable", "-q", "haproxy", "keepalived")
            twin.on(host, "systemctl", "start", "haproxy", "keepalived")

    def change(self, twin: Twin, *, back: bool) -> None:
        """It knows no other way than to write the files and restart; the files stay as they are, the restart is what counts."""
        for host in reversed(LBS):
            twin.on(host, "systemctl", "restart", "haproxy", "keepalived")


def place(twin: Twin, host: str, path: str, text: str) -> None:
    """Write a file on a host."""
    twin.lab.console(host, ["tee", path], stdin=text, check=True)


def fresh(twin: Twin, configuration: Configuration) -> None:
    """Give both LBs empty disks and set them up; returns when the VIP is on lb1 and all masters are in use."""
    for host in LBS:
        twin.holders.detach(host)
    twin.lab.reset(*LBS)
    twin.attach(*LBS)
    configuration.install(twin)
    settle(twin)


def settle(twin: Twin) -> None:
    """Wait until the pair is at rest: the VIP on lb1, nobody flagged down, all masters up on both."""
    if not twin.await_holder(LBS[:1], 30):
        raise RuntimeError(f"the VIP is on {twin.holders.holding() or 'no LB'}, and should be on {LBS[0]}")
    if not await_true(lambda: all(masters_up(twin, host) == 3 for host in LBS), 90):
        raise RuntimeError("not all masters are up behind both LBs")
    time.sleep(0.5)


def masters_up(twin: Twin, host: str) -> int:
    """Return how many masters the HAProxy of ``host`` uses."""
    table = twin.on(host, "sh", "-c", "echo show stat | socat -T2 - UNIX-CONNECT:/run/haproxy/admin.sock", check=False).stdout
    rows = [line.split(",") for line in table.splitlines() if line.count(",") > 17]
    return sum(row[1].startswith("master") and row[17].startswith("UP") and "/" not in row[17] for row in rows)
