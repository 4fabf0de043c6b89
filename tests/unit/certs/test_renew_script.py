"""The program that renews the certificates of a host, in a directory: what kubeadm is told. The administrator's certificate is real."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from runbooks.commands import certs
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

KUBEADM = """#!/bin/bash
[ "$*" != "certs --help" ] || exit @KNOWS@
echo "$*" >>"${0%/*}/../told"
"""


class Machine:
    """A control plane host in a directory."""

    def __init__(self, top: Path) -> None:
        self.top, self.conf = top, top / "kubernetes" / "admin.conf"
        for each in ("bin", "kubernetes/pki"):
            (top / each).mkdir(parents=True)
        self.kubeadm(knows_certs=True)

    def kubeadm(self, *, knows_certs: bool) -> None:
        program = self.top / "bin" / "kubeadm"
        program.write_text(KUBEADM.replace("@KNOWS@", "0" if knows_certs else "1"))
        program.chmod(0o755)

    def admin(self, data: bytes) -> None:
        self.conf.write_text(f"users:\n- name: admin\n  user:\n    client-certificate-data: {b64encode(data).decode()}\n")

    def told(self) -> str:
        """Run the program and return what kubeadm was told to do."""
        program = certs.renew().program.replace("/etc/kubernetes", str(self.conf.parent)).replace("/root/", f"{self.top}/")
        done = bash(f"PATH={self.top}/bin:$PATH\n{program}")
        assert done.exited == 0, done.stderr
        return (self.top / "told").read_text().strip()


def certificate(days: int) -> bytes:
    """Return a certificate that ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes-admin")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    valid = made.not_valid_before(now - timedelta(days=400)).not_valid_after(now + timedelta(days=days))
    return valid.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_an_administrator_who_is_let_in_kubeadm_asks_the_api(machine: Machine) -> None:
    machine.admin(certificate(1))
    assert machine.told() == "certs renew all"


def test_with_one_who_is_not_it_does_not(machine: Machine) -> None:
    machine.admin(certificate(-1))
    assert machine.told() == "certs renew all --kubeconfig /dev/null"


def test_an_old_kubeadm_is_told_in_its_own_words(machine: Machine) -> None:
    machine.kubeadm(knows_certs=False)
    machine.admin(certificate(-1))
    assert machine.told() == "alpha certs renew all --kubeconfig /dev/null"


@pytest.mark.parametrize(
    "content", ["", "users: []\n", "    client-certificate-data: bm9uZQ==\n", "    client-certificate-data: %\n"]
)
def test_what_cannot_be_read_is_left_to_kubeadm(machine: Machine, content: str) -> None:
    machine.conf.write_text(content)
    assert machine.told() == "certs renew all"
