"""The two pairs that are compared: what `inv lb.setup` makes, and what the document that this project started from says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bench.twin import LBS, await_true

if TYPE_CHECKING:
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
    """`inv lb.setup`, by way of SSH like any operator."""

    name = "ha-runbooks"

    def install(self, twin: Twin) -> None:
        twin.inv("lb.setup")

    def change(self, twin: Twin, *, back: bool) -> None:
        if back:
            twin.inv("lb.setup")
            return
        text = twin.lab.instance.site.read_text()
        other = twin.lab.instance.state / "bench-changed.yaml"
        changed = text.replace("maxconn: 3000", "maxconn: 3100").replace("preempt_delay_s: 1\n", "preempt_delay_s: 2\n")
        if changed.count("3100") != 1 or changed.count("preempt_delay_s: 2") != 1:
            raise RuntimeError("the twin's site file does not spell out what this bench changes")
        other.write_text(changed)
        twin.inv("lb.setup", site=str(other))


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
