"""What a Kubernetes host gets before kubeadm, and the manifest of the pod network."""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from runbooks.cluster.files import audit_policy, cni_manifest, node_files, pause_image, wanted_images
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.setup_look import MODULES, SYSCTL_FILE, sysctls
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.rules.kubeadm import AUDIT_POLICY, init_config
from tests.unit.cluster.test_kubeadm_config import described

pytestmark = pytest.mark.unit

PAUSE = "registry.company.local:5000/k8s/pause:3.9"
LISTED = (
    "a.example/kube-apiserver:v1.30.1",
    "a.example/kube-controller-manager:v1.30.1",
    "a.example/kube-scheduler:v1.30.1",
    "a.example/kube-proxy:v1.30.1",
    "a.example/coredns/coredns:v1.11.1",
    "a.example/pause:3.9",
    "a.example/etcd:3.5.12-0",
)


@pytest.fixture
def make(tmp_path):
    return lambda **options: described(tmp_path, **options)


def contents(site: Site, host: Host | None = None) -> dict[str, str]:
    return {file.path: file.content for file in node_files(site, host or site.control_plane[0], PAUSE)}


# ---- files of a host


def test_kernel_files(make):
    found = contents(make())
    assert found["/etc/modules-load.d/ha-runbooks.conf"].splitlines() == list(MODULES) == ["overlay", "br_netfilter"]
    assert found[SYSCTL_FILE].splitlines() == [
        "net.bridge.bridge-nf-call-iptables = 1",
        "net.bridge.bridge-nf-call-ip6tables = 1",
        "net.ipv4.ip_forward = 1",
    ]
    assert {"net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"} < set(sysctls(make(family=6)))


def test_crictl_asks_the_socket_that_kubeadm_uses(make):
    site = make()
    assert yaml.safe_load(contents(site)["/etc/crictl.yaml"]) == {
        "runtime-endpoint": "unix:///run/containerd/containerd.sock",
        "image-endpoint": "unix:///run/containerd/containerd.sock",
        "timeout": 10,
    }
    init = next(iter(yaml.safe_load_all(init_config(site, site.control_plane[0], (1, 30, 1), None))))
    assert init["nodeRegistration"]["criSocket"] == "unix:///run/containerd/containerd.sock"


@pytest.mark.parametrize(("driver", "systemd"), [("systemd", True), ("cgroupfs", False)])
def test_containerd_agrees_with_the_kubelet(make, driver, systemd):
    found = tomllib.loads(contents(make(cgroup_driver=driver))[CONTAINERD_CONFIG])
    plugin = found["plugins"]["io.containerd.grpc.v1.cri"]
    assert found["version"] == 2
    assert plugin == {
        "sandbox_image": PAUSE,
        "containerd": {"runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": systemd}}}},
        "cni": {"bin_dir": "/opt/cni/bin"},
        "registry": {"config_path": "/etc/containerd/certs.d"},
    }


@pytest.mark.parametrize(("driver", "systemd"), [("systemd", True), ("cgroupfs", False)])
def test_containerd_2_gets_the_sections_of_containerd_2(make, driver, systemd):
    site = make(cgroup_driver=driver, containerd={"restrict_oom_score_adj": True})
    (file,) = (file for file in node_files(site, site.control_plane[0], PAUSE, containerd=2) if file.path == CONTAINERD_CONFIG)
    assert tomllib.loads(file.content) == {
        "version": 3,
        "plugins": {
            "io.containerd.cri.v1.images": {
                "pinned_images": {"sandbox": PAUSE},
                "registry": {"config_path": "/etc/containerd/certs.d"},
            },
            "io.containerd.cri.v1.runtime": {
                "restrict_oom_score_adj": True,
                "containerd": {
                    "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": systemd}}}
                },
            },
        },
    }


def test_containerd_in_hosts_that_are_containers(make):
    found = tomllib.loads(contents(make(containerd={"restrict_oom_score_adj": True}))[CONTAINERD_CONFIG])
    assert found["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is True


def test_only_control_plane_hosts_get_the_audit_policy(make):
    site = make()
    with_policy = [host.name for host in site.nodes if AUDIT_POLICY in contents(site, host)]
    assert with_policy == ["master1", "master2", "master3"]
    (policy,) = (file for file in node_files(site, site.control_plane[0], PAUSE) if file.path == AUDIT_POLICY)
    assert (policy.mode, policy.owner) == ("0600", "root:root")


# ---- audit


def level(
    policy: dict[str, Any], verb: str, resource: str, *, group: str = "", user: str = "ops", groups: tuple[str, ...] = ()
) -> str:
    """The level of the first rule that fits, as kube-apiserver decides."""
    for rule in policy["rules"]:
        named = [
            one.get("group", "") == group and ("resources" not in one or resource in one["resources"])
            for one in rule.get("resources", [])
        ]
        if (
            ("verbs" not in rule or verb in rule["verbs"])
            and ("users" not in rule or user in rule["users"])
            and ("userGroups" not in rule or set(rule["userGroups"]) & set(groups))
            and ("namespaces" not in rule or "kube-system" in rule["namespaces"])
            and (not named or any(named))
        ):
            return str(rule["level"])
    return "None"


def test_our_policy_keeps_changes_and_ways_in_and_no_noise(make):
    policy = yaml.safe_load(audit_policy(make()).content)
    assert (policy["apiVersion"], policy["kind"]) == ("audit.k8s.io/v1", "Policy")
    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}  # bodies would put Secrets into the log
    node = {"user": "system:node:worker1", "groups": ("system:nodes", "system:authenticated")}
    for verb in ("create", "update", "patch", "delete", "deletecollection"):
        assert level(policy, verb, "deployments", group="apps") == "Metadata"
        assert level(policy, verb, "secrets") == "Metadata"
        assert level(policy, verb, "secrets", **node) == "Metadata"
        assert level(policy, verb, "events") == "None"
        assert level(policy, verb, "leases", group="coordination.k8s.io") == "None"
    for verb in ("get", "list", "watch"):
        assert level(policy, verb, "pods") == "None"
        assert level(policy, verb, "secrets") == "Metadata"
        assert level(policy, verb, "secrets", **node) == "None"
    for verb in ("get", "create"):
        assert level(policy, verb, "pods/exec") == "Metadata"
    assert level(policy, "patch", "nodes/status", **node) == "None"
    assert level(policy, "patch", "nodes/status") == "Metadata"
    assert level(policy, "patch", "nodes", **node) == "Metadata"
    assert level(policy, "create", "roles", group="rbac.authorization.k8s.io") == "Metadata"


def test_a_policy_of_ones_own_goes_out_as_it_is(make, tmp_path):
    text = "# ours\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"
    (tmp_path / "policy.yaml").write_text(text)
    assert contents(make(audit={"policy": "policy.yaml"}))[AUDIT_POLICY] == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"rules: [", "is not YAML: "),
        (b"", "is not one document with apiVersion audit.k8s.io/v1 and kind Policy"),
        (b"[]", "is not one document"),
        (b"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]\n", "is not one document"),
        (b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n---\nkind: Policy\n", "is not one document"),
        (b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n", "has no rules"),
        (b"apiVersion: audit.k8s.io/v1\nkind: Policy\n", "has no rules"),
    ],
)
def test_a_policy_that_would_keep_the_api_server_from_starting(make, tmp_path, text, complaint):
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_bytes(text)
    site = make(audit={"policy": "policy.yaml"})
    with pytest.raises(InventoryError) as caught:
        node_files(site, site.control_plane[0], PAUSE)
    assert str(caught.value).startswith(f"kubernetes.audit.policy: {path} {complaint}")


# ---- pod network


def flannel(site: Site) -> dict[str, dict[str, Any]]:
    text = cni_manifest(site)
    assert text is not None
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def pod(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = flannel(site)["DaemonSet"]["spec"]["template"]["spec"]
    return found


def test_flannel_is_whole_and_consistent(make):
    found = flannel(make(cni="flannel"))
    assert list(found) == ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet"]
    # Versions that every API server from 1.20 to 1.37 has.
    assert {one["apiVersion"] for one in found.values()} == {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"}
    assert found["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    for kind in ("ServiceAccount", "ConfigMap", "DaemonSet"):
        assert found[kind]["metadata"]["namespace"] == found["Namespace"]["metadata"]["name"]
    assert found["ClusterRoleBinding"]["roleRef"]["name"] == found["ClusterRole"]["metadata"]["name"]
    (subject,) = found["ClusterRoleBinding"]["subjects"]
    assert (subject["name"], subject["namespace"]) == (found["ServiceAccount"]["metadata"]["name"], "kube-flannel")
    spec = found["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert spec["template"]["spec"]["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    rules = {
        (resource, verb) for rule in found["ClusterRole"]["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert rules == {("pods", "get"), ("nodes", "get"), ("nodes", "list"), ("nodes", "watch"), ("nodes/status", "patch")}


def test_flannel_mounts_what_it_declares(make):
    found = pod(make(cni="flannel"))
    declared = {volume["name"] for volume in found["volumes"]}
    containers = [*found["initContainers"], *found["containers"]]
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == declared
    assert {"operator": "Exists", "effect": "NoSchedule"} in found["tolerations"]  # the nodes are NotReady until it runs
    assert found["hostNetwork"] is True


def test_flannel_is_given_the_pod_network(make):
    data = flannel(make(cni="flannel"))["ConfigMap"]["data"]
    assert json.loads(data["net-conf.json"]) == {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}
    assert [plugin["type"] for plugin in json.loads(data["cni-conf.json"])["plugins"]] == ["flannel", "portmap"]
    data = flannel(make(cni="flannel", family=6))["ConfigMap"]["data"]
    assert json.loads(data["net-conf.json"]) == {
        "EnableIPv4": False,
        "EnableIPv6": True,
        "IPv6Network": "fd01::/56",
        "Backend": {"Type": "vxlan"},
    }


def test_flannels_pods_are_replaced_when_its_configuration_changes(make):
    digests = {
        flannel(make(cni="flannel", family=family))["DaemonSet"]["spec"]["template"]["metadata"]["annotations"][
            "ha-runbooks/configuration"
        ]
        for family in (4, 6)
    }
    assert len(digests) == 2


@pytest.mark.parametrize(("given", "front"), [({}, "flannel/"), ({"image_repository": "r.local:5000/k8s"}, "r.local:5000/k8s/")])
def test_flannels_images_come_from_the_sites_registry(make, given, front):
    found = pod(make(cni="flannel", **given))
    images = {container["image"] for container in (*found["initContainers"], *found["containers"])}
    assert {image.partition(":v")[0] for image in images} == {f"{front}flannel", f"{front}flannel-cni-plugin"}


def test_flannel_finds_the_api_server_without_kube_proxy(make):
    def environment(**options: Any) -> dict[str, str | None]:
        (container,) = pod(make(cni="flannel", **options))["containers"]
        return {one["name"]: one.get("value") for one in container["env"]}

    assert "KUBERNETES_SERVICE_HOST" not in environment()
    found = environment(family=6, addons={"kube_proxy": False})
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT"]) == ("fd00::100", "7443")


def test_no_manifest_when_somebody_else_installs_it(make):
    assert cni_manifest(make(cni="none")) is None


def test_a_site_that_does_not_say_gets_the_choices(make):
    with pytest.raises(InventoryError, match=r"^kubernetes\.cni: is missing") as caught:
        cni_manifest(make())
    assert all(choice in caught.value.hint for choice in ("flannel", "path", "none"))


GOOD = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {op: =}\n"


@pytest.mark.parametrize(
    "text", [GOOD, b"---\n" + GOOD + b"---\n# nothing here\n---\n" + GOOD, b"apiVersion: v1\nkind: List\nitems: []\n"]
)
def test_a_manifest_of_ones_own_goes_out_as_it_is(make, tmp_path, text):
    (tmp_path / "cni.yaml").write_bytes(text)
    assert cni_manifest(make(cni="cni.yaml")) == text.decode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"# later\n---\n", "is empty"),
        (b"\xff", "is not text in UTF-8"),
        (b"a: b: c", "is not YAML: "),
        (b"just words", "document 1 is not a manifest"),
        (GOOD + b"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "document 2 is not a manifest"),
        (b"kind: ConfigMap\nmetadata: {name: a}\n", "document 1 is not a manifest"),
        (b"apiVersion: v1\nkind: ConfigMap\nmetadata: a\n", "document 1 is not a manifest"),
        (b"<!DOCTYPE html>\n<html></html>\n", "document 1 is not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_applied(make, tmp_path, text, complaint):
    path = tmp_path / "cni.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InventoryError) as caught:
        cni_manifest(make(cni="cni.yaml"))
    assert str(caught.value).startswith(f"kubernetes.cni: {path}")
    assert complaint in str(caught.value)


def test_a_directory_is_no_manifest(make, tmp_path):
    with pytest.raises(InventoryError, match="cannot be read: Is a directory"):
        cni_manifest(msgspec.structs.replace(make(), kubernetes=msgspec.structs.replace(make().kubernetes, cni=Path(tmp_path))))


# ---- images


@pytest.mark.parametrize(
    "image", ["a.example/pause:3.2", "a.example:5000/x/pause:3.9", "pause:3", "a.example/pause@sha256:00", "a.example/x/pause"]
)
def test_the_pause_image_is_found_by_its_name(image):
    assert pause_image(["a.example/pause-not:1", *LISTED[:3], image, "a.example/etcd:3"]) == image


def test_without_a_pause_image_nothing_is_guessed():
    with pytest.raises(ValueError):
        pause_image(["a.example/etcd:3", "pause.example/etcd:3"])


@pytest.mark.parametrize(
    ("addons", "left_out"),
    [
        ({}, set()),
        ({"coredns": False}, {"coredns"}),
        ({"kube_proxy": False}, {"kube-proxy"}),
        ({"coredns": False, "kube_proxy": False}, {"coredns", "kube-proxy"}),
    ],
)
def test_images_of_addons_that_are_off_are_not_wanted(make, addons, left_out):
    site = make(addons=addons)
    names = {image.rsplit("/", 1)[-1].split(":")[0] for image in LISTED}

    def wanted(host: Host) -> set[str]:
        return {image.rsplit("/", 1)[-1].split(":")[0] for image in wanted_images(site, host, LISTED)}

    assert wanted(site.control_plane[0]) == names - left_out
    assert wanted(site.workers[0]) == {"kube-proxy", "coredns", "pause"} - left_out
