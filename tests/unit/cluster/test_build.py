"""In which order hosts join, and what they join with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml

from runbooks.cluster import build, offer
from runbooks.cluster.offer import Offer
from runbooks.commands.base import Answer, Secret
from runbooks.commands.kubeadm import Admission
from runbooks.engine.steps import Together
from runbooks.errors import CommandError, ConnectionLost, RunbookError
from runbooks.inventory.model import Site
from runbooks.rules import kubeadm
from tests.support.facts import EMPTY_NODE
from tests.support.fakes import FakeHosts, master, run_on, site

pytestmark = pytest.mark.unit

VERSION = (1, 36, 3)
CA = "-----BEGIN CERTIFICATE-----\nc0ffee\n-----END CERTIFICATE-----\n"


def of(version: str) -> Site:
    kubernetes = msgspec.structs.replace(site().kubernetes, version=version)
    return msgspec.structs.replace(site(), kubernetes=kubernetes)


def joins(wanted: Site) -> list[list[str]]:
    """Return the hosts that join at the same time, group by group."""
    steps = build.init_procedure(build.Plan(wanted, wanted.nodes), wanted.control_plane[0]).steps
    groups = [item.steps for item in steps if isinstance(item, Together)]
    return [[str(step.host) for step in group] for group in groups if "join" in group[0].name]


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (of("1.36.3"), [["master2", "master3", "worker1", "worker2", "worker3"]]),
        (of("1.29.0"), [["master2", "master3", "worker1", "worker2", "worker3"]]),
        (of("1.28.9"), [["master2", "master3", "worker1", "worker2", "worker3"]]),
        (of("1.20.2"), [["master2", "master3", "worker1", "worker2", "worker3"]]),
    ],
    ids=["1.36", "1.29", "1.28", "1.20"],
)
def test_who_joins_at_the_same_time(wanted: Site, groups: list[list[str]]) -> None:
    assert joins(wanted) == groups


@pytest.mark.parametrize(("version", "restarts"), [("1.36.3", 2), ("1.33.0", 2), ("1.32.9", 0)])
def test_a_kubelet_that_asked_its_own_api_server_in_vain_is_restarted(version: str, restarts: int) -> None:
    """Of a control plane host that joins, from 1.33 on; a plan shows it."""
    run, plan = run_on(FakeHosts(), plan=True), build.Plan(of(version), of(version).nodes)
    for item in build.kubeadm_joins(plan, plan.hosts[1:], plan.offer()):
        assert isinstance(item, Together)
        for step in item.steps:
            assert step.do
            step.do(run)
    assert len([event for event in run.listener.events if "restart kubelet" in str(event)]) == restarts


@pytest.mark.parametrize(("number", "restarts"), [(2, 1), (0, 0)], ids=["control plane", "worker"])
def test_the_kubelet_is_restarted_after_the_join(monkeypatch: pytest.MonkeyPatch, number: int, restarts: int) -> None:
    done: list[str] = []
    wanted = of("1.36.3")
    host = master(number) if number else wanted.workers[0]
    plan = build.Plan(wanted, wanted.nodes)
    monkeypatch.setattr(build, "_join", lambda *_: done.append("join"))
    for module, name in (
        (build.members, "remove_traces"),
        (build.patches, "settle"),
        (build.node_settings, "give_back"),
        (build.node_settings, "forget"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(type(plan.survey), "serving", lambda *_, **__: master(1))
    run: Any = SimpleNamespace(
        plan=False, read=lambda *_: EMPTY_NODE, change=lambda host, command: done.append(f"{host} {command}")
    )
    step = build.kubeadm_join(plan, host, plan.offer())
    assert step.do
    step.do(run)
    assert done == ["join", *[f"{host} systemctl restart kubelet"] * restarts]


@pytest.mark.parametrize("joins", [False, True], ids=["init", "join"])
def test_a_reset_before_kubeadm_leaves_it_its_patches(monkeypatch: pytest.MonkeyPatch, joins: bool) -> None:
    """kubeadm-reset.sh takes the patches from hosts.yaml away: they are put there again before kubeadm runs."""
    done: list[str] = []
    left = replace(EMPTY_NODE, attempt="join" if joins else "init")
    plan = build.Plan(of("1.36.3"), of("1.36.3").nodes)
    monkeypatch.setattr(build, "_join", lambda *_: done.append("kubeadm join"))
    monkeypatch.setattr(build.patches, "settle", lambda *_: done.append("patches"))
    monkeypatch.setattr(build.members, "remove_traces", lambda *_: done.append("kubeadm reset --force"))
    for name in ("give_back", "forget"):
        monkeypatch.setattr(build.node_settings, name, lambda *_, **__: None)
    monkeypatch.setattr(type(plan.survey), "serving", lambda *_, **__: master(1))
    run: Any = SimpleNamespace(plan=False, read=lambda *_: left, change=lambda _, command: done.append(str(command)))
    host = plan.site.workers[0] if joins else master(1)
    step = build.kubeadm_join(plan, host, plan.offer()) if joins else build.kubeadm_init(plan, host, plan.offer())
    assert step.do
    step.do(run)
    assert [each.partition(" --config")[0] for each in done] == [
        "kubeadm reset --force",
        "patches",
        f"kubeadm {'join' if joins else 'init'}",
    ]


def test_the_dry_run_of_a_join_is_for_a_cluster_that_exists() -> None:
    plan = build.Plan(site(), site().nodes)
    new, old = (build.init_procedure(plan, host) for host in (master(1), None))
    tried = [[step.name for step in each if step.name.startswith("the API accepts")] for each in (new, old)]
    assert tried == [[], ["the API accepts what a join writes (dry run)"]]


# ---- what they join with


class Cluster:
    """An API host that makes tokens: "aaaaaa.…", "bbbbbb.…". Counts the uploads."""

    def __init__(self) -> None:
        self.made = self.uploads = 0
        self.fails: RunbookError | None = None  # the join

    def run_each(self, commands: Any) -> dict[object, Answer]:
        return {host: Answer(0, '{"items": []}') for host in commands}  # cluster-info, not there yet

    def run(self, host: object, command: Any) -> Answer:
        if self.fails and str(command).startswith("kubeadm join"):
            raise self.fails
        self.made += 1
        self.uploads += "CONFIG=''" not in command.program
        return Answer(0, f"{'abcdef'[self.made - 1] * 6}.{'0' * 16}\n{CA}")


def test_all_hosts_use_one_token_and_one_upload() -> None:
    """A second upload has another key: the host that has begun with the first one could not read it any more."""
    cluster, meeting = Cluster(), Barrier(3, timeout=60)
    run, own = run_on(cluster), Offer(site(), VERSION)

    def take(_: int) -> offer.Given:
        meeting.wait()
        return own.take(run, master(1), certificates=True)

    with ThreadPoolExecutor(3) as pool:
        given = list(pool.map(take, range(3)))
    assert len(set(map(id, given))) == 1
    assert (cluster.made, cluster.uploads) == (1, 1)
    assert given[0].admission.ca == CA
    assert given[0].key
    assert repr(given[0].key) == "***"


def test_workers_need_no_upload() -> None:
    """An upload puts the CAs' keys, encrypted, into the cluster: only when a control plane host joins."""
    cluster = Cluster()
    run, own = run_on(cluster), build.Plan(of("1.36.3"), of("1.36.3").nodes).offer()
    given = own.take(run, master(1), certificates=False)
    assert (cluster.made, cluster.uploads, given.key) == (1, 0, None)
    assert own.take(run, master(1), certificates=False) is given
    wanted = own.take(run, master(1), certificates=True)
    assert (cluster.made, cluster.uploads) == (2, 1)
    assert wanted.key
    assert own.take(run, master(1), certificates=False) is wanted


@pytest.mark.parametrize(
    ("error", "made"),
    [
        (CommandError("master2: `kubeadm join` exited 1", exited=1), 2),
        (ConnectionLost("master2: the session broke"), 1),  # kubeadm goes on there, and needs what it was given
    ],
    ids=["failed", "cut off"],
)
def test_a_join_that_failed_is_tried_with_something_new(error: RunbookError, made: int) -> None:
    cluster = Cluster()
    cluster.fails = error
    run, plan = run_on(cluster), build.Plan(of("1.36.3"), of("1.36.3").nodes)
    own = plan.offer()
    with pytest.raises(type(error)):
        build._join(run, plan, master(1), plan.site.workers[0], own)
    own.take(run, master(1), certificates=False)
    assert cluster.made == made


def test_a_worker_that_failed_takes_no_upload_from_the_others() -> None:
    cluster = Cluster()
    cluster.fails = CommandError("worker1: `kubeadm join` exited 1", exited=1)
    run, plan = run_on(cluster), build.Plan(of("1.36.3"), of("1.36.3").nodes)
    own = plan.offer()
    given = own.take(run, master(1), certificates=True)
    with pytest.raises(CommandError):
        build._join(run, plan, master(1), plan.site.workers[0], own)
    assert own.take(run, master(1), certificates=True) is given


def test_what_has_failed_or_is_old_is_not_used_again(monkeypatch: Any) -> None:
    cluster, now = Cluster(), [1000.0]
    monkeypatch.setattr(offer, "monotonic", lambda: now[0])
    run, own = run_on(cluster), Offer(site(), VERSION)
    first = own.take(run, master(1), certificates=True)
    own.withdraw(first)
    second = own.take(run, master(1), certificates=True)
    own.withdraw(first)  # by another host, which began with the first one
    assert own.take(run, master(1), certificates=True) is second
    assert second.key != first.key
    now[0] += offer.FRESH_S
    assert own.take(run, master(1), certificates=True) is second
    now[0] += 1
    assert own.take(run, master(1), certificates=True) is not second
    assert (cluster.made, cluster.uploads) == (3, 3)


def test_what_init_has_made_is_used_first() -> None:
    cluster, own = Cluster(), Offer(site(), VERSION)
    token, key = offer.new_token(), offer.new_key()
    own.keep(Admission(token, CA), key)
    given = own.take(run_on(cluster), master(1), certificates=True)
    assert (given.admission.token, given.key, cluster.made) == (token, key, 0)


def test_init_makes_the_token_that_it_is_given() -> None:
    token, key = offer.new_token(), offer.new_key()
    text = kubeadm.init_config(of("1.36.3"), master(1), VERSION, key, token)
    assert next(iter(yaml.safe_load_all(text)))["bootstrapTokens"] == [{"ttl": kubeadm.TOKEN_TTL, "token": str(token)}]
    with pytest.raises(ValueError, match="token") as caught:
        kubeadm.init_config(of("1.36.3"), master(1), VERSION, key, Secret("no token"))
    assert "no token" not in str(caught.value)
