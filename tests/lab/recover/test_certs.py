"""Certificates on a real cluster: checked, renewed while it works, and renewed when all of them have expired and nothing works.

The lab's hosts share this machine's clock, so the tests cannot wait until certificates expire. They replace them by certificates
that the cluster's own CAs sign for a time in the past; everything else in them stays the same.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.expiry import end_everything
from tests.support.operator import Operator, sh
from tests.support.stock import WHOLE, counted
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
PORTS = (6443, 2379, 2380)

FOR_ANOTHER_KEY = r"""
set -eu
cd "$(mktemp -d)"
pki=/etc/kubernetes/pki
openssl genrsa -out key 2048 2>/dev/null
openssl x509 -in $pki/apiserver.crt -x509toreq -copy_extensions copy -signkey key -out request 2>/dev/null
openssl x509 -req -in request -copy_extensions copy -days 90 -CA $pki/ca.crt -CAkey $pki/ca.key -set_serial 0x1234 -out new 2>/dev/null
cat new >$pki/apiserver.crt
"""


@pytest.fixture(scope="module", autouse=True)
def left_whole(cluster: Operator) -> Iterator[None]:
    """Repair the cluster after these tests, whatever failed."""
    yield
    everyone = [host.name for host in cluster.lab.site().hosts]
    cluster.lab.on(*everyone)
    if cluster.inv("certs.check").returncode:
        cluster.inv("recover.certs", timeout_s=600)
    cluster.good("cluster.init", timeout_s=900)


def served(cluster: Operator, host: str) -> dict[int, str]:
    """Return the fingerprints of the certificates a host serves, read without the tool; wait for a server that is starting."""
    address = str(cluster.lab.site().host(host).address)
    ask = "openssl s_client -connect {0}:{1} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256 2>/dev/null"
    look = f"for i in {{{{1..90}}}}; do {ask} && exit; sleep 0.5; done; exit 1"
    return {port: sh(cluster, host, look.format(address, port)).strip() for port in PORTS}


def filed(cluster: Operator, host: str) -> dict[int, str]:
    """Return the fingerprints of the files that should be served."""
    names = dict(zip(PORTS, ("apiserver", "etcd/server", "etcd/peer"), strict=True))
    look = "openssl x509 -noout -fingerprint -sha256 -in /etc/kubernetes/pki/{}.crt"
    return {port: sh(cluster, host, look.format(name)).strip() for port, name in names.items()}


def containers(cluster: Operator, host: str) -> dict[str, str]:
    """Return the container IDs of a host's static pods."""
    said = json.loads(sh(cluster, host, "crictl ps --state running -o json"))["containers"]
    return {each["metadata"]["name"]: each["id"] for each in said if each["metadata"]["name"] in PODS}


def rows(cluster: Operator, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the table of certs.check."""
    done = cluster.inv("certs.check", "--json", *words)
    first = json.loads(done.stdout.splitlines()[0])
    assert first["ok"] is (done.returncode == 0)
    return done.returncode, first["findings"]


def well(cluster: Operator) -> None:
    """Wait until certs.check finds nothing: a host may be starting, or the VIP moving."""
    eventually(lambda: cluster.trouble("certs.check"), "", 180)


def test_a_table_over_everything(saved: Operator) -> None:
    saved.good("cluster.kubeconfig")
    well(saved)
    code, table = rows(saved)
    assert code == 0, table
    assert {row["host"] for row in table} == {*MASTERS, "worker1", "lb1", "lb2", "(here)"}
    names = {row["topic"] for row in table if row["host"] == "master2"}
    assert names > {
        "pki/apiserver.crt",
        "pki/etcd/peer.crt",
        "pki/ca.crt",
        "admin.conf",
        "kubelet-client-current.pem",
        "kubelet.crt",
    }
    assert [row["ends"] for row in table] == sorted(row["ends"] for row in table)
    code, table = rows(saved, "--days", "400")
    assert code == 1
    assert {row["host"] for row in table if row["severity"] == "warn" and row["renewed_by"] == "inv certs.renew"} >= {
        *MASTERS,
        "lb1",
    }


def test_nothing_to_do(saved: Operator) -> None:
    before = containers(saved, "master1")
    saved.idle("certs.renew")
    assert containers(saved, "master1") == before


@pytest.mark.long
def test_what_is_served_is_not_what_is_in_the_file(saved: Operator) -> None:
    """A certificate for another key: the API server, which reads its files every minute, cannot use it."""
    sh(saved, "master2", FOR_ANOTHER_KEY)
    code, table = rows(saved)
    assert code == 1
    bad = {(row["host"], row["topic"]) for row in table if row["severity"] == "fail"}
    assert bad == {("master2", "pki/apiserver.crt"), ("master2", "kube-apiserver")}
    before = {host: containers(saved, host) for host in MASTERS}
    copies = "/etc/kubernetes/ha-runbooks-certs"
    sh(saved, "master2", f"rm -rf {copies}; mkdir -p {copies}; cd {copies}; mkdir 20200{{1..4}}01T000000Z")
    saved.good("certs.renew", "--host", "master2", timeout_s=300)
    left = sh(saved, "master2", f"ls {copies}").split()
    assert (left[0], left[1:3], len(left)) == ("20200101T000000Z", ["20200301T000000Z", "20200401T000000Z"], 4)
    sh(saved, "master2", f"rm -r {copies}/2020*")
    after = {host: containers(saved, host) for host in MASTERS}
    assert {host for host in MASTERS if after[host] != before[host]} == {"master2"}
    assert not set(before["master2"].values()) & set(after["master2"].values())
    assert served(saved, "master2") == filed(saved, "master2")
    well(saved)


def test_an_external_ca_is_refused_before_anything(saved: Operator) -> None:
    key = "/etc/kubernetes/pki/front-proxy-ca.key"
    sh(saved, "master3", f"mv {key} {key}.elsewhere")
    done = saved.inv("certs.renew", "--force", "--diff")
    sh(saved, "master3", f"mv {key}.elsewhere {key}")
    assert (done.returncode, "master3: pki/front-proxy-ca.crt is an external CA" in done.stderr) == (3, True), done.stderr
    assert "| ran on" not in done.stdout


@pytest.mark.long
def test_one_master_is_off_and_the_others_are_done(saved: Operator) -> None:
    """With one of three members down no other may pause. None has to: etcd reads its certificates at every handshake."""
    old = {host: served(saved, host) for host in ("master1", "master2")}
    before = {host: containers(saved, host) for host in ("master1", "master2")}
    saved.lab.off("master3")
    seen = saved.inv("certs.check")
    assert (seen.returncode, "master3" in seen.stderr) == (4, True), seen.stderr
    done = saved.inv("certs.renew", "--force", timeout_s=400)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "nothing was renewed on master3" in done.stderr
    for host, there in before.items():
        now = containers(saved, host)
        assert now.pop("etcd") == there.pop("etcd")
        assert not set(now.values()) & set(there.values())
        assert not set(served(saved, host).values()) & set(old[host].values())
        assert served(saved, host) == filed(saved, host)
    saved.lab.on("master3")
    well(saved)
    saved.good("cluster.init", timeout_s=900)  # it only waits until everything is in service again


def test_everything_has_ended_and_comes_back(saved: Operator) -> None:
    """The API is down, etcd has no quorum, no kubelet can register. The command is killed once; the same command then completes."""
    kubeconfig = Path(saved.good("cluster.kubeconfig").split(":")[0])
    copied = kubeconfig.read_text()
    old = {host: served(saved, host) for host in MASTERS}
    end_everything(saved)
    code, table = rows(saved)
    assert code == 1
    ended = {(row["host"], row["topic"]) for row in table if row["severity"] == "fail"}
    wanted = {"pki/apiserver.crt", "pki/etcd/peer.crt", "scheduler.conf", "admin.conf", "kubelet-client-current.pem"}
    assert ended >= {(host, name) for host in MASTERS for name in wanted} | {("worker1", "kubelet-client-current.pem")}
    assert saved.inv("cluster.verify").returncode == 1
    refused = saved.inv("certs.renew")
    assert (refused.returncode, "inv recover.certs" in refused.stderr) == (3, True), refused.stderr

    assert saved.strike(7, signal.SIGKILL, "recover.certs") == -signal.SIGKILL
    said = saved.good("recover.certs", timeout_s=600)
    print(said.splitlines()[0], said.splitlines()[-1], sep="\n")
    saved.verified()
    assert counted(saved) == WHOLE
    for host in MASTERS:
        now = served(saved, host)
        assert now == filed(saved, host)
        assert not set(now.values()) & set(old[host].values())
    well(saved)
    assert kubeconfig.read_text() != copied
    used = saved.lab.console("worker1", ["kubectl", "--kubeconfig=/dev/stdin", "get", "nodes"], stdin=kubeconfig.read_text())
    assert used.stdout.count(" Ready ") == 4, used.stderr
    renewed = {host: filed(saved, host) for host in MASTERS}
    # On a busy machine a static pod may start once more, and the command then waits for it. No certificate may be renewed again.
    eventually(lambda: saved.busy("recover.certs"), "", 180)
    assert {host: filed(saved, host) for host in MASTERS} == renewed
