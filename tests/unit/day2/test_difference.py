"""`inv cluster.diff` and `cluster.reconfigure`: what differs from hosts.yaml, and what the cluster's configuration becomes."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.kubeadm_config import ClusterSettings, args_of
from runbooks.commands.node_settings import RECORD, NodeSettings, Taint
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.merged import merged
from runbooks.inventory.model import Site
from runbooks.inventory.settings import OfNodes
from runbooks.rules import kubeadm, node_wanted
from runbooks.rules.kubeadm_phases import with_host
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit


def changed(**kubernetes: object) -> Site:
    """The example with other settings of Kubernetes."""
    own = site()
    return msgspec.structs.replace(own, kubernetes=msgspec.structs.replace(own.kubernetes, **kubernetes))


def flags(**programs: dict[str, str]) -> Site:
    return changed(extra_args=msgspec.structs.replace(site().kubernetes.extra_args, **programs))


def live(of: Site, **more: object) -> str:
    """What kubeadm keeps of a site: with its own defaults, and without quotes."""
    version = kubeadm.parse(of.kubernetes.version)
    documents = yaml.safe_load_all(str(kubeadm.init_config(of, master(1), version, None)))
    cluster = next(each for each in documents if each["kind"] == "ClusterConfiguration")
    cluster |= {"certificatesDir": "/etc/kubernetes/pki", **more}
    args = dict(args_of(cluster, "apiServer")) | {"authorization-mode": "Node,RBAC"}
    cluster["apiServer"] = {**cluster["apiServer"], "extraArgs": args, "timeoutForControlPlane": "4m0s"}
    return yaml.safe_dump(cluster)


def settings(of: Site, text: str, **more: str) -> ClusterSettings:
    cluster, documents = yaml.safe_load(text), rules.documents(of)
    args = {component: args_of(cluster, part) for part, component in rules.PARTS.items()}
    kubelet, proxy = (
        yaml.safe_dump(documents[f"{name}Configuration"] | {"added": "by kubeadm"}) for name in ("Kubelet", "KubeProxy")
    )
    return ClusterSettings(**{"args": args, "kubelet": kubelet, "proxy": proxy, **more})


# ---- hosts.yaml and kubeadm's ConfigMaps


def test_what_kubeadm_adds_is_no_difference() -> None:
    assert rules.of_cluster(site(), settings(site(), live(site())), live(site())) == []


def test_a_flag_that_is_new_changed_or_gone() -> None:
    before, after = flags(api_server={"v": "2", "profiling": "false"}), flags(api_server={"v": "4"}, scheduler={"v": "3"})
    found = rules.of_cluster(after, settings(before, live(before)), live(before))
    assert {(each.key, each.there, each.wanted) for each in found} == {
        ("kube-apiserver --v", "2", "4"),
        ("kube-apiserver --profiling", "false", None),
        ("kube-scheduler --v", None, "3"),
    }
    gone = next(each for each in found if each.wanted is None)
    assert "--drop" in gone.fix
    assert "by hand" in gone.why


@pytest.mark.parametrize(
    ("written", "kept", "differs"),
    [
        ({"nodeStatusUpdateFrequency": "1m"}, "nodeStatusUpdateFrequency: 1m0s", False),
        ({"nodeStatusUpdateFrequency": "1m"}, "nodeStatusUpdateFrequency: 10s", True),
        ({"maxPods": 200}, "maxPods: 200", False),
        ({"maxPods": 200}, "maxPods: 110", True),
        ({"maxPods": 200}, "other: 1", True),
        (
            {"evictionHard": {"memory.available": "100Mi"}},
            "evictionHard: {memory.available: 100Mi, nodefs.available: 10%}",
            False,
        ),
        ({"allowedUnsafeSysctls": ["a", "b"]}, "allowedUnsafeSysctls: [a]", True),
    ],
)
def test_settings_of_the_kubelet(written: dict[str, object], kept: str, differs: bool) -> None:
    of = changed(kubelet=written)
    found = rules.of_cluster(of, settings(of, live(of), kubelet=f"cgroupDriver: systemd\n{kept}\n"), live(of))
    assert [each.topic for each in found] == (["kubelet"] if differs else [])


def test_a_value_that_is_zero_is_left_out_by_kubeadm() -> None:
    of = changed(kubelet={"readOnlyPort": 0, "protectKernelDefaults": False})
    assert rules.of_cluster(of, settings(of, live(of), kubelet="cgroupDriver: systemd\n"), live(of)) == []
    assert rules.of_kubelet(rules.documents(of)["KubeletConfiguration"], {"cgroupDriver": "systemd", "readOnlyPort": 10255})[0][
        :2
    ] == ("readOnlyPort", "10255")
    kept = changed(kubelet={"serializeImagePulls": False, "eventRecordQPS": 0})  # without these a default holds that is not zero
    found = rules.of_cluster(kept, settings(kept, live(kept), kubelet="cgroupDriver: systemd\n"), live(kept))
    assert {each.key for each in found} == {"serializeImagePulls", "eventRecordQPS"}


def test_names_and_volumes_of_others_are_no_difference_and_stay() -> None:
    cluster = yaml.safe_load(live(site()))
    cluster["apiServer"]["certSANs"].append("api.example.com")
    cluster["apiServer"]["extraVolumes"].append({"name": "oidc", "hostPath": "/etc/oidc", "mountPath": "/etc/oidc"})
    text = yaml.safe_dump(cluster)
    assert rules.of_cluster(site(), settings(site(), text), text) == []
    after = yaml.safe_load(merged(site(), text, drop=False))["apiServer"]
    assert after["certSANs"] == cluster["apiServer"]["certSANs"]
    assert [each["name"] for each in after["extraVolumes"]][-1] == "oidc"
    dropped = yaml.safe_load(merged(site(), text, drop=True))["apiServer"]
    assert "oidc" not in [each["name"] for each in dropped["extraVolumes"]]
    cluster["apiServer"]["certSANs"].remove("master1")
    text = yaml.safe_dump(cluster)
    assert [each.key for each in rules.of_cluster(site(), settings(site(), text), text)] == ["apiServer.certSANs"]


def test_what_a_living_cluster_cannot_change_is_told_with_the_reason() -> None:
    of = site()
    text = live(of).replace(str(of.networks.pods), "172.16.0.0/16")
    (found,) = rules.of_cluster(of, settings(of, text), text)
    assert (found.key, found.there, found.fix) == ("networking.podSubnet", "172.16.0.0/16", "")
    assert "cannot be changed in place" in found.why


def test_the_table_and_the_json() -> None:
    found = [rules.Difference("nodes", host="worker1", key="label a", there=None, wanted="", fix="inv x", diff="--- a\n+++ b")]
    unread = [rules.Unread("lb", "lb1", "silent")]
    text = rules.for_people(found, unread)
    told = rules.summary("here", found, unread)
    assert told == "here: 1 difference between hosts.yaml and what is in force, as far as it could be read"
    assert "not compared: lb of lb1: silent" in text
    assert "+++ b" in text
    assert rules.summary("here", [], []) == "here: no difference between hosts.yaml and what is in force"
    assert rules.for_programs([], [])["same"] is True
    assert rules.for_programs([], [rules.Unread("lb", "lb1", "silent")])["same"] is False


# ---- the new configuration


@pytest.mark.parametrize("drop", [False, True])
def test_flags_of_others_stay_unless_they_are_dropped(drop: bool) -> None:
    before, after = flags(api_server={"v": "2", "profiling": "false"}), flags(api_server={"v": "4"})
    text = merged(after, live(before), drop=drop)
    args = dict(args_of(yaml.safe_load(text), "apiServer"))
    assert args["v"] == "4"
    assert args["authorization-mode"] == "Node,RBAC", "kubeadm's own stays in any case"
    assert ("profiling" in args) is not drop
    assert yaml.safe_load(text)["certificatesDir"] == "/etc/kubernetes/pki"


def test_with_nothing_changed_the_configuration_says_the_same() -> None:
    assert yaml.safe_load(merged(site(), live(site()), drop=True)) == yaml.safe_load(live(site()))


def test_from_1_31_on_flags_are_a_list() -> None:
    of = changed(version="1.31.2", extra_args=msgspec.structs.replace(site().kubernetes.extra_args, api_server={"v": "4"}))
    cluster = rules.documents(of)["ClusterConfiguration"]
    cluster["apiServer"]["extraArgs"] = [{"name": "v", "value": "2"}, {"name": "profiling", "value": "false"}]
    found = yaml.safe_load(merged(of, yaml.safe_dump(cluster), drop=False))["apiServer"]["extraArgs"]
    assert {"name": "v", "value": "4"} in found
    assert {"name": "profiling", "value": "false"} in found


def test_with_the_configuration_of_one_host() -> None:
    init, cluster = yaml.safe_load_all(with_host(merged(site(), live(site()), drop=False), master(2), "master2"))
    assert init["localAPIEndpoint"]["advertiseAddress"] == str(master(2).address)
    assert (init["kind"], cluster["kind"]) == ("InitConfiguration", "ClusterConfiguration")
    assert init["apiVersion"] == cluster["apiVersion"]


# ---- labels, annotations and taints


def node(**more: object) -> NodeSettings:
    return NodeSettings(**{"labels": {}, "annotations": {}, "taints": (), "cordoned": False, "pod_cidrs": (), "uid": "u", **more})


WANTED = OfNodes(labels={"disk": "ssd"}, annotations={"owner": "me"}, taints=("gpu=1:NoSchedule",))


def test_what_is_set_is_recorded_and_taken_away_again() -> None:
    bare = node(labels={"theirs": "x"}, taints=(Taint("theirs", "", "NoExecute"),))
    given_ = node_wanted.with_wanted(bare, WANTED)
    assert given_.labels == {"theirs": "x", "disk": "ssd"}
    assert given_.taints == (Taint("theirs", "", "NoExecute"), Taint("gpu", "1", "NoSchedule"))
    assert node_wanted.is_right(given_, WANTED)
    less = OfNodes(labels={"disk": "hdd"})
    assert {str(each) for each in node_wanted.differences(given_, less)} == {
        "label disk is to be 'hdd', and is 'ssd'",
        "annotation owner is to go (it is 'me')",
        "taint gpu:NoSchedule is to go (it is '1')",
    }
    patch = node_wanted.patch(given_, less, "7")
    assert patch["metadata"]["labels"] == {"disk": "hdd"}
    assert patch["metadata"]["annotations"]["owner"] is None
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["spec"]["taints"] == [{"key": "theirs", "effect": "NoExecute"}]
    assert node_wanted.with_wanted(given_, OfNodes()) == bare, "nothing of ours is left"


def test_what_somebody_else_has_set_is_no_difference() -> None:
    assert node_wanted.differences(node(labels={"theirs": "x"}), OfNodes()) == []


@given(st.text())
def test_a_record_that_was_spoilt_takes_nothing_away(text: str) -> None:
    there = node(labels={"a": "b"}, annotations={RECORD: text})
    assert all(each.wanted is not None or each.key == "a" for each in node_wanted.differences(there, OfNodes()))


KEYS = st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=2), st.text(alphabet="xy", max_size=2), max_size=3)
ANY = st.builds(
    lambda labels, notes, taints: OfNodes(labels=labels, annotations=notes, taints=tuple(f"{key}={text}:NoSchedule" for key, text in taints.items())),
    KEYS, KEYS, KEYS,
)  # fmt: skip


@given(ANY, ANY)
def test_from_any_state_to_any_other(first: OfNodes, second: OfNodes) -> None:
    there = node_wanted.with_wanted(node_wanted.with_wanted(node(), first), second)
    assert node_wanted.is_right(there, second)
    assert {each.key: each.value for each in there.taints} == {
        text.partition("=")[0]: text.partition("=")[2].partition(":")[0] for text in second.taints
    }
    assert there.labels == second.labels


def test_the_site_merges_roles_and_hosts() -> None:
    own = site()
    worker = msgspec.structs.replace(own.workers[0], labels={"disk": "ssd"}, taints=("gpu=2:NoSchedule",))
    roles = msgspec.structs.replace(own.roles, worker=OfNodes(labels={"tier": "a", "disk": "hdd"}, taints=("gpu=1:NoSchedule",)))
    both = msgspec.structs.replace(own, roles=roles)
    assert both.of_node(worker) == OfNodes(labels={"tier": "a", "disk": "ssd"}, taints=("gpu=2:NoSchedule",))
    assert both.of_node(master(1)) == OfNodes()


@pytest.mark.parametrize(
    "diff",
    [
        "-    - --authorization-mode=Node\n+    - --authorization-mode=Node,RBAC\n",
        "-    - --enable-bootstrap-token-auth=true\n+    - --enable-bootstrap-token-auth=false\n",
        " authentication:\n-  anonymous:\n-    enabled: true\n authorization:\n-  mode: AlwaysAllow\n",
    ],
)
def test_flags_of_the_api_server_and_sections_of_the_kubelet_are_no_secrets(diff: str) -> None:
    assert rules.masked(diff) == diff


@pytest.mark.parametrize(
    "line", ['authorization: "Basic horse"', "-  tokenFile=horse", '+  header = {authorization = "x horse"}']
)
def test_what_may_be_a_secret_is_masked(line: str) -> None:
    assert "horse" not in rules.masked(line)


def test_a_password_of_a_flag_is_in_no_difference() -> None:
    before = flags(api_server={"oidc-issuer-url": "https://jo:hunter2@login.example", "webhook-token": "hunter2"})
    found = rules.of_cluster(site(), settings(before, live(before)), live(before))
    assert [(each.key, each.there, each.wanted) for each in found] == [
        ("kube-apiserver --oidc-issuer-url", "***", None),
        ("kube-apiserver --webhook-token", "***", None),
    ]
    assert "hunter2" not in rules.masked(
        "-    - --oidc-issuer-url=https://jo:hunter2@login.example\n+    - --webhook-token=hunter2\n"
    )
