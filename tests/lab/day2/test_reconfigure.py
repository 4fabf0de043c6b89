"""What differs from hosts.yaml is named, and brought about, on a real cluster: nodes, flags of the control plane, kubelets.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.lab.lb.test_setup import events
from tests.support.lab import ROLES
from tests.support.operator import Operator, sh
from tests.support.service import KUBECTL, ended, in_lbs
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
NOTES = "/var/lib/ha-runbooks/reconfigure"
PATCHES = "/etc/kubernetes/patches"


@pytest.fixture(scope="module")
def owner(cluster: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator of a cluster that is whole, with a hosts.yaml of his own."""
    cluster.verified()
    yield Operator(cluster.lab, tmp_path_factory.mktemp("owner"))
    for each in MASTERS:
        sh(cluster, each, f"rm -rf {NOTES}")


def settings(operator: Operator, **kubernetes: Any) -> None:
    """Change settings of Kubernetes in hosts.yaml."""
    operator.edit(lambda site: site["kubernetes"].update(kubernetes))


def host(operator: Operator, name: str, **keys: Any) -> None:
    """Change keys of one host in hosts.yaml."""
    operator.edit(lambda site: [each.update(keys) for each in site["hosts"] if each["name"] == name])


def api_server(**flags: str) -> dict[str, Any]:
    return {"extra_args": {"api_server": {name.replace("_", "-"): text for name, text in flags.items()}}}


def differences(operator: Operator) -> list[dict[str, Any]]:
    """Return what cluster.diff names."""
    done = operator.inv("cluster.diff", "--json")
    said = json.loads(done.stdout.splitlines()[0])
    assert done.returncode == (0 if said["same"] else 1), done.stdout + done.stderr
    assert said["unread"] == []
    found: list[dict[str, Any]] = said["differences"]
    return found


def keys(operator: Operator) -> set[tuple[str, str, str]]:
    """Return topic, host and key of each difference."""
    return {(each["topic"], each["host"], each["key"]) for each in differences(operator)}


def containers(operator: Operator, name: str) -> dict[str, str]:
    """Return the newest container of a static pod on each control plane host: an older one may still be ending."""
    return {host: sh(operator, host, f"crictl ps -q --name '^{name}$' | head -n 1") for host in MASTERS}


def flags(operator: Operator, host: str) -> list[str]:
    """Return the flags of the API server that runs on a host; an older one may still be ending beside it."""
    return sh(operator, host, "tr '\\0' '\\n' </proc/$(pgrep -xn kube-apiserver)/cmdline").split()


def test_a_new_cluster_is_as_hosts_yaml_says(owner: Operator) -> None:
    assert differences(owner) == []
    owner.sees("cluster.reconfigure", told="nothing to do")


def test_what_was_changed_by_hand_is_named_where_it_is_and_nowhere_else(owner: Operator) -> None:
    before = sh(owner, "master3", f"cat {SCHEDULER}")
    sh(owner, "master3", f"sed -i 's/--leader-elect=true/&\\n    - --v=1/' {SCHEDULER}")
    sh(owner, "worker1", "echo '# mine' >>/etc/crictl.yaml; sysctl -qw net.ipv4.ip_forward=0; apt-mark unhold kubelet")
    sh(owner, "lb2", "echo '# mine' >>/etc/haproxy/haproxy.cfg")
    found = differences(owner)
    assert {(each["topic"], each["host"], each["key"]) for each in found} == {
        ("by-hand", "master3", f"lines of {SCHEDULER}"),
        ("hosts", "worker1", "/etc/crictl.yaml"),
        ("hosts", "worker1", "kernel"),
        ("versions", "worker1", "package kubelet"),
        ("lb", "lb2", "/etc/haproxy/haproxy.cfg"),
    }
    assert "---v=1" in next(each["diff"] for each in found if each["topic"] == "by-hand")
    assert "-# mine" in next(each["diff"] for each in found if each["topic"] == "lb")
    owner.good("lb.setup")
    owner.good("cluster.prepare", "--host", "worker1")
    owner.good("cluster.reconfigure", "--only", "hosts", "--host", "worker1")
    sh(owner, "master3", f"cat >/etc/kubernetes/back <<'X'\n{before}\nX\nmv /etc/kubernetes/back {SCHEDULER}")
    assert differences(owner) == []


@pytest.mark.long
def test_labels_annotations_and_taints_come_and_go(owner: Operator) -> None:
    sh(owner, "master1", f"{KUBECTL} label node worker1 --overwrite theirs=kept")
    given = {"labels": {"disk": "ssd"}, "annotations": {"owner": "team a"}, "taints": ["dedicated=gpu:PreferNoSchedule"]}
    owner.edit(lambda site: [host.update(given) for host in site["hosts"] if host["name"] == "worker1"])
    wanted = {"label disk", "annotation owner", "taint dedicated:PreferNoSchedule"}
    assert keys(owner) == {("nodes", "worker1", key) for key in wanted}
    owner.good("cluster.reconfigure", "--only", "nodes")
    assert differences(owner) == []
    owner.edit(
        lambda site: [host.update(labels={}, annotations={}, taints=[]) for host in site["hosts"] if host["name"] == "worker1"]
    )
    assert keys(owner) == {("nodes", "worker1", key) for key in wanted}
    owner.good("cluster.reconfigure")
    node = json.loads(sh(owner, "master1", f"{KUBECTL} get node worker1 -o json"))
    assert node["metadata"]["labels"]["theirs"] == "kept"
    assert "disk" not in node["metadata"]["labels"]
    assert "disk" not in node["metadata"]["annotations"]["ha-runbooks/from-hosts-yaml"]
    assert ROLES["worker"].items() <= node["metadata"]["labels"].items()
    assert differences(owner) == []
    sh(owner, "master1", f"{KUBECTL} label node worker1 theirs-")


@pytest.mark.long
def test_the_baseline_comes_and_goes_on_living_nodes(owner: Operator) -> None:
    """What is written on load balancers, and time services: tests/lab/lb/test_baseline.py."""
    sysctl, hosts = "net.ipv4.tcp_keepalive_time", ("worker1", "master1")
    files = {"/etc/hosts", "/etc/apt/apt.conf.d/90ha-runbooks-keep-off", "/etc/sysctl.d/zz-ha-runbooks-baseline.conf"}
    named = {*files, f"sysctl {sysctl}"}
    before = {host: sh(owner, host, "cat /etc/hosts") for host in hosts}
    given = {"sysctls": {sysctl: "600"}, "hosts": {"10.1.1.5": ["registry.example"]}, "unattended_upgrades": "keep-off"}
    owner.edit(lambda site: site.update(baseline=given))
    everywhere = {("hosts", host["name"], key) for host in yaml.safe_load(owner.site.read_text())["hosts"] for key in named}
    assert keys(owner) == everywhere
    owner.good("cluster.reconfigure", "--only", "hosts", "--host", ",".join(hosts))
    assert keys(owner) == {each for each in everywhere if each[1] not in hosts}
    assert sh(owner, "worker1", "getent hosts registry.example").split() == ["10.1.1.5", "registry.example"]
    assert sh(owner, "worker1", f"sysctl -n {sysctl}") == "600\n"
    sh(owner, "worker1", f"sysctl -qw {sysctl}=7200")
    assert ("hosts", "worker1", f"sysctl {sysctl}") in keys(owner)
    owner.edit(lambda site: site.pop("baseline"))
    assert keys(owner) == {("hosts", host, path) for host in hosts for path in files}
    said = owner.good("cluster.reconfigure")
    assert f"{sysctl} keeps its value until the next boot" in said
    assert {host: sh(owner, host, "cat /etc/hosts") for host in hosts} == before
    assert differences(owner) == []
    owner.sees("cluster.reconfigure", told="nothing to do")


def test_what_a_living_cluster_cannot_change_is_refused_with_the_reason(owner: Operator) -> None:
    owner.edit(lambda site: site["networks"].update(pods="10.128.0.0/16"))
    done = owner.inv("cluster.reconfigure")
    owner.edit(lambda site: site["networks"].update(pods="10.244.0.0/16"))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the network of pods cannot be changed in place" in done.stderr


def test_a_flag_that_keeps_the_api_server_from_starting_is_put_back_and_no_other_host_is_touched(owner: Operator) -> None:
    settings(owner, **api_server(no_such_flag="1"))
    before = {name: containers(owner, name) for name in ("kube-apiserver", "etcd")}
    exited, said = owner.follow("cluster.reconfigure", when=lambda _: False, act=lambda *_: None)
    assert exited == 1, said
    error = next(each for each in said if each["event"] == "error")
    first = error["error"].split(" ", 1)[0]
    assert "unknown flag: --no-such-flag" in error["error"]
    assert f"{first} does not run with these settings" in error["error"]
    assert "Its old files are back, and it serves as before" in error["error"]
    after = {name: containers(owner, name) for name in before}
    others = [host for host in MASTERS if host != first]
    assert [after["kube-apiserver"][host] for host in others] == [before["kube-apiserver"][host] for host in others]
    assert after["etcd"] == before["etcd"]
    eventually(lambda: in_lbs(owner, first), {"UP"})
    assert keys(owner) == {("control-plane", "", "kube-apiserver --no-such-flag")}, "kubeadm-config is as it was"
    settings(owner, **api_server())
    assert differences(owner) == []


def test_killed_after_the_first_host_the_same_command_brings_a_flag_to_all(owner: Operator) -> None:
    settings(owner, **api_server(profiling="false"))
    etcd = containers(owner, "etcd")
    words = ("cluster.reconfigure", "--only", "control-plane")
    end = lambda process, _: process.send_signal(signal.SIGKILL)  # noqa: E731
    exited, said = owner.follow(*words, when=ended("its static pods run with them"), act=end)
    assert exited == -signal.SIGKILL, said
    assert sum("--profiling=false" in flags(owner, host) for host in MASTERS) == 1
    text = owner.done(*words, "--json", timeout_s=400)
    assert all("--profiling=false" in flags(owner, host) for host in MASTERS)
    assert containers(owner, "etcd") == etcd, "only what differs is restarted"
    clients = next(each["result"] for each in events(text, "clients"))
    assert clients["complete"]
    assert not clients["data"]["lost"]
    assert differences(owner) == []
    owner.sees(*words, told="nothing to do")
    assert [sh(owner, host, f"ls {NOTES}") for host in MASTERS] == ["", "", ""]


OURS = ("control-plane", "master3", f"{PATCHES}/kube-scheduler-ha-runbooks-000-0+merge.yaml")
KUBELET = ("kubelet", "worker1", "/etc/default/kubelet")


def test_a_patch_and_a_kubelets_own_settings_change_their_host_alone(owner: Operator) -> None:
    sh(
        owner,
        "master3",
        f"mkdir -p {PATCHES}; echo 'metadata: {{annotations: {{theirs: stays}}}}' >{PATCHES}/kube-scheduler.yaml",
    )
    patch = owner.directory / "kube-scheduler0+merge.yaml"
    patch.write_text("metadata: {annotations: {ours: set}}\n")
    host(owner, "master3", patches=[str(patch)])
    host(owner, "worker1", kubelet={"maxPods": 60})
    manifest = ("by-hand", "master3", f"lines of {SCHEDULER}")
    assert keys(owner) == {manifest, OURS, KUBELET, ("kubelet", "worker1", "running: maxPods")}
    before = {name: containers(owner, name) for name in ("kube-apiserver", "kube-scheduler")}
    processes = [sh(owner, each, "pgrep -xo kubelet") for each in MASTERS]
    owner.done("cluster.reconfigure", "--only", "control-plane,kubelet", timeout_s=400)
    assert sh(owner, "master3", f"grep -e ours -e theirs {SCHEDULER}").split() == ["ours:", "set", "theirs:", "stays"]
    assert sh(owner, "master1", f"{KUBECTL} get node worker1 -o jsonpath='{{.status.capacity.pods}}'") == "60"
    assert [sh(owner, each, "pgrep -xo kubelet") for each in MASTERS] == processes
    after = {name: containers(owner, name) for name in before}
    changed = [(name, each) for name in before for each in MASTERS if before[name][each] != after[name][each]]
    assert changed == [("kube-scheduler", "master3")]
    assert differences(owner) == []


@pytest.mark.long
def test_what_is_deleted_from_hosts_yaml_goes_and_a_patch_of_somebody_else_stays(owner: Operator) -> None:
    host(owner, "master3", patches=[])
    host(owner, "worker1", kubelet={})
    assert keys(owner) == {OURS, KUBELET}
    owner.done("cluster.reconfigure", "--only", "control-plane,kubelet", timeout_s=400)
    there = sh(owner, "master3", f"ls {PATCHES}; grep -e ours -e theirs {SCHEDULER}").split()
    assert there == ["kube-scheduler.yaml", "theirs:", "stays"]
    assert sh(owner, "master1", f"{KUBECTL} get node worker1 -o jsonpath='{{.status.capacity.pods}}'") == "110"
    assert differences(owner) == []


@pytest.mark.long
def test_a_patch_with_which_the_api_server_does_not_start_is_put_back(owner: Operator) -> None:
    patch = owner.directory / "kube-apiserver+json.json"
    patch.write_text('[{"op": "add", "path": "/spec/containers/0/command/-", "value": "--no-such-flag=1"}]')
    host(owner, "master2", patches=[str(patch)])
    before = containers(owner, "kube-apiserver")
    exited, said = owner.follow("cluster.reconfigure", when=lambda _: False, act=lambda *_: None)
    assert exited == 1, said
    error = next(each for each in said if each["event"] == "error")
    assert "master2 does not run with these settings" in error["error"]
    assert "unknown flag: --no-such-flag" in error["error"]
    assert sh(owner, "master2", f"ls {PATCHES}; ls {NOTES}") == ""
    after = containers(owner, "kube-apiserver")
    assert [each for each in MASTERS if after[each] != before[each]] == ["master2"]
    host(owner, "master2", patches=[])
    assert differences(owner) == []


@pytest.mark.long
def test_a_flag_that_is_deleted_from_hosts_yaml_goes_when_it_is_dropped(owner: Operator) -> None:
    settings(owner, **api_server())
    assert keys(owner) == {("control-plane", "", "kube-apiserver --profiling")}
    owner.sees("cluster.reconfigure", told="nothing to do")
    owner.done("cluster.reconfigure", "--drop", timeout_s=400)
    assert not any("--profiling=false" in flags(owner, host) for host in MASTERS)
    assert differences(owner) == []


@pytest.mark.long
def test_kubelets_get_their_settings_and_keep_their_pods(owner: Operator) -> None:
    settings(owner, kubelet={"maxPods": 120})
    assert keys(owner) == {("kubelet", "", "maxPods")}
    before = containers(owner, "kube-apiserver")
    owner.done("cluster.reconfigure", "--only", "kubelet", timeout_s=400)
    assert differences(owner) == []
    said = sh(owner, "master1", f"{KUBECTL} get nodes -o jsonpath='{{.items[*].status.capacity.pods}}'")
    assert said.split() == ["120"] * 4
    assert containers(owner, "kube-apiserver") == before


@pytest.mark.long
def test_a_setting_with_which_the_kubelet_does_not_start_is_put_back(owner: Operator) -> None:
    settings(owner, kubelet={"maxPods": 120, "evictionHard": {"memory.available": "lots"}})
    exited, said = owner.follow("cluster.reconfigure", when=lambda _: False, act=lambda *_: None)
    assert exited == 1, said
    error = next(each for each in said if each["event"] == "error")
    assert "worker1: its kubelet does not run with these settings" in error["error"]
    assert "quantities must match" in error["error"]
    assert "No other node was touched" in error["error"]
    assert keys(owner) == {("kubelet", "", "evictionHard.memory.available")}
    settings(owner, kubelet={"maxPods": 120})
    owner.verified()


def test_the_cluster_is_whole(owner: Operator) -> None:
    owner.verified()
