"""A host with cgroup v1 joins a cluster whose kubelets do not start on it, or do."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from runbooks.cluster.build import Plan, init_procedure, join_procedure
from runbooks.cluster.cgroups import kubelets_accept_v1
from runbooks.commands import kubeadm
from runbooks.commands.base import Answer
from runbooks.commands.kubectl import url
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Site
from runbooks.recover.member import procedure
from runbooks.view.cluster import Survey
from tests.support.facts import EMPTY_NODE, worker
from tests.support.fakes import bash, master, site

pytestmark = pytest.mark.unit

NAME = "the cluster's kubelets accept cgroup v1, as hosts.yaml says"


def accepting(version: str, **kubelet: Any) -> Site:
    return msgspec.structs.replace(
        site(), kubernetes=msgspec.structs.replace(site().kubernetes, version=version, kubelet=kubelet)
    )


@pytest.mark.parametrize(("says", "cgroup", "refused"), [(True, "v1", False), (False, "v2", False), (False, "v1", True)])
def test_a_host_is_refused_when_its_kubelet_would_not_start(says: bool, cgroup: str, refused: bool) -> None:
    """master1 is a member, so it is not asked: what its kubelet runs on is no question of a join."""
    survey = Survey()
    survey.api_host = lambda run, without=None: master(1)  # type: ignore[method-assign]
    states = {
        worker(1): EMPTY_NODE,
        master(1): replace(EMPTY_NODE, files=frozenset({"kubelet.conf"}), server=url(site().endpoint.vip)),
    }

    def read_all(probes: Any) -> dict[Any, Any]:
        which = kubeadm.cgroup_version().command
        return {host: cgroup if probe.command == which else states[host] for host, probe in probes.items()}

    run: Any = SimpleNamespace(site=site(), read=lambda host, probe: says, read_all=read_all)
    step = kubelets_accept_v1(survey, [master(1), worker(1)])
    assert step.check
    if refused:
        with pytest.raises(PrecheckError, match=r"^worker1: cgroup v1, on which the kubelet would not start"):
            step.check(run)
    else:
        step.check(run)


def test_what_the_cluster_says_to_kubelets() -> None:
    def read(text: str) -> bool:
        return kubeadm.kubelets_take_cgroup_v1(master(1)).parse(Answer(0, json.dumps({"data": {"kubelet": text}})))

    assert read("kind: KubeletConfiguration\nfailCgroupV1: false\n")
    assert not read("kind: KubeletConfiguration\nfailCgroupV1: true\n")
    assert not read("kind: KubeletConfiguration\n")


def test_every_join_asks_where_it_matters_and_before_anything_is_prepared() -> None:
    yes, no = accepting("1.36.3", failCgroupV1=False), accepting("1.34.0", failCgroupV1=False)
    for the_site, there in ((yes, True), (no, False)):
        plan = Plan(the_site, (master(2), worker(1)))
        for made in (
            init_procedure(plan, None),
            join_procedure(plan),
            procedure.replacement(the_site, master(2)),
            procedure.replacement(the_site, worker(1)),
        ):
            names = [step.name for step in made]
            assert (NAME in names) == there, made.key
            if there:
                assert names.index(NAME) < next(
                    at for at, name in enumerate(names) if name.startswith(("kernel", "remove", "delete"))
                )
    assert NAME not in [step.name for step in init_procedure(Plan(yes, yes.nodes), master(1))]


def test_the_version_of_this_machine() -> None:
    probe = kubeadm.cgroup_version()
    assert probe.parse(bash(probe.command.program)) in {"v1", "v2"}
