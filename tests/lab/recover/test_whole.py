"""Every control plane host is gone. Empty machines replace them, restored from an encrypted set alone.

It leaves the cluster whole, with the stock in it.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.recover.test_quorum import MASTERS, revisions
from tests.support.operator import Operator, edit_manifest
from tests.support.stock import WHOLE, counted, kubectl, works
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

SSO = "/etc/ssl/certs/company-sso-ca.pem"
# The API server of master1 does not start without a CA that lies outside of /etc/kubernetes: a link, as update-ca-certificates makes it.
FLAGS = rf"s|^    - kube-apiserver$|&\n    - --oidc-issuer-url=https://sso.example\n    - --oidc-client-id=kube\n    - --oidc-ca-file={SSO}|"
OIDC = f"""
set -e
install -m 640 -g 33 /etc/kubernetes/pki/ca.crt /usr/local/share/ca-certificates/company-sso.crt
ln -sf ../../../usr/local/share/ca-certificates/company-sso.crt {SSO}
{edit_manifest("kube-apiserver", FLAGS)}
"""
NO_OIDC = f"{edit_manifest('kube-apiserver', '/--oidc-/d')}; rm -f {SSO}"
ALL_OF_IT = ("recover.control-plane", "--yes-restore", "ha-cluster")


@pytest.fixture(scope="module")
def gone(saved: Operator) -> Iterator[tuple[Operator, Path]]:
    """An operator with an encrypted set, and the key to it; its three control plane hosts are empty machines."""
    key = saved.directory / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = re.findall(r"age1\w+", key.read_text())[0]
    saved.edit(lambda site: site["backup"].update(age={"recipients": [recipient]}))
    saved.lab.console("master1", ["bash", "-c", OIDC], check=True)
    saved.good("backup.run")
    attempt = "/var/lib/ha-runbooks/kubeadm/attempt"  # as of a join that was interrupted; issue 12, 20
    saved.lab.console("master1", ["bash", "-c", f"echo join >{attempt}"], check=True)
    done = saved.inv(*ALL_OF_IT)
    saved.lab.console("master1", ["rm", attempt], check=True)
    assert (done.returncode, "the control plane is not lost" in done.stderr) == (3, True), done.stdout + done.stderr
    assert ("inv doctor" in done.stderr, "cluster.reset" in done.stderr) == (True, False), done.stderr
    saved.lab.off(*MASTERS)
    saved.lab.reset(*MASTERS)
    yield saved, key
    saved.lab.console("master1", ["bash", "-c", NO_OIDC])
    # The tests after these need the cluster; a busy machine may need a while until it is healthy again.
    saved.verified()


def test_without_the_key_nothing_is_touched(gone: tuple[Operator, Path]) -> None:
    operator, _ = gone
    done = operator.inv(*ALL_OF_IT, "--diff")
    assert (done.returncode, "--identity" in done.stderr) == (2, True), done.stdout + done.stderr
    quorum = operator.inv("recover.etcd-quorum", "--yes-restore", "ha-cluster", "--diff")
    assert (quorum.returncode, "inv recover.control-plane" in quorum.stderr) == (3, True), quorum.stdout + quorum.stderr
    assert "ran on" not in done.stdout + quorum.stdout
    operator.sees("doctor", told="-> inv recover.control-plane\n")


def test_empty_machines_become_the_control_plane_again(gone: tuple[Operator, Path]) -> None:
    """Killed while the files are put back, and again in the middle of etcd's restore: the same command finishes it."""
    operator, key = gone
    command = [*ALL_OF_IT, "--identity", str(key)]
    assert "onto  master1, master2, master3" in operator.good(*command, "--plan")
    for moment in ("tar -xz", "mv member"):
        assert operator.strike(1, signal.SIGKILL, *command, named=moment) == -signal.SIGKILL, operator.last_words
    operator.good(*command, timeout_s=900)
    assert counted(operator) == WHOLE
    assert set(revisions(operator)) == set(MASTERS)
    works(operator)
    operator.verified()
    assert operator.lab.console("master1", ["stat", "-c", "%F %a %g", SSO]).stdout == "regular file 640 33\n"
    assert f"--oidc-ca-file={SSO}" in operator.lab.console("master1", ["pgrep", "-ax", "kube-apiserver"]).stdout
    operator.lab.console("master1", ["bash", "-c", NO_OIDC], check=True)
    for host in MASTERS:  # the next disaster has nothing to do with this one
        assert operator.lab.console(host, ["ls", "/var/lib/ha-runbooks/control-plane-files"]).returncode
    again = operator.inv(*command)
    assert (again.returncode, "the control plane is not lost" in again.stderr) == (3, True), again.stdout + again.stderr
    there = operator.lab.console("worker1", ["crictl", "pods", "-q", "--state", "ready"]).stdout.split()
    assert there
    eventually(lambda: kubectl(operator, "get", "nodes", host="master2").stdout.count(" Ready ") == 4)
