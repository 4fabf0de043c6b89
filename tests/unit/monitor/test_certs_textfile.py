"""The program that tells when certificates end, run for real on certificates of openssl, and against a server."""

from __future__ import annotations

import re
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from runbooks.monitor.host_files import CERTS_PROGRAM, host_files
from runbooks.monitor.rules.scope import Scope
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit
DAY = 86_400
SAMPLE = re.compile(r'(\w+)\{site="ha-cluster"(?:,port="(\d+)")?(?:,path="([^"]+)")?\} (\d+)')


def make(path: Path, days: int) -> None:
    """A certificate that ends in so many days, with its key beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=test",
        "-days",
        str(days),
    ]
    subprocess.run([*words, "-keyout", path.with_suffix(".key"), "-out", path], check=True, capture_output=True)


class Machine:
    """A control plane host in a directory."""

    def __init__(self, top: Path) -> None:
        self.top, self.textfiles = top, top / "textfiles"
        self.textfiles.mkdir()
        self.pki = top / "kubernetes" / "pki"
        program = next(file.content for file in host_files(Scope(site()), site().host("master1")) if file.path == CERTS_PROGRAM)
        text = program.replace("/etc/kubernetes", str(top / "kubernetes")).replace("/var/lib/kubelet", str(top / "kubelet"))
        self.program = top / "certs-textfile"
        self.program.write_text(text)

    def run(self, address: str = "127.0.0.1", port: int = 1) -> dict[tuple[str, str], int]:
        """Run it; 6443 is on ``port`` here. What node_exporter reads then: by the last part of the metric and the path."""
        self.program.write_text(self.program.read_text().replace("6443 apiserver.crt", f"{port} apiserver.crt"))
        environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SITE": "ha-cluster",
            "ADDRESS": address,
            "DIRECTORY": str(self.textfiles),
        }
        subprocess.run(["bash", self.program], check=True, timeout=120, env=environ)
        (path,) = self.textfiles.iterdir()
        assert path.name == "ha-runbooks-certs.prom"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        found = [SAMPLE.fullmatch(line) for line in lines]
        assert all(found), lines
        base = str(self.top / "kubernetes") + "/"
        return {
            (each[1].removeprefix("ha_runbooks_"), (each[3] or "").removeprefix(base)): int(each[4]) for each in found if each
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


FILE = "certificate_end_timestamp_seconds"
SERVED = "certificate_served_end_timestamp_seconds"


def test_every_certificate_is_told_with_its_end(machine, tmp_path):
    make(machine.pki / "apiserver.crt", 300)
    make(machine.pki / "etcd" / "server.crt", 20)
    conf = tmp_path / "kubernetes" / "admin.conf"
    make(tmp_path / "client.crt", 100)
    encoded = subprocess.run(["base64", "-w0", tmp_path / "client.crt"], check=True, capture_output=True, text=True).stdout
    conf.write_text(f"users:\n- user:\n    client-certificate-data: {encoded}\n")
    (machine.pki / "odd.crt").write_text("no certificate")
    found = machine.run()
    now = found["certificates_read_timestamp_seconds", ""]
    days = {path: round((ends - now) / DAY) for (name, path), ends in found.items() if name == FILE}
    assert days == {"pki/apiserver.crt": 300, "pki/etcd/server.crt": 20, "admin.conf": 100}
    assert not [name for name, _ in found if name == SERVED], "nothing listens"


def test_a_certificate_that_the_kubelet_has_left_behind_is_not_told(machine, tmp_path):
    """With serverTLSBootstrap the API signs another one; kubelet.crt stays there, and ends some day."""
    mine = tmp_path / "kubelet" / "pki"
    make(mine / "kubelet.crt", 5)
    ends = {path.rpartition("/")[2] for name, path in machine.run() if name == FILE}
    assert ends == {"kubelet.crt"}
    make(mine / "kubelet-server-2026.pem", 300)
    (mine / "kubelet-server-current.pem").symlink_to(mine / "kubelet-server-2026.pem")
    ends = {path.rpartition("/")[2] for name, path in machine.run() if name == FILE}
    assert ends == {"kubelet-server-current.pem"}


def test_what_a_port_serves_is_told_beside_its_file(machine):
    """The certificate was renewed, and the server has not been restarted."""
    make(machine.pki / "apiserver.crt", 40)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(machine.pki / "apiserver.crt", machine.pki / "apiserver.key")
    make(machine.pki / "apiserver.crt", 300)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, context.wrap_socket(connection, server_side=True) as told:
                told.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        found = machine.run(port=server.getsockname()[1])
    now = found["certificates_read_timestamp_seconds", ""]
    assert round((found[SERVED, "pki/apiserver.crt"] - now) / DAY) == 40
    assert round((found[FILE, "pki/apiserver.crt"] - now) / DAY) == 300


def test_a_host_without_certificates_says_that_it_looked(machine):
    assert [name for name, _ in machine.run()] == ["certificates_read_timestamp_seconds"]


def test_the_file_stays_when_it_cannot_be_written(machine):
    make(machine.pki / "apiserver.crt", 40)
    before = machine.run()
    environ = {"PATH": "/usr/bin:/bin", "SITE": "ha-cluster", "ADDRESS": "127.0.0.1", "DIRECTORY": str(machine.top / "nowhere")}
    done = subprocess.run(["bash", machine.program], check=False, timeout=60, env=environ, capture_output=True)
    assert done.returncode != 0
    assert machine.run().keys() == before.keys()
