"""The order of an upgrade's steps, workers that are left out, and what is read while kubeadm runs."""

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from runbooks.commands import node_objects, upgrade_kubeadm, upgrade_pod
from runbooks.commands.base import Answer
from runbooks.engine.steps import Failed, Step, Together
from runbooks.errors import DegradedError, HostErrors, InventoryError, OutcomeError, UnreachableError
from runbooks.inventory.load import load_site
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import NodeSeen, Seen
from runbooks.upgrade import restart, window
from runbooks.upgrade import run as running
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import Forecast
from runbooks.upgrade.kubeadm import ended_first
from runbooks.upgrade.procedure import Order, not_too_many_failed, procedure, tolerant, unless_left_out
from runbooks.upgrade.rules import choices as choosing
from runbooks.upgrade.rules import going_on, schedule
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.kubeadm_flags import leaves_etcd
from runbooks.upgrade.rules.remaining import Remaining
from tests.support import ROOT
from tests.support.fakes import FakeHosts, run_on

pytestmark = pytest.mark.unit

TO = (1, 20, 3)


@pytest.fixture(scope="module")
def site():
    return load_site(ROOT / "hosts.yaml").site


def built(site, **flags):
    """The procedure of an upgrade of the whole site, with flags."""
    masters = site.control_plane
    workers = tuple(host for host in site.nodes if not host.is_control_plane)
    order = Order(masters, workers, masters[0])
    return procedure(Upgrade(site, TO, choosing.choices(site, to="1.20.3", **flags)), order)


def at(steps, host, name):
    """The place of a step in the procedure."""
    return [step.title for step in steps].index(f"{host}: {name}")


def test_all_control_plane_hosts_have_kubeadms_step_before_any_kubelet(site):
    steps = built(site)
    kubelets = [at(steps, host, schedule.KUBELET) for host in site.nodes]
    kubeadm = [at(steps, host, schedule.APPLY if host == site.control_plane[0] else schedule.NODE) for host in site.control_plane]
    assert max(kubeadm) < min(kubelets)
    assert kubeadm == sorted(kubeadm)


def test_a_host_is_out_of_the_load_balancers_while_kubeadm_runs_and_serves_before_it_is_in_again(site):
    steps = built(site)
    for host in site.control_plane:
        apply = schedule.APPLY if host == site.control_plane[0] else schedule.NODE
        order = [at(steps, host, name) for name in (schedule.LB_OUT, apply, schedule.SERVING, schedule.LB_IN)]
        assert order == sorted(order)


def test_a_node_is_drained_before_its_kubelet_and_checked_before_the_next_one_begins(site):
    steps = built(site)
    last = 0
    for host in site.nodes:
        names = (schedule.DRAIN, schedule.KUBELET, schedule.UNCORDON, schedule.GATE)
        order = [at(steps, host, name) for name in names]
        assert order == sorted(order)
        assert order[0] > last
        last = order[-1]


def test_every_package_and_image_is_there_before_anything_is_taken_out_of_service(site):
    steps = built(site)
    fetched = [at(steps, host, schedule.FETCH) for host in site.nodes]
    assert max(fetched) < min(at(steps, host, schedule.LB_OUT) for host in site.control_plane)


def test_one_worker_alone_and_then_as_many_as_the_operator_says(site):
    groups = [item for item in built(site, workers_at_once="2").steps if isinstance(item, Together)]
    drains = [[step.host.name for step in item.steps] for item in groups if item.steps[0].name == schedule.DRAIN]
    assert drains == [["worker2", "worker3"]]


def test_only_some_hosts_touches_no_other_one(site):
    steps = list(built(site, only="worker2"))
    assert {step.host.name for step in steps if step.host} == {"worker2"}
    assert "verify the cluster" not in [step.title for step in steps]


def test_a_pause_that_was_reached_before_is_none(site):
    masters, workers = site.control_plane, site.workers
    choices = choosing.choices(site, to="1.20.3", pause_after="master2")
    order = Order(masters, workers, None, frozenset(masters[:2]))
    drained = [step.host.name for step in procedure(Upgrade(site, TO, choices), order) if step.name == schedule.DRAIN]
    assert drained == ["master3", *(host.name for host in workers)]
    with pytest.raises(InventoryError, match="leaves it out"):
        choosing.choices(site, to="1.20.3", only="worker1", pause_after="worker2")


def test_a_pause_ends_after_the_last_step_of_its_host(site):
    steps = list(built(site, pause_after="master2"))
    assert steps[-1].title == f"master2: {schedule.GATE}"
    with pytest.raises(InventoryError, match="worker9"):
        built(site, pause_after="worker9")


def test_a_pause_in_a_group_has_the_gate_of_the_group(site):
    steps = list(built(site, pause_after="worker2", workers_at_once="2"))
    assert steps[-1].title.startswith("at most 0 workers have failed, worker2, worker3")


def test_a_host_serves_again_before_the_whole_of_etcd_is_looked_at_and_the_next_one_after_it(site):
    steps = built(site)
    first, second = site.control_plane[:2]
    whole = at(steps, first, "every member of etcd is healthy")
    assert at(steps, first, schedule.LB_IN) < whole < at(steps, second, schedule.LB_OUT)


def test_the_steps_have_the_names_that_the_forecast_looks_for(site):
    names = {step.name for step in built(site)}
    planned = schedule.stages(
        [host.name for host in site.control_plane], [host.name for host in site.nodes if not host.is_control_plane], backup=False
    )
    assert {part.name for stage in planned for lane in stage for part in lane} <= names


# ---- workers that may fail


def failing(host, times):
    """A step that fails always, and counts how often it was begun."""

    def do(run):
        times.append(host)
        raise OutcomeError(f"{host}: no")

    return Step("drain", host, done=lambda run: False, do=do)


def test_as_many_workers_may_fail_as_the_operator_says_and_no_more(site):
    run = run_on(FakeHosts())
    one, two = site.workers[:2]
    upgrade = Upgrade(site, TO, Choices(to=TO, max_failed=1))
    times = []
    end = not_too_many_failed(upgrade, (one, two))
    first = tolerant(upgrade, failing(one, times))
    assert isinstance(first.do(run), Failed)
    assert first.done(run)
    assert first.do(run) is None, "its other steps do nothing"
    end.check(run)
    assert isinstance(tolerant(upgrade, failing(two, times)).do(run), Failed), "the others of its group are finished first"
    with pytest.raises(HostErrors, match="worker1"):
        end.check(run)
    assert times == [one, two]


def test_without_the_flag_the_first_failure_ends_the_run_after_its_group(site):
    upgrade = Upgrade(site, TO, Choices(to=TO))
    run = run_on(FakeHosts())
    tolerant(upgrade, failing(site.workers[0], [])).do(run)
    with pytest.raises(OutcomeError, match="no"):
        not_too_many_failed(upgrade, site.workers[:2]).check(run)


def test_a_host_that_is_away_is_left_out_too(site):
    def away(run):
        raise UnreachableError("worker1: no answer")

    upgrade = Upgrade(site, TO, Choices(to=TO, max_failed=1))
    run = run_on(FakeHosts())
    step = tolerant(upgrade, Step("drain", site.workers[0], done=away, do=lambda run: None, within=0.05))
    assert not step.done(run)
    assert isinstance(step.do(run), Failed)


def test_the_end_of_the_time_is_no_failed_worker(site):
    upgrade = Upgrade(site, TO, Choices(to=TO, max_failed=5))
    upgrade.failed[site.workers[0]] = DegradedError("not begun: it is 05:00")
    with pytest.raises(DegradedError):
        not_too_many_failed(upgrade, site.workers[:2]).check(run_on(FakeHosts()))


def test_with_a_worker_left_out_nothing_is_set_down_as_finished(site):
    upgrade = Upgrade(site, TO, Choices(to=TO, max_failed=1))
    step = unless_left_out(upgrade, Step("set", done=lambda run: False, do=lambda run: None))
    run = run_on(FakeHosts())
    assert not step.done(run)
    upgrade.failed[site.workers[0]] = OutcomeError("no")
    assert step.done(run)


def test_a_state_that_is_not_reached_in_time_leaves_the_worker_out_as_well(site):
    run = run_on(FakeHosts())
    host = site.workers[0]
    upgrade = Upgrade(site, TO, Choices(to=TO, max_failed=1))
    step = tolerant(upgrade, Step("gate", host, done=lambda run: False, within=0.05))
    assert isinstance(step.do(run), Failed)
    assert "not reached" in str(upgrade.failed[host])


def test_after_the_time_no_other_node_is_begun_and_a_begun_one_is_finished(site):
    now = datetime.now().astimezone()
    upgrade = Upgrade(site, TO, Choices(to=TO, until=now + timedelta(minutes=1)))
    begun, other = site.workers[:2]
    window.may_begin(upgrade, begun)
    upgrade.choices = replace(upgrade.choices, until=now - timedelta(minutes=1))
    window.may_begin(upgrade, begun)
    with pytest.raises(DegradedError, match=other.name):
        window.may_begin(upgrade, other)


# ---- what is read


LOOK = """unit active
attempt apply v1.20.3
log [upgrade/staticpods] Waiting for the kubelet to restart the component
manifest etcd 1200
manifest kube-scheduler 12
started host 900
started kubelet 12
parked kube-apiserver
backup kube-controller-manager /etc/kubernetes/tmp/kubeadm-backup-manifests-2026/kube-controller-manager.yaml
crashed kube-apiserver 4 Error: unknown flag: --nope
"""


def test_how_far_kubeadm_has_come():
    found = upgrade_kubeadm.parse(Answer(0, LOOK))
    assert (found.running, found.attempt, found.code) == (True, "apply v1.20.3", None)
    assert found.written == {"etcd": 1200, "kube-scheduler": 12}
    assert found.started == {"host": 900, "kubelet": 12}
    assert found.parked == ("kube-apiserver",)
    assert found.lost["kube-controller-manager"].endswith("/kube-controller-manager.yaml")
    assert found.crashed == {"kube-apiserver": "Error: unknown flag: --nope"}
    assert found.word.startswith("[upgrade/staticpods]")
    with pytest.raises(ValueError, match="unit"):
        upgrade_kubeadm.parse(Answer(0, "attempt apply v1.20.3\n"))


def test_the_probe_says_what_failed_where():
    said = "started 2\nlogs https://a:6443 ok\nexec https://a:6443 ok\nlogs https://b:6443 failed Forbidden (user=x)\n"
    found = upgrade_pod.parse(Answer(0, said))
    assert found.reason == "logs through https://b:6443: Forbidden (user=x)"
    assert upgrade_pod.parse(Answer(0, "late it is Pending: no node")).reason == "a Pod does not start: it is Pending: no node"
    with pytest.raises(ValueError, match="nothing"):
        upgrade_pod.parse(Answer(0, ""))


def test_static_pods_by_their_component():
    pod = {
        "metadata": {"labels": {"component": "etcd"}},
        "spec": {"containers": [{"image": "r/etcd:3.5.1"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert node_objects.parse_static_pods({"items": [pod]})["etcd"] == node_objects.StaticPodSeen("r/etcd:3.5.1", ready=True)
    with pytest.raises(ValueError, match="static pods"):
        node_objects.parse_static_pods({"items": [{}]})


@pytest.mark.parametrize(
    ("server", "etcd", "wanted", "left"),
    [
        ((1, 36, 2), (3, 6, 8), (3, 6, 8), True),
        ((1, 36, 2), (3, 6, 6), (3, 6, 8), False),
        ((1, 35, 9), (3, 6, 8), (3, 6, 8), False),  # between minor versions its flags change
        ((1, 36, 2), None, (3, 6, 8), False),
        (None, (3, 6, 8), (3, 6, 8), False),
        ((1, 36, 2), (3, 6, 8), None, False),
    ],
)
def test_etcd_is_left_alone_only_when_nothing_of_it_changes(server, etcd, wanted, left):
    seen = NodeSeen(name="m", control_plane=True, manifests={"etcd": etcd}, runs={"kube-apiserver": server, "etcd": (3, 6, 8)})
    assert leaves_etcd(seen, (1, 36, 3), wanted) is left


# ---- what an interrupted upgrade leaves


@pytest.mark.parametrize(
    ("topic", "host", "seen", "expected"),
    [
        ("API server", "master2", "not ready", True),
        ("node", "master1", "not Ready", False),
        ("node", "master2, master1", "not Ready", False),
        ("LB", "lb1", "master2 is DOWN (* L7TOUT)", True),
        ("LB", "lb1", "master1 is DOWN (* L7TOUT)", False),
        ("drains", "master2", "blocked", False),
        ("settings", "master2", "unknown flag", False),
        ("node", "", "no node", False),
    ],
)
def test_only_what_an_interrupted_upgrade_breaks_on_its_own_host_is_expected(topic, host, seen, expected):
    found = [Finding("fail", topic=topic, host=host, seen=seen)]
    assert going_on.refusals(found, {"master2"}) == ([] if expected else found)
    assert going_on.refusals(found, ()) == found


def test_a_host_that_was_taken_out_by_the_upgrade_itself_is_expected_to_be_out():
    found = [Finding("fail", topic="LB", host="lb1", seen=f"{host} is MAINT ()") for host in ("master1", "master2")]
    assert going_on.refusals(found, (), {"master1"}) == found[1:]


# ---- the order of the hosts


def forecasting(site, *, applied, in_work=()):
    nodes = [NodeSeen(name=host.name, control_plane=host.is_control_plane) for host in site.nodes]
    left = Remaining((), (), applied=applied)
    return Forecast(
        since=(1, 20, 2),
        target=TO,
        state=None,
        versions=Seen(nodes=tuple(nodes)),
        left=left,
        leader=site.control_plane[2],
        in_work=frozenset(in_work),
    )


def progress(attempt):
    return upgrade_kubeadm.parse(Answer(0, f"unit inactive\nattempt {attempt}\n"))


def ordered(site, monkeypatch, *, applied=False, only="", attempts=None):
    monkeypatch.setattr(running, "_finished", lambda one, run, host: False)
    one = Upgrade(site, TO, choosing.choices(site, to="1.20.3", only=only))
    found = running.order(one, run_on(FakeHosts()), forecasting(site, applied=applied), attempts or {})
    return found.apply and found.apply.name, [host.name for host in found.control_plane]


def test_the_first_of_the_chosen_hosts_takes_apply(site, monkeypatch):
    assert ordered(site, monkeypatch) == ("master1", ["master1", "master2", "master3"])
    assert ordered(site, monkeypatch, only="master2")[0] == "master2"
    assert ordered(site, monkeypatch, only="worker1")[0] is None
    assert ordered(site, monkeypatch, applied=True)[0] is None


def test_an_apply_that_has_not_ended_well_is_done_again_on_its_host_first(site, monkeypatch):
    third = site.control_plane[2]
    there = {third: progress("apply v1.20.3")}
    for applied in (False, True):
        assert ordered(site, monkeypatch, applied=applied, attempts=there) == ("master3", ["master3", "master1", "master2"])
    node = ordered(site, monkeypatch, applied=True, attempts={third: progress("node v1.20.3")})
    assert node == (None, ["master3", "master1", "master2"])


def test_a_node_that_an_earlier_run_has_cordoned_comes_first(site, monkeypatch):
    monkeypatch.setattr(running, "_finished", lambda one, run, host: False)
    one = Upgrade(site, TO, Choices(to=TO))
    found = running.order(one, run_on(FakeHosts()), forecasting(site, applied=True, in_work=("master3", "worker2")), {})
    assert [host.name for host in found.control_plane] == ["master3", "master1", "master2"]
    assert [host.name for host in found.workers] == ["worker2", "worker1", "worker3"]


# ---- which API server ends before its etcd


def test_an_api_server_is_ended_before_kubeadm_only_where_etcd_restarts_and_another_one_serves(site):
    master, worker = site.control_plane[0], site.nodes[-1]
    assert ended_first(site, master, ()) == f"https://{master.address}:6443"
    assert not ended_first(site, master, ("--etcd-upgrade=false",))
    assert not ended_first(site, worker, ())
    alone = msgspec.structs.replace(site, hosts=tuple(host for host in site.hosts if host == master or not host.is_control_plane))
    assert not ended_first(alone, master, ())


# ---- a kubelet of another minor version


@pytest.mark.parametrize(("runs", "away"), [((1, 20, 2), False), ((1, 19, 16), True), (None, True)])
def test_a_host_is_out_of_the_load_balancers_while_another_minor_version_restarts_its_containers(site, runs, away):
    assert restart.restarts(Upgrade(site, TO, Choices(to=TO)), NodeSeen(name="m", control_plane=True, kubelet_runs=runs)) is away
    steps = built(site)
    host = site.control_plane[1]
    order = [at(steps, host, name) for name in (schedule.DRAIN, f"{schedule.LB_OUT} {restart.WHY}", schedule.KUBELET)]
    order += [at(steps, host, f"{name} again") for name in (schedule.SERVING, schedule.LB_IN)] + [
        at(steps, host, schedule.UNCORDON)
    ]
    assert order == sorted(order)
