"""`cluster.verify` and `cluster.status` on a real cluster: whole, and then with one thing after the other broken for real.

Every test puts right what it broke; at the end the cluster is whole again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runbooks.rules.finding import rank
from tests.support.lab import HOSTS
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

OURS = ("zz-ha-runbooks-kubernetes", "90-ha-runbooks-kubernetes")  # the name of our file, now and before
MANIFESTS, ASIDE = "/etc/kubernetes/manifests", "/root"
Rows = dict[tuple[str, str], dict[str, str]]


def verdict(operator: Operator) -> tuple[int, Rows]:
    """Return the exit status, and the rows by topic and host (of several the worst ones, in one)."""
    done = operator.inv("cluster.verify", "--json")
    found = json.loads(done.stdout.splitlines()[0])
    assert found["ok"] == (done.returncode == 0), done.stdout
    rows: Rows = {}
    for row in sorted(found["findings"], key=lambda row: rank(row["severity"])):
        key = row["topic"], row["host"]
        same = key in rows and rows[key]["severity"] == row["severity"]
        rows[key] = row | {"seen": f"{rows[key]['seen']}; {row['seen']}"} if same else row
    return done.returncode, rows


def failing(rows: Rows) -> dict[tuple[str, str], str]:
    return {key: row["seen"] for key, row in rows.items() if row["severity"] == "fail"}


def once(operator: Operator, well: Callable[[dict[tuple[str, str], str]], object], within_s: float = 240) -> Rows:
    """Wait until what fails is as ``well`` wants it, and return all rows."""
    rows: Rows = {}

    def trouble() -> str:
        nonlocal rows
        rows = verdict(operator)[1]
        return "" if well(failing(rows)) else f"still {failing(rows)}"

    eventually(trouble, "", within_s)
    return rows


@pytest.fixture(scope="module")
def healthy(cluster: Operator) -> Operator:
    """A cluster on which everything holds to begin with."""
    once(cluster, lambda seen: not seen)
    return cluster


@pytest.fixture
def whole(healthy: Operator) -> Iterator[Operator]:
    """The same, and it holds again afterwards."""
    yield healthy
    once(healthy, lambda seen: not seen)


def kubectl(operator: Operator, host: str, *words: str) -> str:
    done = operator.lab.console(host, ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", *words], check=True)
    return str(done.stdout)


def status(operator: Operator) -> tuple[int, dict[str, Any]]:
    done = operator.inv("cluster.status", "--json")
    return done.returncode, json.loads(done.stdout.splitlines()[0])


def test_a_whole_cluster(healthy: Operator) -> None:
    rows = once(healthy, lambda seen: not seen)
    assert re.search(r"^all \d+ checks passed", healthy.well("cluster.verify"), re.MULTILINE)
    masters, lbs = ("master1", "master2", "master3"), ("lb1", "lb2")
    expected = {(topic, host) for topic in ("API server", "node", "static pods", "certificates") for host in masters}
    expected |= {("node", "worker1"), ("certificates", "worker1"), ("API by VIP", ""), ("etcd", ""), ("kube-proxy", "")}
    expected |= {("LB", host) for host in lbs} | {("CAs", ""), ("kubeadm-config", ""), ("other pods", ""), ("versions", "")}
    assert expected <= rows.keys()
    assert {"leader", "VIP", "write by VIP"} <= {topic for topic, _ in rows}
    assert all(row["fix"] == "" for row in rows.values() if row["severity"] == "ok")


def test_proxies_that_sudo_passes_on_do_not_make_it_look_dead(whole: Operator) -> None:
    """kubectl, curl and etcdctl would ask them for the API server and for etcd."""
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    for host in HOSTS:
        whole.lab.console(host, ["tee", "/etc/environment"], stdin="".join(f"{name}=http://10.1.1.250:3128\n" for name in names))
        whole.lab.console(host, ["tee", "/etc/sudoers.d/proxies"], stdin=f'Defaults env_keep += "{" ".join(names)}"\n')
    try:
        assert "10.1.1.250" in whole.lab.exec("master1", ["printenv", "https_proxy"]).stdout
        whole.well("cluster.verify")
        whole.well("cluster.status")
    finally:
        for host in HOSTS:
            whole.lab.console(host, ["sh", "-c", ": >/etc/environment; rm /etc/sudoers.d/proxies"], check=True)


def test_nothing_is_left_of_the_write(healthy: Operator) -> None:
    rows = once(healthy, lambda seen: not seen)
    assert "deleted" in "".join(row["seen"] for (topic, _), row in rows.items() if topic == "write by VIP")
    assert "ha-runbooks-verify" not in kubectl(healthy, "master2", "-n", "kube-system", "get", "configmaps", "-o", "name")


def test_the_quick_look(healthy: Operator) -> None:
    seen = json.loads(healthy.well("cluster.status", "--json").splitlines()[0])
    assert (seen["findings"], seen["strangers"]) == ([], [])
    assert {host["node"]["ready"] for host in seen["hosts"].values()} == {True}
    assert sorted(host["etcd"] for host in seen["hosts"].values() if "etcd" in host) == ["follower", "follower", "leader"]
    text = healthy.well("cluster.status")
    assert "4 of 4 nodes Ready" in text
    assert len(text.splitlines()) < 20


def test_a_preparation_that_somebody_undid(whole: Operator) -> None:
    """A file that comes later at boot, on a host that an earlier version of ours prepared; a program that is no longer held; and
    containerd's configuration in the sections of another containerd, which it ignores without a word."""
    ours, before, later = (f"/etc/sysctl.d/{name}.conf" for name in (*OURS, "99-hardening"))
    boot = "/usr/lib/systemd/systemd-sysctl --prefix=/net/ipv4/ip_forward --prefix=/net/bridge"
    hardening = f"printf 'net.ipv4.ip_forward=0\\nnet.bridge.bridge-nf-call-iptables=0\\n' >{later}"
    config = "/etc/containerd/config.toml"
    other = f"cp -p {config} {config}.lab; sed -i 's/io.containerd.grpc.v1.cri/io.containerd.cri.v1.runtime/' {config}"
    whole.lab.console(
        "worker1", ["bash", "-ec", f"{hardening}; mv {ours} {before}; {boot}; apt-mark -q unhold kubelet; {other}"], check=True
    )
    try:
        row = once(whole, lambda seen: ("preparation", "worker1") in seen)["preparation", "worker1"]
        told = [f"{key} is 0 ({later} sets it at boot)" for key in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")]
        assert (row["severity"], row["seen"], row["fix"]) == ("fail", "; ".join(told), "inv cluster.prepare --host worker1")
        found = json.loads(whole.inv("doctor", "--json").stdout.splitlines()[0])["findings"]
        seen = {each["seen"] for each in found if (each["topic"], each["host"]) == ("preparation", "worker1")}
        (ignored,) = (each for each in seen if each.startswith("containerd ignores the pause image "))
        assert "pause:3.2 of its configuration and takes" in ignored
        assert seen - {ignored} == {"; ".join(told), "not held: kubelet"}
        whole.lab.console("worker1", ["mv", f"{config}.lab", config], check=True)
        mended = whole.good(*row["fix"].split()[1:])
        assert "worker1: kernel modules and sysctls  [changed" in mended
        whole.idle("cluster.prepare", "--host", "worker1")
        now = f"{boot}; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables; apt-mark showhold; ls {before}"
        assert whole.lab.console("worker1", ["bash", "-c", now]).stdout.split() == ["1", "1", "kubeadm", "kubectl", "kubelet"]
        assert ("preparation", "worker1") not in once(whole, lambda seen: not seen)
    finally:
        whole.lab.console("worker1", ["bash", "-c", f"rm -f {later}; mv -f {config}.lab {config} 2>/dev/null"])


def test_a_kubelet_that_stopped_and_a_node_without_pods(whole: Operator) -> None:
    whole.lab.console("worker1", ["systemctl", "stop", "kubelet"], check=True)
    kubectl(whole, "master1", "cordon", "worker1")
    try:
        rows = once(whole, lambda seen: ("host", "worker1") in seen)
        assert rows["host", "worker1"]["seen"] == "kubelet is inactive"
        assert "journalctl -u kubelet" in rows["host", "worker1"]["fix"]
        assert rows["node", "worker1"]["severity"] == "warn"
        assert "uncordon worker1" in rows["node", "worker1"]["fix"]
        assert ("worker1", "kubelet is inactive") in {(each["host"], each["seen"]) for each in status(whole)[1]["findings"]}
    finally:
        kubectl(whole, "master1", "uncordon", "worker1")
        whole.lab.console("worker1", ["systemctl", "start", "kubelet"], check=True)


def test_a_scheduler_that_is_gone_and_an_api_server_that_the_lbs_cannot_reach(healthy: Operator) -> None:
    """Without a wait for a whole cluster at its end: the kubelet takes 90 s to call a static pod that came back ready."""
    drop = ["INPUT", "-p", "tcp", "--dport", "6443", "-s", "10.1.1.11,10.1.1.12", "-j", "REJECT"]
    healthy.lab.console("master2", ["mv", f"{MANIFESTS}/kube-scheduler.yaml", ASIDE], check=True)
    healthy.lab.console("master3", ["iptables", "-I", *drop], check=True)
    try:
        expected = {("static pods", "master2"), ("LB", "lb1"), ("LB", "lb2")}
        seen = failing(once(healthy, lambda seen: expected <= seen.keys()))
        assert seen["static pods", "master2"] == "kube-scheduler: missing"
        assert seen["LB", "lb1"].startswith("master3 is DOWN")
        assert ("API server", "master3") not in seen  # asked by its own host, it is well: the way to it is not
    finally:
        healthy.lab.console("master3", ["iptables", "-D", *drop], check=True)
        healthy.lab.console("master2", ["mv", f"{ASIDE}/kube-scheduler.yaml", MANIFESTS], check=True)


@pytest.mark.long
def test_an_api_server_that_the_load_balancers_do_not_know(healthy: Operator, tmp_path: Path) -> None:
    """As after a new control plane host has joined: the LBs have another hosts.yaml than the cluster."""
    before = Operator(healthy.lab, tmp_path)
    before.edit(lambda site: site.update(hosts=[host for host in site["hosts"] if host["name"] != "master3"]))
    try:
        before.good("lb.setup")
        rows = once(healthy, lambda seen: seen == {("LB servers", "lb1, lb2"): "api does not know master3"})
        assert rows["LB servers", "lb1, lb2"]["fix"] == "inv lb.setup"
        assert "-> inv lb.setup" in healthy.sees("doctor", told="api does not know master3").stdout
        done = healthy.inv("cluster.init")
        assert (done.returncode, "next:  inv lb.setup" in done.stderr) == (5, True), done.stdout + done.stderr
        assert "api does not know master3" in done.stderr
    finally:
        healthy.good("lb.setup")
    once(healthy, lambda seen: not seen)


@contextmanager
def webhook(operator: Operator, version: str, side_effects: str, addresses: list[dict[str, str]]) -> Iterator[None]:
    """A webhook that nobody answers for. It judges only what has our label, so that the cluster itself is left alone."""
    service = {"namespace": "default", "name": "nobody", "path": "/judge", "port": 443}
    configuration = {
        "apiVersion": f"admissionregistration.k8s.io/{version}",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "company-policy"},
        "webhooks": [
            {
                "name": "judge.company.example",
                "failurePolicy": "Fail",
                "sideEffects": side_effects,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": service},
                "objectSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "ha-runbooks"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets", "pods"]}],
            }
        ],
    }
    named = {"name": "nobody", "namespace": "default"}
    there = {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": {"ports": [{"port": 443}]}}
    subsets = [{"addresses": addresses, "ports": [{"port": 443}]}] if addresses else []
    behind = {"apiVersion": "v1", "kind": "Endpoints", "metadata": named, "subsets": subsets}
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": [there, behind, configuration]})
    words = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
    operator.lab.console("master1", [*words, "apply", "-f", "-"], stdin=objects, check=True)
    try:
        yield
    finally:
        operator.lab.console("master1", [*words, "delete", "--ignore-not-found", "-f", "-"], stdin=objects, check=True)


def test_a_webhook_that_does_not_answer_is_named_before_anything_is_deleted(healthy: Operator) -> None:
    named = 'the webhook "judge.company.example" of the ValidatingWebhookConfiguration company-policy (failurePolicy Fail)'
    with webhook(healthy, "v1", "None", []):
        row = once(healthy, lambda seen: ("admission", "") in seen, 30)["admission", ""]
        assert row["seen"].startswith(f"a Secret in kube-system, a Pod in kube-system, a Pod in default: {named} does not answer")
        assert "its Service default/nobody: it has no endpoints" in row["seen"]
        assert "kubectl patch validatingwebhookconfiguration company-policy" in row["fix"]
        healthy.sees("doctor", told=f"{named} does not answer")
        for words in (("cluster.remove", "--host", "worker1"), ("cluster.join", "--host", "worker1")):
            done = healthy.inv(*words, "--diff")
            assert (done.returncode, f"{named} does not answer" in done.stderr) == (3, True), done.stdout + done.stderr
            assert "ran on" not in done.stdout
    with webhook(healthy, "v1beta1", "Some", [{"ip": "10.1.1.201"}]):  # it has somebody, and cannot be asked by a dry run
        eventually(lambda: "refuses dry runs" in healthy.good("cluster.join", "--host", "worker1"), seconds=30)
    once(healthy, lambda seen: ("admission", "") not in seen)
    for kind in ("secrets", "pods", "nodes", "configmaps", "leases"):  # nothing is left of the dry runs
        assert "ha-runbooks-try" not in kubectl(healthy, "master1", "get", kind, "-A", "-o", "name")


@pytest.mark.long
def test_a_master_without_power(whole: Operator) -> None:
    """Everything that reads still works, whoever is gone: here the host that the cluster began with."""
    whole.lab.off("master1")
    try:
        rows = once(
            whole,
            lambda seen: "master1 is DOWN" in seen.get(("LB", "lb1"), "") and not any(topic == "leader" for topic, _ in seen),
        )
        seen = failing(rows)
        assert ("host", "master1") in seen
        assert ("etcd", "master1") in seen
        assert "master1 is DOWN" in seen["LB", "lb1"]
        assert rows["API by VIP", ""]["seen"].endswith("asked from master2, master3")
        assert {row["severity"] for (topic, _), row in rows.items() if topic == "write by VIP"} == {"ok"}
        code, quick = status(whole)
        assert code == 1
        assert quick["hosts"]["master1"]["etcd"] == "?"
        assert quick["hosts"]["worker1"]["node"]["ready"] is True
        assert any(each["host"] == "master1" for each in quick["findings"])
    finally:
        whole.lab.on("master1")
