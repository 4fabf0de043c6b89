"""Hosts leave the cluster and come back: alive, dead, replaced; and what must not happen is refused with the rest unharmed.

The tests build on one another in the order of this file. They leave the cluster whole.
"""

from __future__ import annotations

import json
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.commands.base import Secret
from runbooks.inventory.load import load_site
from runbooks.rules import kubeadm as config
from tests.support import planted
from tests.support.lab import ROLES
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

KUBECTL = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
POD_CIDRS: dict[str, object] = {}  # of nodes that were removed
PARKED = "/etc/kubernetes/ha-runbooks-parked"
SSO = "/etc/ssl/certs/company-sso-ca.pem"
# A manifest (of a static pod that is parked) whose flag names a link to a file; kubeadm knows nothing of it.
NAMES_A_CA = f"""
set -e
mkdir -p {PARKED}
install -m 640 -g 33 /etc/kubernetes/pki/ca.crt /usr/local/share/ca-certificates/company-sso.crt
ln -sf ../../../usr/local/share/ca-certificates/company-sso.crt {SSO}
sed 's|^    - kube-apiserver$|&\\n    - --oidc-ca-file={SSO}|' /etc/kubernetes/manifests/kube-apiserver.yaml >{PARKED}/sso.yaml
"""


@pytest.fixture(scope="module", autouse=True)
def left_whole(cluster: Operator) -> Iterator[None]:
    """Whatever fails here, the next module finds a cluster."""
    yield
    everyone = [host.name for host in cluster.lab.site().hosts]
    cluster.lab.on(*everyone)
    cluster.lab.heal(*everyone)
    cluster.good("cluster.init", timeout_s=900)


def names(cluster: Operator, host: str = "master2") -> set[str]:
    """Return the nodes, as the API server of ``host`` has them."""
    words = [*KUBECTL, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]
    return set(cluster.lab.console(host, words, check=True).stdout.split())


def whole(cluster: Operator) -> None:
    """Wait until everything holds: the kubelet of 1.20 may take a minute to call the pods of a new control plane ready."""
    cluster.verified()


def backends(cluster: Operator) -> dict[str, set[str]]:
    """Return how the LBs see each API server."""
    found: dict[str, set[str]] = {}
    for host in ("lb1", "lb2"):
        table = cluster.lab.console(host, ["sh", "-c", "echo show stat | socat - /run/haproxy/admin.sock"]).stdout
        for line in table.splitlines():
            words = line.split(",")
            if words[0] == "api" and words[1].startswith("master"):
                found.setdefault(words[1], set()).add(words[17].split()[0])
    return found


def test_the_kubeconfig_is_private_and_leads_to_the_vip(cluster: Operator) -> None:
    path = cluster.directory / "kubeconfig"
    said = cluster.good("cluster.kubeconfig", "--to", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "server: https://k8s-api.company.local:6443" in path.read_text()
    assert f"export KUBECONFIG={path}" in said
    secret = re.findall(r"client-key-data: (\S+)", path.read_text())
    assert secret
    assert secret[0] not in said
    used = cluster.lab.console("worker1", ["kubectl", "--kubeconfig=/dev/stdin", "get", "nodes"], stdin=path.read_text())
    assert used.stdout.count(" Ready ") == 4, used.stderr
    cluster.good("cluster.kubeconfig", "--to", str(path), "--vip")  # our own is replaced
    assert "server: https://10.1.1.100:6443\n    tls-server-name: k8s-api.company.local\n" in path.read_text()
    used = cluster.lab.console("worker1", ["kubectl", "--kubeconfig=/dev/stdin", "get", "nodes"], stdin=path.read_text())
    assert used.stdout.count(" Ready ") == 4, used.stderr
    cluster.good("cluster.kubeconfig", "--to", str(path))
    path.write_text("something else")
    refused = cluster.inv("cluster.kubeconfig", "--to", str(path))
    assert refused.returncode == 3
    assert path.read_text() == "something else"


@pytest.mark.parametrize("kind", ["init", "join a control plane", "join a worker", "upload certificates"])
def test_the_real_kubeadm_has_no_complaint_about_our_configuration(cluster: Operator, kind: str) -> None:
    """It only warns of fields that it does not know, and goes on without them."""
    site = load_site(cluster.site).site
    version, key = config.parse(site.kubernetes.version), Secret("0f" * 32)
    token, ca = Secret("abcdef.0123456789abcdef"), "sha256:" + "0f" * 32
    text = {
        "init": lambda: config.init_config(site, site.control_plane[0], version, key),
        "join a control plane": lambda: config.join_config(site, site.control_plane[1], version, token, ca, key),
        "join a worker": lambda: config.join_config(site, site.workers[0], version, token, ca, None),
        "upload certificates": lambda: config.upload_certs_config(site, site.control_plane[0], version, key),
    }[kind]()
    migrate = ["kubeadm", "config", "migrate", "--old-config=/dev/stdin", "--new-config=/dev/null"]
    done = cluster.lab.console("master2", migrate, stdin=text)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = cluster.lab.console("master2", migrate, stdin=text.replace('"nodeRegistration"', '"nodeRegistrations"'))
    assert wrong.stderr  # it does look


@pytest.mark.parametrize(
    ("change", "exit_status", "named"),
    [
        ({"version": "1.20.99"}, 3, "1.20.99"),
        ({"version": "1.19.0"}, 2, "kubernetes.version"),
        ({"cni": "none-such.yaml"}, 2, "kubernetes.cni"),
        ({"extra_args": {"etcd": {"initial-cluster": "x"}}}, 2, "kubernetes.extra_args.etcd.initial-cluster"),
    ],
    ids=["not the running version", "too old", "no manifest", "breaks kubeadm"],
)
def test_what_the_site_must_not_say_is_refused(
    cluster: Operator, tmp_path: Path, change: dict[str, object], exit_status: int, named: str
) -> None:
    other = Operator(cluster.lab, tmp_path)
    other.edit(lambda site: site["kubernetes"].update(change))
    done = other.inv("cluster.init", "--diff")
    assert (done.returncode, named in done.stderr) == (exit_status, True), done.stdout + done.stderr
    assert "| ran on" not in done.stdout


def test_a_host_that_cannot_be_reached_is_named(cluster: Operator) -> None:
    cluster.lab.cut("worker1")
    done = cluster.inv("cluster.init", "--diff")
    cluster.lab.heal("worker1")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "worker1" in done.stderr
    assert "master1" not in done.stderr
    assert "| ran on" not in done.stdout


def test_a_worker_leaves_and_its_pods_move(cluster: Operator) -> None:
    """What people set on the node is kept: see `test_a_worker_comes_back`."""
    assert "worker1" in names(cluster)
    planted.plant(cluster, "master2", "worker1")
    POD_CIDRS["worker1"] = planted.planted(cluster, "master2", "worker1")["podCIDR"]
    said = cluster.good("cluster.remove", "--host", "worker1", timeout_s=300)
    assert "kept until it joins again" in said
    assert "taints dedicated=db:NoSchedule" in said
    assert "worker1" not in names(cluster)
    assert cluster.lab.console("worker1", ["ls", "/etc/kubernetes/kubelet.conf"]).returncode != 0
    cluster.idle("cluster.remove", "--host", "worker1")


def test_a_port_that_is_taken_stops_a_join_before_anything_is_changed(cluster: Operator) -> None:
    taken = ["systemd-run", "--quiet", "--collect", "--unit=taken", "socat", "TCP-LISTEN:10250,fork,reuseaddr", "EXEC:true"]
    cluster.lab.console("worker1", taken, check=True)
    done = cluster.inv("cluster.join", "--host", "worker1", "--diff")
    cluster.lab.console("worker1", ["systemctl", "stop", "taken"], check=True)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.search(r"worker1.*10250|10250.*worker1", done.stderr, re.DOTALL)
    assert "| ran on" not in done.stdout
    assert "worker1" not in names(cluster)


def test_a_worker_comes_back(cluster: Operator) -> None:
    """With its labels, taints and annotations, and without the cordon of the drain; no pod comes before them."""
    planted.let_a_pod_wait(cluster, "master2")
    said = cluster.good("cluster.join", "--host", "worker1", timeout_s=300)
    assert not re.search(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b", said)
    assert "worker1" in names(cluster)
    assert planted.node_of_the_pod(cluster, "master2") == ""
    assert planted.planted(cluster, "master2", "worker1") == planted.expected(POD_CIDRS["worker1"])
    assert ROLES["worker"].items() <= planted.labels(cluster, "master2", "worker1").items()
    planted.pull_out(cluster, "master2", "worker1")
    assert "ha-runbooks-node" not in planted.kubectl(cluster, "master2", "-n", "kube-system", "get", "configmaps", "-o", "name")


def test_everything_that_reads_works_without_the_first_host(cluster: Operator) -> None:
    cluster.lab.off("master1")
    status = cluster.inv("cluster.status")
    assert status.returncode == 1
    assert "master2" in status.stdout
    verdict = cluster.inv("cluster.verify")
    assert verdict.returncode == 1
    assert "master1" in verdict.stdout
    assert {"master1", "master2", "master3"} == {each["name"] for each in json.loads(cluster.well("etcd.members", "--json"))}
    cluster.good("cluster.kubeconfig", "--to", str(cluster.directory / "kubeconfig2"))


def test_a_removal_that_would_cost_the_quorum_is_refused(cluster: Operator) -> None:
    """master1 is off: one of the other two must not go as well."""
    done = cluster.inv("cluster.remove", "--host", "master3")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "master3 must not be removed" in done.stderr
    eventually(lambda: backends(cluster)["master3"], {"UP"})


def test_a_dead_first_host_is_removed(cluster: Operator) -> None:
    planted.plant(cluster, "master2", "master1")
    said = cluster.good("cluster.remove", "--host", "master1", timeout_s=300)
    assert "cannot be reached" in said
    assert "delete its line from hosts.yaml, then inv lb.setup" in said
    assert names(cluster) == {"master2", "master3", "worker1"}
    assert {"master2", "master3"} == {each["name"] for each in json.loads(cluster.inv("etcd.members", "--json").stdout)}
    assert backends(cluster)["master1"] == {"MAINT"}


PEERS = "-p tcp --dport 2380 -j DROP"
ETCDCTL = (
    "crictl exec $(crictl ps -q --state running --label io.kubernetes.container.name=etcd) etcdctl "
    "--cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key"
)


def from_peers(cluster: Operator, action: str) -> None:
    """Cut etcd of master1 off from its peers ("-I"), or connect it again ("-D"): clients of etcd are let through."""
    rules = f"iptables {action} INPUT -s 10.1.1.101 {PEERS}; iptables {action} OUTPUT -d 10.1.1.101 {PEERS}"
    for host in ("master2", "master3"):
        cluster.lab.console(host, ["bash", "-ec", rules], check=True)


def member(cluster: Operator, host: str) -> tuple[bool, str]:
    """Whether the member of etcd on ``host`` is a learner, and its name, "" before it has started."""
    listed = json.loads(cluster.good("etcd.members", "--json"))
    return next(((each["learner"], each["name"]) for each in listed if host in str(each)), (False, "not a member"))


def test_its_empty_replacement_joins(cluster: Operator) -> None:
    """Where etcd has a disk of its own: foreign files there are refused before anything is changed; those that are known may stay.

    And another dead member, for which kubeadm would wait in vain, is named, and removed only with the operator's word (issue 12, 19).
    """
    cluster.lab.reset("master1")
    cluster.site.write_text(cluster.lab.instance.site.read_text())
    known = "/var/lib/etcd/lost+found /var/lib/etcd/aside-20260101T000000Z"
    cluster.lab.console("master1", ["bash", "-c", f"mkdir -p {known}; touch /var/lib/etcd/ballast"], check=True)
    refused = cluster.inv("cluster.join", "--host", "master1")
    assert (refused.returncode, "/var/lib/etcd has files that are not etcd's: ballast" in refused.stderr) == (3, True)
    cluster.lab.console("master1", ["rm", "/var/lib/etcd/ballast"], check=True)
    add = f"{ETCDCTL} member add gone --peer-urls=https://10.1.1.109:2380"
    cluster.lab.console("master2", ["bash", "-c", add], check=True)
    dead = cluster.inv("cluster.join", "--host", "master1", "--diff")
    assert (dead.returncode, "master1 cannot join" in dead.stderr) == (3, True), dead.stdout + dead.stderr
    assert "2 of 3 members are healthy" in dead.stderr
    assert "inv cluster.join --host master1 --others removes" in dead.stderr
    assert "ran on" not in dead.stdout
    cluster.lab.console("master2", ["bash", "-c", NAMES_A_CA], check=True)
    joining = cluster.start("cluster.join", "--host", "master1", "--others")
    attempt = ["test", "-e", "/var/lib/ha-runbooks/kubeadm/attempt"]
    eventually(lambda: cluster.lab.console("master1", attempt).returncode, 0, 180)
    from_peers(cluster, "-I")
    eventually(lambda: member(cluster, "master1"), (True, ""), 180)  # it cannot start, and has no vote
    from_peers(cluster, "-D")
    said = cluster.words(joining)
    assert joining.returncode == 0, said
    assert member(cluster, "master1") == (False, "master1")
    cluster.lab.console("master2", ["rm", "-r", PARKED, SSO], check=True)
    assert f"{SSO} was copied from master2" in said
    assert cluster.lab.console("master1", ["stat", "-c", "%F %a %g", SSO]).stdout == "regular file 640 33\n"
    there = planted.planted(cluster, "master2", "master1")
    assert there == planted.expected(there["podCIDR"])
    assert ROLES["control_plane"].items() <= planted.labels(cluster, "master2", "master1").items()
    planted.pull_out(cluster, "master2", "master1")
    cluster.lab.console("master1", ["ls", "-d", *known.split()], check=True)
    cluster.well("etcd.status")
    eventually(lambda: backends(cluster)["master1"], {"UP"})


@pytest.mark.long
def test_a_replacement_that_nobody_removed_joins_as_well(cluster: Operator) -> None:
    """The old member and node of the same name are cleaned away by the join itself."""
    planted.plant(cluster, "master2", "master3", cordon=True)
    cluster.lab.reset("master3")
    cluster.good("cluster.join", "--host", "master3", timeout_s=600)
    there = planted.planted(cluster, "master2", "master3")
    assert there == planted.expected(there["podCIDR"], cordoned=True)
    planted.pull_out(cluster, "master2", "master3")
    cluster.well("etcd.status")
    members = json.loads(cluster.good("etcd.members", "--json"))
    assert sorted(each["name"] for each in members) == ["master1", "master2", "master3"]


@pytest.mark.long
def test_a_removed_host_that_returns_with_its_old_disk_joins(cluster: Operator) -> None:
    cluster.lab.off("master2")
    cluster.good("cluster.remove", "--host", "master2", timeout_s=300)
    cluster.lab.on("master2")
    time.sleep(5)  # its old etcd starts, and learns that it is no member any more
    cluster.good("cluster.join", "--host", "master2", timeout_s=600)
    cluster.well("etcd.status")


@pytest.mark.long
def test_the_leader_itself_leaves_in_order_and_comes_back(cluster: Operator) -> None:
    hosts = json.loads(cluster.well("etcd.status", "--json"))["hosts"]
    leader = next(host for host, each in hosts.items() if each["status"]["leads"])
    said = cluster.good("cluster.remove", "--host", leader, "--diff", timeout_s=300)
    assert "move-leader" in said
    other = next(host for host in ("master1", "master2") if host != leader)
    assert leader not in names(cluster, other)
    assert cluster.lab.console(leader, ["ls", "/etc/kubernetes/pki"]).returncode != 0
    cluster.good("cluster.join", "--host", leader, timeout_s=600)
    whole(cluster)


def test_a_member_is_not_reset(cluster: Operator) -> None:
    done = cluster.inv("cluster.reset", "--host", "worker1", "--yes-destroy", "ha-cluster")
    assert (done.returncode, "inv cluster.remove --host worker1" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("words", [(), ("--yes-destroy", "other")])
def test_a_cluster_is_not_destroyed_by_a_slip(cluster: Operator, words: tuple[str, ...]) -> None:
    done = cluster.inv("cluster.reset", *words)
    assert (done.returncode, "ha-cluster is not destroyed" in done.stderr) == (3, True), done.stderr
    cluster.well("cluster.status")
