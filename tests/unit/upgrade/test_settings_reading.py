"""Reading what hosts and cluster are started with, through a run; and the real script's answer on a host without Kubernetes, judged."""

from __future__ import annotations

import json

import pytest

from runbooks.commands import settings_look
from runbooks.commands.base import Answer
from runbooks.errors import CommandError
from runbooks.rules.finding import at_least
from runbooks.upgrade import settings
from runbooks.upgrade.rules.accepted import findings
from runbooks.view.cluster import Survey
from tests.support.fakes import BashHosts, lost, master, one_by_one, run_on, site
from tests.unit.commands.test_kubeadm_config import CLUSTER, config_map

pytestmark = pytest.mark.unit

KEPT = {"kind": "List", "items": [config_map("kubeadm-config", ClusterConfiguration=CLUSTER)]}


class Hosts(BashHosts):
    """Hosts whose script is run by bash here; kubectl has an answer that is given."""

    def __init__(self, top, said):
        super().__init__(top)
        self.said = said

    def run(self, host, command):
        if str(command).startswith("kubectl"):
            self.sent.append(f"{host} {command}")
            if isinstance(self.said, CommandError):
                raise self.said
            return Answer(0, self.said)
        return super().run(host, command)

    def run_each(self, commands):
        return one_by_one(self.run, commands)


@pytest.fixture
def surveyed(monkeypatch):
    survey = Survey()
    monkeypatch.setattr(survey, "serving", lambda run: master(1))
    return survey


def test_hosts_and_cluster_are_read_and_what_is_not_there_is_a_failure(tmp_path, surveyed):
    hosts = Hosts(tmp_path, json.dumps(KEPT))
    hosts.down.add("worker2")
    facts = settings.look(run_on(hosts), surveyed, site().nodes, 34)
    assert list(facts.hosts) == list(site().nodes)
    assert facts.cluster.api == "kubeadm.k8s.io/v1beta4"
    (asked,) = {line for line in hosts.sent if "kubectl" in line}
    assert asked == (
        "master1 kubectl -n kube-system get configmap/kubeadm-config configmap/kube-proxy configmap/kubelet-config"
        " daemonset.apps/kube-proxy --ignore-not-found -o json"
    )
    failed = at_least("fail", findings(facts, (1, 34), (1, 35)))
    assert {each.host for each in failed} == {"", *(each.name for each in site().nodes)}
    assert {each.seen for each in failed if each.host == "worker2"} == {str(lost(site().host("worker2"))).partition(": ")[2]}
    assert not [each for each in findings(facts, (1, 34), (1, 35)) if each.severity == "ok"]


@pytest.mark.parametrize("said", ["{}", "no", CommandError("master1: refused", hint="do this")])
def test_a_cluster_that_gives_no_answer_is_a_failure(tmp_path, surveyed, said):
    facts = settings.look(run_on(Hosts(tmp_path, said)), surveyed, [], 34)
    (failed,) = at_least("fail", findings(facts, (1, 34), (1, 35)))
    assert failed.seen.startswith("what kubeadm keeps in the cluster could not be read: ")
    assert failed.fix


def test_the_command_is_shown_as_what_a_person_would_type():
    assert str(settings_look.look().command) == "systemctl cat kubelet; cat /etc/kubernetes/manifests/*"
