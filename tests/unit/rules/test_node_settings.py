"""What is kept of a node that is deleted, and what its successor gets, by table."""

import json
from dataclasses import asdict, replace

import pytest

from runbooks.commands import node_settings as commands
from runbooks.commands.node_settings import NodeSettings, Taint
from runbooks.rules import node_settings as rules
from tests.support import fakes

pytestmark = pytest.mark.unit

MASTER, WORKER = fakes.master(1), fakes.site().workers[0]
DB = Taint("dedicated", "db", "NoSchedule")
ROLE = Taint("node-role.kubernetes.io/master", "", "NoSchedule")
BARE = NodeSettings(labels={}, annotations={}, taints=(), cordoned=False, pod_cidrs=("10.244.3.0/24",), uid="two")
EMPTY = replace(BARE, pod_cidrs=())
GIVEN = replace(BARE, labels={"tier": "gold"}, taints=(DB,), uid="one")
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "worker1",
        "uid": "one",
        "labels": {
            "beta.kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": "worker1",
            "kubernetes.io/os": "linux",
            "node-role.kubernetes.io/control-plane": "",
            "node-role.kubernetes.io/db": "",
            "tier": "gold",
            "topology.kubernetes.io/zone": "a",
        },
        "annotations": {
            "example.com/owner": "team db",
            "flannel.alpha.coreos.com/public-ip": "10.1.1.201",
            "kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/containerd/containerd.sock",
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        },
    },
    "spec": {
        "podCIDR": "10.244.3.0/24",
        "podCIDRs": ["10.244.3.0/24"],
        "unschedulable": True,
        "taints": [
            {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
            {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-07T10:11:12Z"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        ],
    },
}


def test_what_people_set_is_kept_and_what_software_sets_is_not():
    mine = rules.own(commands.settings_of(NODE))
    assert mine.labels == {"node-role.kubernetes.io/db": "", "tier": "gold", "topology.kubernetes.io/zone": "a"}
    assert mine.annotations == {"example.com/owner": "team db"}
    assert mine.taints == (DB, ROLE)
    assert (mine.cordoned, mine.pod_cidrs) == (True, ("10.244.3.0/24",))
    assert rules.told(mine) == (
        "labels node-role.kubernetes.io/db, tier=gold, topology.kubernetes.io/zone=a; "
        "taints dedicated=db:NoSchedule, node-role.kubernetes.io/master:NoSchedule; annotations example.com/owner; "
        "podCIDR 10.244.3.0/24; cordoned"
    )


@pytest.mark.parametrize(
    ("live", "kept", "expected"),
    [
        (None, None, None),
        (None, GIVEN, GIVEN),
        (GIVEN, None, GIVEN),
        (EMPTY, None, EMPTY),
        (replace(EMPTY, cordoned=True), EMPTY, EMPTY),
        (replace(EMPTY, cordoned=True), None, replace(EMPTY, cordoned=True)),
        (replace(EMPTY, cordoned=True), replace(EMPTY, uid="one"), replace(EMPTY, cordoned=True)),
        (EMPTY, replace(EMPTY, uid="one", cordoned=True), replace(EMPTY, uid="one", cordoned=True)),
        (replace(GIVEN, labels={"tier": "iron"}), GIVEN, replace(GIVEN, labels={"tier": "iron"})),
        (replace(GIVEN, cordoned=True), GIVEN, GIVEN),
        (replace(GIVEN, cordoned=True), replace(GIVEN, cordoned=True), replace(GIVEN, cordoned=True)),
        (BARE, GIVEN, GIVEN),
        (replace(BARE, taints=(ROLE,)), GIVEN, GIVEN),
        (replace(BARE, cordoned=True), GIVEN, GIVEN),
        (replace(BARE, labels={"tier": "iron"}, cordoned=True), GIVEN, replace(BARE, labels={"tier": "iron"}, cordoned=True)),
    ],
    ids=[
        "nothing", "the Node is gone", "never kept", "nothing to keep", "nothing to keep, our drain cordoned it",
        "only cordoned, by people", "another Node, only cordoned, by people", "registered by itself, the old one was cordoned",
        "changed since", "our drain cordoned it", "people cordoned it", "registered by itself", "registered as control plane",
        "registered by itself, our drain cordoned it", "another Node, with settings",
    ],
)  # fmt: skip
def test_which_settings_are_kept(live, kept, expected):
    assert rules.to_keep(live, kept) == expected


def test_the_cordon_of_an_unfinished_upgrade_is_no_setting():
    found = replace(BARE, cordoned=True, annotations={"ha-runbooks/drained": "upgrade", "example.com/owner": "x"})
    mine = rules.own(found)
    assert (mine.cordoned, mine.annotations) == (False, {"example.com/owner": "x"})
    assert rules.own(replace(found, annotations={})).cordoned


def test_a_pod_cidr_that_another_node_has_is_told_and_left_out():
    settings, lost = rules.usable(GIVEN, WORKER, {"10.244.3.0/24": "worker9"})
    assert (settings.pod_cidrs, lost) == ((), ["its podCIDR 10.244.3.0/24 belongs to worker9 now: it gets another one"])
    assert rules.usable(GIVEN, WORKER, {"10.244.4.0/24": "worker9"}) == (GIVEN, [])


def test_the_taint_of_a_control_plane_follows_hosts_yaml():
    both = replace(GIVEN, taints=(DB, ROLE))
    assert rules.usable(both, MASTER, {})[0].taints == (DB, ROLE)
    assert rules.usable(both, WORKER, {})[0].taints == (DB,)
    assert rules.usable(both, replace_roles(MASTER), {})[0].taints == (DB,)


def replace_roles(host):
    return host.__class__(name=host.name, address=host.address, roles=("control-plane", "worker"))


def test_the_new_node_has_them_and_takes_no_pod_yet():
    """But it has room: a kubelet that finds none there never starts its static pods (seen with 1.20.2: UnexpectedAdmissionError)."""
    made = rules.node(WORKER, replace(GIVEN, cordoned=True))
    assert made["spec"] == {
        "taints": [
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
        ],
        "unschedulable": True,
        "podCIDR": "10.244.3.0/24",
        "podCIDRs": ["10.244.3.0/24"],
    }
    assert made["metadata"] == {"name": WORKER.name, "labels": {"tier": "gold"}, "annotations": {}}
    assert made["status"]["capacity"] == made["status"]["allocatable"]
    assert {"cpu", "memory", "ephemeral-storage", "pods"} == {
        name for name, room in made["status"]["capacity"].items() if room[0] != "0"
    }
    assert made["status"]["conditions"][0]["status"] == "False"


def test_a_cloud_controller_sets_up_the_new_node_too():
    """It does so only for a Node with this taint, which a kubelet sets only when it registers the Node itself."""
    meta = NODE["metadata"] | {"annotations": {"alpha.kubernetes.io/provided-node-ip": "10.1.1.201"}}
    of_a_cloud = commands.settings_of(NODE | {"metadata": meta, "spec": {"providerID": "openstack:///one"}})
    assert {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"} in (
        rules.node(WORKER, rules.own(of_a_cloud))["spec"]["taints"]
    )
    for other in (NODE, NODE | {"spec": {"providerID": "kind://one"}}, NODE | {"metadata": meta}):
        assert not rules.own(commands.settings_of(other)).cloud


def test_what_an_older_version_kept_is_read():
    fields = asdict(GIVEN)
    del fields["cloud"]
    assert commands.parse_kept(json.dumps(fields)) == GIVEN


@pytest.mark.parametrize(("again", "action"), [(False, "create"), (True, "replace")])
def test_settings_are_kept_without_a_copy_in_an_annotation(again, action):
    """kubectl apply writes such a copy, and the API server refuses annotations of more than 256 KiB: a Node's own may be that large."""
    large = replace(GIVEN, annotations={"example.com/facts": "x" * (200 << 10)})
    assert str(commands.keep(MASTER, WORKER, large, again=again)) == f"kubectl {action} -f -"


def test_what_is_kept_is_read_again():

    text = json.dumps(asdict(GIVEN))
    items = [
        {"kind": "ConfigMap", "data": {"settings": text}},
        {"kind": "Namespace", "metadata": {"uid": "a-cluster"}},
    ]
    assert commands.parse({"kind": "List", "items": items}) == commands.Found(None, GIVEN, "a-cluster")
    assert commands.parse(items[1]) == commands.Found(None, None, "a-cluster")
    assert commands.parse({"kind": "List", "items": [NODE, items[1]]}).live == commands.settings_of(NODE)
    with pytest.raises(ValueError, match="settings of a node"):
        commands.parse({"kind": "List", "items": items[:1]})
