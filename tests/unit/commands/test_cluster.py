"""What is sent to Kubernetes hosts, and how their answers are read."""

import json
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.cluster.drain import parse_pods
from runbooks.cluster.remove import without_endpoint
from runbooks.commands import kubeadm, kubectl, node, prepare
from runbooks.commands.base import Answer, Secret
from runbooks.commands.containerd import Config
from runbooks.commands.node_objects import parse_nodes
from tests.support.api_server import openssl
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

TOKEN, CA = "abcdef.0123456789abcdef", "-----BEGIN CERTIFICATE-----\nAAAA+/==\n-----END CERTIFICATE-----\n"


# ---- kubeadm


def test_no_secret_is_ever_shown():
    config = Secret("token: abcdef.0123456789abcdef")
    for command in (
        kubeadm.init(config, ("addon/coredns",)),
        kubeadm.join(config),
        kubeadm.admit(site().control_plane[0], config),
    ):
        assert TOKEN not in str(command)
        assert TOKEN not in repr(command)
        assert TOKEN in command.program  # it does travel, through the channel


def test_init_keeps_its_secrets_to_itself():
    program = kubeadm.init(Secret("x"), ("addon/coredns", "addon/kube-proxy")).program
    assert "WORDS=(--upload-certs --skip-token-print --skip-certificate-key-print" in program
    assert "--skip-phases=addon/coredns,addon/kube-proxy" in program
    assert "--skip-phases" not in kubeadm.init(Secret("x")).program.split("\n")[2]


def test_an_admission_is_read():
    found = kubeadm.parse_admission(Answer(0, f"{TOKEN}\nthe CA of the old days:\n{CA}\n{CA}"))
    assert found.token == TOKEN
    assert found.ca == CA * 2, "while CAs are exchanged there are two"
    assert TOKEN not in repr(found)


@given(st.text())
def test_anything_else_is_no_admission(text):
    with pytest.raises(ValueError, match="no join token"):
        kubeadm.parse_admission(Answer(0, text))
    with pytest.raises(ValueError, match="has no certificate") as caught:
        kubeadm.parse_admission(Answer(0, f"{TOKEN}\n{text}"))
    assert TOKEN not in str(caught.value)


def test_images_are_read_without_kubeadms_warnings():
    said = "W1123 06:00:00.1  could not fetch a version\nr.local/kube-apiserver:v1.20.2\nr.local:5000/pause:3.2\n"
    assert kubeadm.parse_images(Answer(0, said)) == ("r.local/kube-apiserver:v1.20.2", "r.local:5000/pause:3.2")


# ---- kubectl


def test_kubectl_asks_the_hosts_own_api_server_unless_told_otherwise():
    command = kubectl.kubectl(master(2), "get", "nodes", timeout=10)
    assert command.program == (
        "kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://10.1.1.102:6443 --request-timeout=8s get nodes"
    )
    assert str(command) == "kubectl get nodes"
    assert "--server=https://10.1.1.100:6443" in kubectl.kubectl(master(2), "x", server=kubectl.through_vip(site())).program


def test_what_is_no_json_is_no_answer():
    with pytest.raises(ValueError, match="printed no JSON"):
        kubectl.read_json(master(1), "get", "nodes", parse=parse_nodes).parse(Answer(0, "error: no"))


def test_nodes_are_read():
    found = {
        "items": [
            {
                "metadata": {"name": "master1", "labels": {"node-role.kubernetes.io/master": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "Hostname", "address": "master1"}, {"type": "InternalIP", "address": "10.1.1.101"}],
                    "nodeInfo": {"kubeletVersion": "v1.20.2"},
                },
            },
            {"metadata": {"name": "worker1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
        ]
    }
    nodes = parse_nodes(found)
    assert nodes["master1"].is_control_plane
    assert nodes["master1"].ready
    assert nodes["master1"].cordoned
    assert nodes["master1"].address == "10.1.1.101"
    assert nodes["master1"].version == "v1.20.2"
    assert not nodes["worker1"].ready
    assert not nodes["worker1"].is_control_plane
    with pytest.raises(ValueError, match="no list of nodes"):
        parse_nodes({"items": [{}]})


def test_only_pods_that_a_drain_moves_keep_a_node_from_being_empty():
    def pod(name: str, kind: str = "", phase: str = "Running") -> dict:
        owners = [{"kind": kind}] if kind else []
        return {"metadata": {"namespace": "n", "name": name, "ownerReferences": owners}, "status": {"phase": phase}}

    found = {"items": [pod("a", "ReplicaSet"), pod("b", "DaemonSet"), pod("c", "Node"), pod("d"), pod("e", "Job", "Succeeded")]}
    assert parse_pods(found) == ("n/a", "n/d")


# ---- files of kubeadm's


STATUS = """apiEndpoints:
  master1:
    advertiseAddress: 10.1.1.101
    bindPort: 6443
  master2:
    advertiseAddress: 10.1.1.102
    bindPort: 6443
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterStatus
"""


def test_one_api_endpoint_is_taken_out():
    assert without_endpoint(STATUS, "master1") == STATUS.replace(
        "  master1:\n    advertiseAddress: 10.1.1.101\n    bindPort: 6443\n", ""
    )
    assert without_endpoint(STATUS, "master2").count("advertiseAddress") == 1
    assert without_endpoint(STATUS, "master") == ""
    assert without_endpoint("", "master1") == ""


# ---- hosts


LOOK = """package kubeadm 1.20.2-1.1
package containerd 1.6.20~ds1-1+b1
held kubeadm
held kubelet
attempt join
unit ha-runbooks-kubeadm active
unit kubelet inactive
manifest etcd
file kubelet.conf
ca CERTIFICATE
api Unable to connect to the server: x
server https://10.1.1.100:6443
"""


def test_a_host_is_read(pki):
    certificate, key = pki / "ca.crt", pki / "key.der"
    openssl(pki, "x509", "-in", str(certificate), "-outform", "der", "-out", "ca.der")
    openssl(pki, "pkey", "-in", "ca.key", "-pubout", "-outform", "der", "-out", str(key))
    encoded = b64encode((pki / "ca.der").read_bytes()).decode()
    state = node.parse(Answer(0, LOOK.replace("CERTIFICATE", encoded)))
    assert state.packages == {"kubeadm": "1.20.2-1.1", "containerd": "1.6.20~ds1-1+b1"}
    assert state.held == {"kubeadm", "kubelet"}
    assert (state.attempt, state.running) == ("join", True)
    assert state.manifests == {"etcd"}
    assert state.files == {"kubelet.conf"}
    assert state.ca == sha256(key.read_bytes()).hexdigest()
    assert node.parse(Answer(0, LOOK)).ca == node.parse(Answer(0, "ca \n")).ca == "unreadable"
    assert (state.api, state.server) == ("Unable to connect to the server: x", "https://10.1.1.100:6443")
    assert node.parse(Answer(0, "")).blank


def test_of_a_long_answer_only_what_fails_is_kept():
    said = r'api Error from server (InternalError): an error ("[+]ping ok\n[-]informer-sync failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: x")'
    assert node.parse(Answer(0, said)).api == "not ready: informer-sync, rbac/bootstrap-roles"


def test_the_runtime_is_read():
    said = 'active active\nenabled enabled\nkubelet enabled\nloaded yes\nanswers no\ndump [plugins."io.containerd.grpc.v1.cri"]\ndump sandbox_image = "p:3"\n'
    assert prepare.parse_runtime(Answer(0, said)) == prepare.Runtime(
        active="active",
        enabled="enabled",
        kubelet="enabled",
        loaded=True,
        answers=False,
        config=Config(cgroups="cgroupfs", sandbox="p:3"),
    )
    with pytest.raises(ValueError, match="runtime-look said nothing about 'loaded'"):
        prepare.parse_runtime(Answer(0, "active active\nenabled x\nkubelet x\nanswers no\n"))


def test_a_manifest_travels_whole():
    manifest = json.dumps({"kind": "x", "it's": "$HOME"})
    assert '"it\'"\'"\'s"' in kubectl.apply(master(1), manifest).program
    assert str(kubectl.apply(master(1), manifest, "get")) == "kubectl get -f -"
