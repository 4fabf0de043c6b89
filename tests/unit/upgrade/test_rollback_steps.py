"""The procedure that takes a host back, on hosts that are directories: the real script, a kubelet that starts what has a manifest.

Load balancers, etcd's health and kubectl are stand-ins; the lab has them (tests/lab/upgrade/test_rollback.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from runbooks.commands.base import Answer
from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.engine import loop
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import CommandError, InventoryError, PrecheckError
from runbooks.upgrade import kept, rollback, rollback_steps
from runbooks.upgrade.rules.rollback import ETCD, ORDER
from runbooks.view.cluster import Survey
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import BashHosts, master, run_on, site, without_waiting
from tests.unit.commands.test_upgrade_backups import manifest

pytestmark = pytest.mark.unit

OLD, NEW = "1.36.2", "1.36.3"
M1 = master(1)
TITLES = [f"{M1}: put {pod} back" for pod in ORDER]


class Hosts(BashHosts):
    """A directory for each host. ``kubelets``: the version of each host's kubelet; ``config``: that in kubeadm-config.

    ``dying``: so many changes are made before the connection is lost, each time after its effect.
    """

    def __init__(self, top):
        super().__init__(top)
        self.kubelets = {host.name: OLD for host in site().nodes}
        self.config, self.changes, self.dying, self.parked = NEW, [], -1, []
        (top / "bin").mkdir(exist_ok=True)
        (top / "bin/pgrep").write_text("#!/bin/sh\n")
        (top / "bin/pgrep").chmod(0o755)

    def place(self, host, version, etcd="3.6.8-0"):
        there = self.top / host.name / "etc/kubernetes/manifests"
        there.mkdir(parents=True, exist_ok=True)
        for pod in (*ORDER, ETCD):
            (there / f"{pod}.yaml").write_text(manifest(pod, etcd if pod == ETCD else f"v{version}"))
        (self.top / host.name / "var/lib/kubelet").mkdir(parents=True, exist_ok=True)
        (self.top / host.name / "var/lib/kubelet/config.yaml").write_text(f"# of kubeadm {version}\n")

    def images(self, host):
        found = (self.top / host.name / "etc/kubernetes/manifests").glob("*.yaml")
        return {path.stem: re.search(r'image: "(.*)"', path.read_text())[1] for path in found}

    def versions(self, host):
        return {pod: image.rpartition(":")[2].removeprefix("v") for pod, image in self.images(host).items()}

    def run(self, host, command):
        shown = str(command)
        if shown == "versions-look":
            return Answer(0, self._versions(host))
        if shown == "verify-cluster":
            data = {"data": {"ClusterConfiguration": f"kubernetesVersion: v{self.config}\n"}}
            return Answer(0, f"clock 1\n{KUBEADM_CONFIG} 0 {json.dumps(data)}\n")
        if shown.startswith("static-pods look"):
            pods = [f"pod etcd on {self.versions(host)[ETCD]}", *(f"pod {name} parked -" for name in self.parked)]
            return Answer(0, "\n".join(pods) + "\n")
        if not shown.endswith(" look"):
            self.changes.append(f"{host} {shown}")
        if shown.startswith("kubeadm-config: "):
            self.config = shown.rpartition("v")[2]
            answer = Answer(0, "")
        else:
            answer = self._bash(host, command)
        if not shown.endswith(" look") and self.dying >= 0:
            self.dying -= 1
            if self.dying < 0:
                raise KeyboardInterrupt
        return answer

    def _bash(self, host, command):
        top = self.top / host.name
        program = re.sub(r"(?<![\w/])/(?=etc/kubernetes|var/lib/(?:kubelet|ha-runbooks))", f"{top}/", command.program)
        here = SimpleNamespace(program=f"PATH={self.top}/bin:$PATH\n{program}", expect=command.expect)
        answer = super().run(host, here)
        return Answer(answer.exited, answer.stdout.replace(str(top), ""), answer.stderr)

    def _versions(self, host):
        lines = ["joined yes", "kernel 6.1.0"]
        lines += [f"{key} kubelet Kubernetes v{self.kubelets[host.name]}" for key in ("program", "runs")]
        if host.is_control_plane:
            lines += [f"image {pod} {image}" for pod, image in self.images(host).items()]
            lines += [f"runs {pod} v{version}" for pod, version in self.versions(host).items() if pod != ETCD]
            lines += [f"runs etcd etcd Version: {self.versions(host).get(ETCD, '').partition('-')[0]}"]
        return "\n".join(lines) + "\n"


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """master1 is upgraded, its manifests of before are kept; the others are not."""
    made = Hosts(tmp_path)
    for host in site().control_plane:
        made.place(host, OLD)
    go(made, [kept.keep(M1, (1, 36, 3))])
    made.place(M1, NEW)
    made.changes.clear()
    out = set()

    def lb(state, host):
        def do(run):
            made.changes.append(f"{host} {state}")
            out.add(host) if state == "out" else out.discard(host)

        return Step(f"lb {state}", host, done=lambda run: (host in out) == (state == "out"), do=do)

    monkeypatch.setattr(rollback_steps.traffic, "take_out", lambda host: lb("out", host))
    monkeypatch.setattr(rollback, "let_in", lambda host: lb("in", host))
    well = Step("etcd and its API server are healthy", M1, done=lambda run: True)
    monkeypatch.setattr(rollback_steps.restart, "wait_healthy", lambda renewal, host: well)
    monkeypatch.setattr(rollback_steps.restart, "pause_refusal", lambda renewal, run, host: "")
    monkeypatch.setattr(rollback_steps, "_move_leader", lambda run, host: None)
    monkeypatch.setattr(Survey, "control_plane", lambda self, run: dict.fromkeys(site().control_plane))
    monkeypatch.setattr(Survey, "serving", lambda self, run, **more: master(2))
    return made


def go(hosts, steps):
    run = run_on(hosts)
    with without_waiting():
        loop.carry_out(run, Procedure("toy.run", "A toy", steps))
    return run


def go_back(hosts, host=M1):
    run = run_on(hosts)
    with without_waiting():
        loop.carry_out(run, rollback.procedure(site(), host, rollback.decided(run, host), Survey()))
    return run


def test_a_host_goes_back_out_of_the_load_balancers_and_the_record_follows(hosts):
    run = go_back(hosts)
    assert hosts.versions(M1) == {**dict.fromkeys(ORDER, OLD), ETCD: "3.6.8-0"}
    there = "/var/lib/ha-runbooks/upgrade/before/1.36.2"
    assert hosts.changes == [
        "master1 out",
        *(f"master1 cp {there}/{pod}.yaml /etc/kubernetes/manifests/{pod}.yaml" for pod in ORDER),
        f"master1 cp {there}/kubelet/config.yaml /var/lib/kubelet/config.yaml",
        "master1 in",
        "master2 kubeadm-config: kubernetesVersion: v1.36.2",
    ]
    assert hosts.config == OLD
    assert run.listener.of("note") == ["master1"]
    hosts.changes.clear()
    again = go_back(hosts)
    assert hosts.changes == []
    assert [text for kind, *_, text in again.listener.events if kind == "note"] == [
        "its control plane is at 1.36.2 already, as in the newest backup"
    ]


@pytest.mark.parametrize("number", range(5))
def test_interrupted_after_any_change_the_same_command_goes_on(hosts, number):
    hosts.dying = number
    with pytest.raises(KeyboardInterrupt):
        go_back(hosts)
    hosts.dying = -1
    go_back(hosts)
    assert hosts.versions(M1) == {**dict.fromkeys(ORDER, OLD), ETCD: "3.6.8-0"}
    assert hosts.config == OLD
    assert sum(" cp " in change for change in hosts.changes) == 4, "nothing is put back twice"
    assert [change for change in hosts.changes if change in {"master1 out", "master1 in"}] == ["master1 out", "master1 in"]


def test_while_another_host_has_the_newer_version_the_record_stays(hosts):
    hosts.place(master(2), NEW)
    go_back(hosts)
    assert (hosts.versions(M1)["kube-apiserver"], hosts.config) == (OLD, NEW)


def test_a_plan_names_every_change_and_makes_none(hosts):
    run = run_on(hosts, plan=True)
    loop.carry_out(run, rollback.procedure(site(), M1, rollback.decided(run, M1), Survey()))
    assert hosts.versions(M1)["kube-apiserver"] == NEW
    assert sum(" cp " in change for change in run.listener.of("would change")) == 4
    assert [change for change in hosts.changes if " cp " in change] == []


def test_another_patch_of_etcd_goes_back_last_and_its_new_container_is_waited_for(hosts):
    hosts.place(M1, NEW, etcd="3.6.9-0")
    go_back(hosts)
    assert hosts.versions(M1)[ETCD] == "3.6.8-0"
    puts = [change for change in hosts.changes if "/manifests/" in change]
    assert puts[-1].endswith("/etc/kubernetes/manifests/etcd.yaml")


def test_etcd_does_not_stop_when_the_quorum_needs_it(hosts, monkeypatch):
    monkeypatch.setattr(rollback_steps.restart, "pause_refusal", lambda renewal, run, host: "master2 is down")
    hosts.place(M1, NEW, etcd="3.6.9-0")
    with pytest.raises(PrecheckError, match="etcd must not be restarted: master2 is down"):
        go_back(hosts)
    assert hosts.versions(M1)[ETCD] == "3.6.9-0"


def test_the_only_api_server_that_is_ready_does_not_stop(hosts, monkeypatch):
    ready = replace(EMPTY_NODE, files=frozenset({"kubelet.conf"}), api="ok")
    states = {M1: ready, master(2): replace(ready, api="refused"), master(3): CommandError("master3: no")}
    monkeypatch.setattr(Survey, "control_plane", lambda self, run: states)
    with pytest.raises(PrecheckError, match="its API server is the only one that is ready"):
        go_back(hosts)
    assert hosts.changes == [], "it is not taken out of the load balancers either"
    states[M1] = replace(ready, api="refused")  # one that does not serve costs nobody anything
    go_back(hosts)
    assert hosts.versions(M1)["kube-apiserver"] == OLD


def test_newer_kubelets_kubeadm_at_work_and_silent_hosts_stop_it_before_anything(hosts):
    hosts.kubelets["worker1"] = NEW
    with pytest.raises(PrecheckError, match=r"worker1 \(1.36.3\)") as found:
        go_back(hosts)
    assert "install kubelet 1.36.2" in found.value.hint
    hosts.kubelets["worker1"] = OLD
    (hosts.top / "bin/pgrep").write_text("#!/bin/sh\necho 7 kubeadm upgrade node\n")
    with pytest.raises(PrecheckError, match="kubeadm still runs: master1: kubeadm upgrade node"):
        go_back(hosts)
    (hosts.top / "bin/pgrep").write_text("#!/bin/sh\n")
    hosts.parked.append("kube-scheduler")
    with pytest.raises(PrecheckError, match="kube-scheduler was stopped on purpose"):
        go_back(hosts)
    hosts.broken["master3"] = CommandError("master3: no")
    with pytest.raises(PrecheckError, match="what runs on master3 could not be read"):
        go_back(hosts)
    assert hosts.changes == []


@pytest.mark.parametrize("name", ["", "master1,master2"])
def test_one_host_at_a_time(name):
    with pytest.raises(InventoryError, match="name one control plane host"):
        rollback.rollback(SimpleNamespace(site=site()), name)


# ---- what upgrade.run keeps


def test_what_is_kept_is_what_was_in_force_before_kubeadm_began(hosts):
    """Not again when a part is at the target; again when the manifests were edited since; etcd's may be newer already."""
    for change in ("kube-scheduler", "kube-apiserver"):
        hosts.changes.clear()
        hosts.place(M1, OLD)
        path = hosts.top / "master1/etc/kubernetes/manifests" / f"{change}.yaml"
        path.write_text(manifest(change, f"v{NEW}"))
        go(hosts, [kept.keep(M1, (1, 36, 3))])
        assert hosts.changes == []
        path.unlink()
        if change == "kube-apiserver":  # being replaced at this moment
            go(hosts, [kept.keep(M1, (1, 36, 3))])
            assert hosts.changes == []
    hosts.place(M1, OLD, etcd="3.6.9-0")
    go(hosts, [kept.keep(M1, (1, 36, 3))])
    assert hosts.changes == []
    path = hosts.top / "master1/etc/kubernetes/manifests/kube-scheduler.yaml"
    path.write_text(path.read_text() + "# edited\n")
    go(hosts, [kept.keep(M1, (1, 36, 3))])
    assert hosts.changes == ["master1 upgrade-backups keep 1.36.2"]
    go(hosts, [kept.forget(M1)])
    go(hosts, [kept.forget(M1)])
    assert hosts.changes == ["master1 upgrade-backups keep 1.36.2", "master1 upgrade-backups drop"]
