"""The lab as the benches use it: two load balancers, three masters with a stand-in API server each, and a client."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.holders import Holders
from lab.control import Lab
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.process import Done

ROOT = Path(__file__).resolve().parents[1]
LBS = ("lb1", "lb2")
MASTERS = ("master1", "master2", "master3")


class Twin:
    """The lab instance ``bench`` with everything that runs in it for the benches. Use it as a context."""

    client = "worker1"

    def __init__(self, name: str = "bench", say: Callable[[str], None] = print) -> None:
        self.lab = Lab(name)
        self.say = say
        self._apis: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Twin:
        self.lab.up(ROOT / "hosts.yaml", [*LBS, *MASTERS, self.client])
        site = self.lab.site()
        self.site = site
        self.vip, self.port = str(site.endpoint.vip), site.endpoint.port
        self.holders = Holders(self.vip)
        self.attach(*LBS)
        self.delay_readyz(0)
        self.start_apis()
        return self

    def __exit__(self, *_: object) -> None:
        for host in list(self._apis):
            self.stop_api(host)
        for host in LBS:
            self.holders.detach(host)

    def attach(self, *hosts: str) -> None:
        """Watch the VIP on ``hosts``, which have just booted."""
        for host in hosts:
            self.holders.attach(host, self.lab.leader(host))

    # ------------------------------------------------------------------ API servers

    def start_apis(self) -> None:
        """Start the API server of every master that has none."""
        for host in MASTERS:
            if host not in self._apis:
                self.start_api(host)

    def start_api(self, host: str) -> None:
        """Start one API server, with this machine's Python and the master's network."""
        address = str(self.site.host(host).address)
        program = [sys.executable, str(Path(__file__).with_name("api_server.py"))]
        argv = self.lab.netns_of(host, [*program, host, address, str(self.port), str(self._certificate()), str(self._delay)])
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the API server of {host} does not start")
        self._apis[host] = process

    @property
    def _delay(self) -> Path:
        return self.lab.instance.state / "bench-api-delay"

    def delay_readyz(self, seconds: float) -> None:
        """Let every API server answer HAProxy's checks only after ``seconds``; 0: at once."""
        new = self._delay.with_suffix(".new")
        new.write_text(f"{seconds}")
        new.replace(self._delay)

    def stop_api(self, host: str) -> None:
        """End one API server (after a power cut: its master has gone, and no packet of its end gets out)."""
        process = self._apis.pop(host)
        process.kill()
        process.wait()

    def _certificate(self) -> Path:
        """Return a self-signed certificate with its key, made once."""
        path = self.lab.instance.state / "bench-api.pem"
        if not path.exists():
            subject = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
            run(["openssl", "req", *subject, "-subj", "/CN=bench-api", "-keyout", f"{path}.key", "-out", f"{path}.crt"])
            path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
        return path

    # ------------------------------------------------------------------ hosts and runbooks

    def on(self, host: str, *argv: str, check: bool = True) -> Done:
        """Run ``argv`` as root on ``host``, over no network, so that it works in any event."""
        return self.lab.console(host, argv, check=check)

    def inv(self, *words: str, site: str = "", check: bool = True) -> Done:
        """Run a runbook against the twin, or against another site file that describes it."""
        environment = [f"RUNBOOKS_SITE={site or self.lab.instance.switch}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return run(
            ["env", "-C", str(ROOT), *environment, str(Path(sys.executable).with_name("inv")), *words], check=check, timeout_s=300
        )

    def await_holder(self, hosts: Sequence[str], within_s: float) -> bool:
        """Wait until exactly one LB holds the VIP and it is one of ``hosts``; false when that did not happen in time."""
        return await_true(lambda: len(held := self.holders.holding()) == 1 and held[0] in hosts, within_s)


def await_true(what: Callable[[], bool], within_s: float) -> bool:
    """Wait until ``what`` holds; false when it did not in time."""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
