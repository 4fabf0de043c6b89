"""What can be rehearsed, what is broken before, which versions the twin needs, and what is foreseen."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

import tasks
from rehearse.rules import apis, choices, drained, forecast, limits, procedures, report, webhooks
from rehearse.rules.choices import Choices
from rehearse.rules.outcome import Outcome, own
from rehearse.rules.plain import plain
from rehearse.rules.report import lines, page
from runbooks.commands.drain_objects import Budget, Cluster, Hook, Node, Pod
from runbooks.commands.selectors import of_labels
from runbooks.engine.history import RunRecord, StepRecord
from runbooks.engine.tasks import Given
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.load import load_site
from runbooks.render import ROOT
from runbooks.report.page import html
from runbooks.rules.finding import Finding

pytestmark = pytest.mark.unit

SITE = load_site(ROOT / "hosts.yaml").site
BEGUN = datetime(2026, 11, 30, 12, tzinfo=UTC)


def run(procedure, *steps, outcome="ok", error=""):
    """A run with (title, outcome, seconds) as its steps, one after the other."""
    seconds = sum(took for _, _, took in steps)
    records = tuple(StepRecord(title=title, outcome=how, begun=BEGUN, seconds=took) for title, how, took in steps)
    return RunRecord(
        run=procedure,
        procedure=procedure,
        title="",
        command=f"inv {procedure}",
        begun=BEGUN,
        ended=BEGUN + timedelta(seconds=seconds),
        outcome=outcome,
        error=error,
        planned=tuple(title for title, _, _ in steps),
        steps=records,
    )


# ---- what can be rehearsed


@pytest.mark.parametrize(
    "name", ["lab.up", "site.trust", "runs.show", "backup.schedule", "backup.prune", "backup.decrypt", "monitor.apply"]
)
def test_what_is_about_this_machine_is_refused(name):
    with pytest.raises(PrecheckError, match="cannot be rehearsed"):
        procedures.refuse(Given(name, changes=True))


def test_what_only_looks_is_refused():
    with pytest.raises(PrecheckError, match="only looks"):
        procedures.refuse(Given("etcd.status", changes=False))


def test_every_name_in_the_tables_is_a_command():
    names = {*procedures.DRAINS, *procedures.CONFIRMED, *procedures.NEEDS_SET, *choices.TARGET}
    assert names | {each for each in procedures.ONLY_HERE if "." in each} <= set(tasks.ns["rehearse"].others)


def test_flags_that_both_commands_have_mean_the_same():
    own_names = {name for each in tasks.ns["rehearse"].get_arguments() for name in each.names}
    shared = set()
    for other in tasks.ns["rehearse"].others.values():
        if other.can_plan:
            shared |= {name for each in other.get_arguments() for name in each.names} & own_names
    assert shared == {"backup", "identity", "json"}


def test_no_procedure_that_can_be_rehearsed_writes_where_the_operator_says():
    """`--to DIRECTORY` of backup.decrypt is a place on this machine. A new flag of this kind has to be looked at."""
    places = set()
    for name, other in tasks.ns["rehearse"].others.items():
        with suppress(PrecheckError):
            procedures.refuse(Given(name, changes=other.can_plan))
            places |= {
                f"{name} --{each.name}"
                for each in other.get_arguments()
                if each.kind is not bool and {"file", "directory"} & set((each.help or "").lower().replace(":", " ").split())
            }
    assert places == {"recover.control-plane --identity", "recover.etcd-quorum --identity"}  # only read


def test_a_procedure_that_asks_is_answered():
    words = procedures.words_for(Given("recover.etcd-quorum"), SITE, backup="20260101T000000Z", identity="/key")
    assert words == ("recover.etcd-quorum", "--yes-restore", SITE.name, "--backup", "20260101T000000Z", "--identity", "/key")
    given = Given("recover.etcd-quorum", ("--from-member", "master1", "--yes-restore", "x"))
    assert procedures.words_for(given, SITE, backup="a") == (
        "recover.etcd-quorum",
        "--from-member",
        "master1",
        "--yes-restore",
        "x",
    )


# ---- what is broken before


@pytest.mark.parametrize(
    ("given", "lose", "expected"),
    [
        (Given("certs.renew"), (), []),
        (Given("recover.etcd-member", ("--member", "master2")), (), ["master2: etcd's data is deleted"]),
        (Given("recover.etcd-member", ("--member", "10.1.1.102")), (), ["master2: etcd's data is deleted"]),
        (Given("recover.etcd-member", ("--member", "master2", "--rejoin")), (), []),
        (Given("recover.etcd-member", ("--member", "master2")), ("master2",), ["master2: an empty machine of that name"]),
        (Given("recover.etcd-quorum"), (), ["master1, master2, master3: etcd's data is deleted"]),
        (Given("recover.lb", ("--host", "lb1")), (), ["lb1: an empty machine of that name"]),
    ],
)
def test_a_recovery_has_something_to_recover(given, lose, expected):
    assert list(map(str, procedures.faults(given, SITE, lose))) == expected


def test_which_hosts_a_whole_control_plane_has_lost_is_no_choice():
    with pytest.raises(InventoryError, match="does not go with"):
        procedures.faults(Given("recover.control-plane"), SITE, ("master1",))


def test_a_member_that_no_host_is_cannot_be_broken():
    with pytest.raises(InventoryError, match="8e9e05c52164694d"):
        procedures.faults(Given("recover.etcd-member", ("--member", "8e9e05c52164694d")), SITE)


# ---- hosts and versions


def test_load_balancers_control_plane_and_one_worker_get_a_twin():
    def names(**flags):
        given = flags.pop("given", Given("certs.renew"))
        return [host.name for host in choices.hosts(SITE, Choices(**flags), given) if host.name.startswith("worker")]

    assert names() == ["worker1"]
    assert names(workers="none") == []
    assert names(workers="worker2") == ["worker2"]
    assert names(given=Given("cluster.drain", ("--host", "worker2"))) == ["worker1", "worker2"]
    with pytest.raises(InventoryError):
        names(workers="master1")
    assert names(given=Given("upgrade.run", ("--to", "1.20.3", "--pause-after", "worker2"))) == ["worker1", "worker2"]
    everyone = choices.hosts(SITE, Choices(workers="none"), Given("certs.renew"))
    assert {host.name for host in everyone} == {host.name for host in (*SITE.load_balancers, *SITE.control_plane)}


def test_the_twin_begins_with_the_version_of_the_set():
    up = Given("upgrade.run", ("--to", "v1.20.3"))
    assert choices.target(up) == "1.20.3"
    assert choices.sources(Choices(), up, "1.20.2", ["v1.20.2", "v1.20.3"]) == ("debian", ())
    assert choices.sources(Choices(), up, "1.20.2", ["v1.20.2"]) == ("debian", ("1.20.3",))
    assert choices.sources(Choices(kubernetes="/a", upgrade=("/b",)), up, "1.33.1", ["v1.20.2"]) == ("/a", ("/b",))
    choices.refuse_versions(["v1.20.2", "v1.20.3"], "1.20.2", "1.20.3")
    with pytest.raises(InventoryError, match=r"the set is of Kubernetes 1\.35\.1"):
        choices.refuse_versions(["v1.20.2"], "1.35.1", "")
    with pytest.raises(InventoryError, match=r"goes to Kubernetes 1\.20\.4"):
        choices.refuse_versions(["v1.20.2", "v1.20.3"], "1.20.2", "1.20.4")


# ---- time


def test_past_runs_of_the_real_site_decide_and_scale_the_rest():
    real = [
        run("recover.etcd-member", ("join", "changed", 40.0), ("wipe", "changed", 4.0)),
        run("cluster.init", ("up", "changed", 16.0)),
    ]
    twin = [
        run(
            "recover.etcd-member",
            ("join", "changed", 20.0),
            ("wipe", "changed", 2.0),
            ("up", "changed", 8.0),
            ("new", "changed", 10.0),
        )
    ]
    known = forecast.past(real)
    scale = forecast.factor(twin, known)
    assert (scale.value, scale.steps) == (2.0, 3)
    steps = forecast.forecast(twin, known, scale)
    assert [(each.title, each.real_s) for each in steps] == [("join", 40.0), ("wipe", 4.0), ("up", 16.0), ("new", 20.0)]
    assert steps[0].basis == "1 past run"
    assert "x 2.00" in steps[3].basis
    assert forecast.total(twin, steps) == (40.0, 80.0)


def test_a_step_that_its_host_never_had_is_foreseen_from_other_hosts():
    known = forecast.past(
        [
            run("recover.etcd-member", ("master1: join", "changed", 10.0), ("master2: join", "changed", 20.0)),
            run("cluster.init", ("master3: join", "changed", 90.0), ("master3: wipe", "changed", 3.0)),
        ]
    )
    asked = ("master1: join", "master3: join", "worker1: wipe", "master3: else")
    assert [list(forecast.before(known, "recover.etcd-member", title)) for title in asked] == [[10.0], [10.0, 20.0], [3.0], []]


def test_without_past_runs_the_twins_own_time_is_said_to_be_that():
    twin = [run("certs.renew", ("renew", "changed", 3.0), ("done", "done before", 0.0))]
    (step,) = forecast.forecast(twin, {}, forecast.factor(twin, {}))
    assert (step.real_s, step.basis) == (3.0, "the twin's own time")
    assert forecast.total([], ()) == (0, 0)


def test_two_steps_make_no_factor_and_failures_no_past():
    real = [run("a", ("x", "failed", 100.0), ("y", "changed", 2.0), ("z", "changed", 2.0))]
    assert (
        forecast.factor(
            [run("a", ("x", "changed", 1.0), ("y", "changed", 1.0), ("z", "changed", 1.0))], forecast.past(real)
        ).steps
        == 0
    )


# ---- the API


def test_what_the_target_no_longer_serves_is_found_by_kind_and_by_writer():
    found = {
        "metadata": {
            "managedFields": [{"apiVersion": "policy/v1beta1", "manager": "helm"}],
            "annotations": {apis.LAST: '{"apiVersion":"policy/v1beta1"}'},
        }
    }
    wanted = apis.used(
        {("policy/v1", "poddisruptionbudgets"): 3, ("v1", "pods"): 0}, Counter(apis.writers("poddisruptionbudgets", found))
    )
    assert wanted.versions == {"policy/v1", "policy/v1beta1"}
    before = {"policy/v1": frozenset({"poddisruptionbudgets"}), "policy/v1beta1": frozenset({"poddisruptionbudgets"})}
    rows = apis.broken(wanted, before, before | {"policy/v1beta1": frozenset()})
    assert len(rows) == 2
    assert all("policy/v1beta1" in row for row in rows)
    assert apis.broken(wanted, before, before) == []
    assert apis.broken(wanted, {}, {}) == []  # never served here: no finding, but a limit
    assert apis.absent(wanted, {}) == ["poddisruptionbudgets in policy/v1"]


def test_an_annotation_that_is_no_json_is_nobodys_writing():
    assert apis.writers("pods", {"metadata": {"annotations": {apis.LAST: "no json"}}}) == []
    assert apis.writers("pods", {"metadata": {"annotations": {apis.LAST: "[]"}}}) == []


# ---- workloads


def cluster(*, ready=True, healthy=1):
    node = {
        name: Node(name=name, labels={}, taints=(), cordoned=False, marked=False, ready=True, allocatable={"pods": 110000})
        for name in ("master1", "worker1")
    }
    pod = Pod(namespace="shop", name="web-1", node="worker1", labels={"app": "web"}, owner=("StatefulSet", "web"), ready=ready)
    budget = Budget(
        namespace="shop",
        name="web",
        selector=of_labels({"app": "web"}),
        healthy=healthy,
        desired=1,
        expected=1,
        allowed=0,
    )
    return Cluster(nodes=node, pods=(pod,), budgets=(budget,), namespaces={"shop": {}}, version="v1.20.2")


def test_a_budget_of_the_set_that_lets_nothing_go_stops_what_drains():
    found = drained.findings(Given("upgrade.run", ("--to", "1.20.3")), SITE, cluster())
    assert [(each.severity, each.host) for each in found if each.severity == "fail"] == [("fail", "worker1")]
    assert drained.findings(Given("certs.renew"), SITE, cluster()) == []
    pauses = drained.findings(Given("upgrade.run", ("--to", "1.20.3", "--pause-after", "master3")), SITE, cluster())
    assert not [each for each in pauses if each.severity == "fail"]
    assert not [
        each
        for each in drained.findings(Given("cluster.drain", ("--host", "master1")), SITE, cluster())
        if each.severity == "fail"
    ]


def stops(words, *runs):
    """What is said of worker1, whose budget lets nothing go: (severity, first words) of each finding."""
    name, *flags = words.split()
    found = drained.findings(Given(name, tuple(flags)), SITE, cluster(), runs)
    return [(each.severity, each.seen.split(":")[0]) for each in found if each.severity in {"warn", "fail"}]


BLOCKED = [("fail", "the budget shop/web does not let shop/web-1 go")]
PERHAPS = [("warn", "if it has to be drained")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cluster.reboot --all", BLOCKED),
        ("cluster.reboot --all --if-needed", PERHAPS),
        ("cluster.reboot --host master1 --if-needed", []),
        ("cluster.reboot --forget", []),
        ("cluster.reconfigure", PERHAPS),
        ("cluster.reconfigure --only kubelet,nodes", PERHAPS),
        ("cluster.reconfigure --only containerd --host worker1", PERHAPS),
        ("cluster.reconfigure --host master1", []),
        ("cluster.reconfigure --only control-plane,nodes", []),
    ],
)
def test_only_nodes_that_are_drained_in_any_case_stop_it(words, found):
    assert stops(words) == found


def test_what_the_twin_drained_the_real_site_drains_too():
    twin = run("cluster.reconfigure", ("master1: drain", "nothing to do", 1.0), ("worker1: drain", "changed", 9.0))
    assert stops("cluster.reconfigure", twin) == BLOCKED
    spared = run("cluster.reconfigure", ("master1: drain", "changed", 1.0), ("worker1: drain", "nothing to do", 1.0))
    assert stops("cluster.reconfigure", spared) == PERHAPS
    failed = run("cluster.reconfigure", ("worker1: drain", "failed", 1.0))
    assert stops("cluster.reconfigure", failed) == BLOCKED


def test_nodes_that_perhaps_are_drained_are_counted_where_nothing_stops_them():
    given = Given("cluster.reboot", ("--all", "--if-needed"))
    (found,) = drained.findings(given, SITE, cluster(healthy=2))
    assert (found.severity, found.seen.split(",")[0]) == ("ok", "2 nodes more")
    (row,) = [each for each in limits.limits(given, supplied=(), gone=(), absent=(), missing=()) if "--if-needed" in each]
    assert "which hosts need a reboot" in row


@pytest.mark.parametrize("words", ["upgrade.run --workers-at-once none", "cluster.reboot --all --force-pods web"])
def test_wrong_flags_are_refused_before_there_is_a_twin(words):
    name, *flags = words.split()
    with pytest.raises(InventoryError):
        drained.flags(Given(name, tuple(flags)), SITE)


def hook(service):
    return Hook(
        name="a.example",
        kind="ValidatingWebhookConfiguration",
        configuration="guard",
        service=service,
        rules=(),
        namespaces=(),
        objects=(),
        conditions=False,
    )


def test_a_webhook_that_was_answered_is_taken_away_and_a_dead_one_is_a_finding():
    there = cluster()
    there = Cluster(
        nodes=there.nodes, pods=there.pods, services={"shop/web": of_labels({"app": "web"})}, hooks=(hook("shop/web"),)
    )
    assert webhooks.answered(there) == [("validatingwebhookconfiguration", "guard")]
    assert webhooks.unanswered(there) == []
    gone = Cluster(pods=there.pods, hooks=(hook("shop/gone"),))
    assert (webhooks.answered(gone), len(webhooks.unanswered(gone))) == ([], 1)


# ---- the report


def outcome(**given):
    base = {
        "id": "r",
        "site": "s",
        "command": "certs.renew",
        "exited": 0,
        "origin": "20260101T000000Z",
        "made": "2 h",
        "versions": "1.20.2",
    }
    return Outcome(**base | {"unmeasured": "no"} | given)


def test_the_exit_status_is_the_procedures():
    assert (outcome().exit_status, outcome().verdict) == (0, "it gets through")
    failed = outcome(exited=1, runs=(run("certs.renew", ("a", "changed", 1.0), ("b", "failed", 2.0)),))
    assert (failed.exit_status, failed.stopped) == (1, "step 2/2 of certs.renew: b")
    assert (outcome(exited=3).verdict, outcome(exited=3).stopped) == ("it refuses to begin", "before its first step")
    checked = outcome(exited=3, runs=(run("certs.renew", ("a", "failed", 1.0)),))
    assert (checked.verdict, checked.stopped) == ("it does not get through", "step 1/1 of certs.renew: a")
    blocked = outcome(drains=(Finding("fail", topic="drains", host="worker1", seen="blocked"),))
    assert (blocked.exit_status, blocked.stopped) == (3, "at the drain of worker1")
    assert outcome(exited=5).verdict == "it gets through, but not completely"


def test_what_the_forecast_leaves_out_stands_beside_it():
    runs = (run("upgrade.run", ("a", "changed", 60.0)),)
    steps = forecast.forecast(runs, {}, forecast.Factor())
    found = dict(report.facts(outcome(runs=runs, steps=steps, real_s=60, beside_s=20, untimed=49)))
    assert found["forecast"].endswith("; without its backup, 20 s here, and without the steps of 49 nodes that have no twin")
    assert "without" not in dict(report.facts(outcome(runs=runs, steps=steps, real_s=60)))["forecast"]


def test_an_api_that_could_not_be_compared_is_not_called_whole():
    assert "the API after it: not known" in " ".join("\n".join(lines(outcome(silent=True))).split())
    assert "still served" in "\n".join(lines(outcome()))


def test_a_backup_on_the_side_is_no_part_of_the_procedure():
    backup, mine = run("backup.run", ("a", "changed", 1.0)), run("certs.renew", ("b", "changed", 1.0))
    assert own([backup, mine]) == [mine]
    assert own([backup]) == [backup]


def test_the_report_says_what_it_cannot_show_in_every_form():
    rows = limits.limits(Given("upgrade.run"), supplied=["Kubernetes v1"], gone=["n9"], absent=["x in y"], missing=["master3"])
    found = outcome(
        limits=tuple(rows),
        broken=("pods in v1 are no longer served: 1 of them in the set",),
        runs=(run("upgrade.run", ("a", "changed", 1.0)),),
        steps=forecast.forecast([run("upgrade.run", ("a", "changed", 1.0))], {}, forecast.Factor()),
        drains=(Finding("ok", topic="drains", seen="none"),),
        changed=("kube-proxy",),
        fault=("master1: gone",),
        kept="lab",
        error="it broke",
        hooks=("h",),
        warnings=("w",),
    )
    text, written = "\n".join(lines(found)), html(page(found, ["master1"], "foot"))
    for row in (*rows, "pods in v1 are no longer served", "it broke", "master1: gone"):
        assert row in text
        assert row.replace("'", "&#39;") in written
    assert plain(found)["limits"] == rows
