"""What of a set is kept from running Pods on the twin: every kind, whoever owns it."""

from __future__ import annotations

import json

import pytest

from rehearse.rules import workloads
from runbooks.errors import OutcomeError

pytestmark = pytest.mark.unit


def thing(name, *, owner=None, namespace="shop", **more):
    """An object; ``owner``: kind and name of its controller."""
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    return {"metadata": {"namespace": namespace, "name": name, "ownerReferences": owners}, **more}


@pytest.mark.parametrize("kind", workloads.KINDS)
def test_every_kind_that_makes_pods_is_stilled_and_known_to_kubectl(kind):
    kept = {kind: [thing("a")]}
    assert workloads.stilled(kept) == ((kind, "shop", "a"),)
    assert (kind in workloads.PATCHES) != (kind in workloads.SCALED)


def test_a_workload_that_an_operator_owns_is_stilled_as_its_operator_does_not_run():
    kept = {
        "statefulsets.apps": [thing("db", owner=("Database", "db"))],
        "replicasets.apps": [thing("canary-1", owner=("Rollout", "canary")), thing("web-1", owner=("Deployment", "web"))],
        "deployments.apps": [thing("web")],
    }
    assert set(workloads.stilled(kept)) == {
        ("statefulsets.apps", "shop", "db"),
        ("replicasets.apps", "shop", "canary-1"),
        ("deployments.apps", "shop", "web"),
    }


def test_jobs_are_stilled_whoever_has_started_them_unless_they_have_ended():
    ended = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    begun = {"status": {"conditions": [{"type": "Complete", "status": "False"}], "active": 1}}
    kept = {"jobs.batch": [thing("nightly-1", owner=("CronJob", "nightly"), **begun), thing("once"), thing("over", **ended)]}
    assert workloads.stilled(kept) == (("jobs.batch", "shop", "nightly-1"), ("jobs.batch", "shop", "once"))


def test_the_twins_own_run_on():
    kept = {
        "daemonsets.apps": [
            thing("kube-proxy", namespace="kube-system"),
            thing("kube-proxy"),
            thing("logs", namespace="kube-system"),
        ]
    }
    assert workloads.stilled(kept) == (("daemonsets.apps", "shop", "kube-proxy"), ("daemonsets.apps", "kube-system", "logs"))


def test_pods_that_no_workload_of_the_twin_ends_are_named():
    static = thing("kube-apiserver-master1", owner=("Node", "master1"), namespace="kube-system")
    static["metadata"]["annotations"] = {workloads.MIRROR: "x"}
    kept = {
        "replicasets.apps": [thing("web-1", owner=("Deployment", "web"))],
        "jobs.batch": [thing("once")],
        "pods": [
            static,
            thing("web-1-a", owner=("ReplicaSet", "web-1"), status={"phase": "Running"}),
            thing("once-a", owner=("Job", "once")),
            thing("bare", status={"phase": "Running"}),
            thing("waits", status={"phase": "Pending"}),
            thing("over", status={"phase": "Succeeded"}),
            thing("broken", status={"phase": "Failed"}),
            thing("broker-0", owner=("Broker", "broker"), status={"phase": "Running"}),
            thing("batch-0", owner=("Job", "of-another-group"), status={"phase": "Running"}),
        ],
    }
    assert workloads.alone(kept) == tuple(("shop", name) for name in ("bare", "waits", "broker-0", "batch-0"))


def test_a_cronjob_is_suspended_before_its_jobs_are_stilled():
    places = [("deployments.apps", "a", "x"), ("jobs.batch", "a", "n-1"), ("cronjobs.batch", "b", "n")]
    assert [kind for kind, _, _ in workloads.batches(places)] == ["cronjobs.batch", "jobs.batch", "deployments.apps"]
    many = [("jobs.batch", "a", str(number)) for number in range(120)]
    assert [len(names) for _, _, names in workloads.batches(many)] == [50, 50, 20]
    assert json.loads(workloads.PATCHES["jobs.batch"]) == {"spec": {"parallelism": 0}}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('Error from server (NotFound): cronjobs.batch "x" not found', []),
        ("Error from server (Forbidden): quota", ["Error from server (Forbidden): quota"]),
        (
            'Error from server: admission webhook "a.example" denied the request: no',
            ['Error from server: admission webhook "a.example" denied the request: no'],
        ),
    ],
)
def test_what_the_api_server_does_not_take_is_told(said, told):
    assert workloads.refused(said) == told


@pytest.mark.parametrize(
    "said",
    [
        "The connection to the server 10.1.1.100:6443 was refused - did you specify the right host or port?",
        "Unable to connect to the server: EOF",
        "Error from server: etcdserver: request timed out",
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    ],
)
def test_a_server_that_does_not_answer_is_asked_again(said):
    with pytest.raises(OutcomeError):
        workloads.refused(said)
