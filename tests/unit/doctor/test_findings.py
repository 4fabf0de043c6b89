"""The doctor's judgement: one cause is one finding, however much follows from it."""

from dataclasses import replace
from ipaddress import ip_address

import msgspec
import pytest

from runbooks.commands.base import Answer
from runbooks.commands.clock import Clock
from runbooks.commands.doctor import Disk, Leftovers, Traces, parse, parse_endpoints
from runbooks.commands.etcd import Alarm, Look, Member
from runbooks.commands.lock import Held, Holder
from runbooks.doctor.findings import meanwhile, of_cluster, of_hosts
from runbooks.doctor.look import Examination
from runbooks.doctor.rules import etcd as etcd_rules
from runbooks.doctor.rules import etcd_order, leftovers, pair
from runbooks.doctor.rules import hosts as host_rules
from runbooks.errors import RunbookError, UnreachableError
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding, ordered
from tests.support import ROOT
from tests.support.fakes import bash, lost, site
from tests.unit.cluster.test_verify import (
    CA,
    DAY,
    EMPTY,
    KUBELET,
    LB1,
    M1,
    M2,
    M3,
    NOW,
    SERVING,
    SITE,
    SUMS,
    W1,
    WITH,
    answers,
    cluster,
    etcd_view,
    everything,
    of,
    without,
)
from tests.unit.rules.test_etcd import MEMBERS, look, member
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit

W2 = site().workers[1]
QUIET = Traces(disks=(), parked=(), attempt="", working=False, restoring=False, reach={})
DOWN = Look(None, (), serves=False, why="etcd does not run here")
CUT = Look(None, (), serves=False, why="it knows no leader")
REFUSED = "The connection to the server was refused"


def looked(*, traces=None, seen=None, **hosts) -> Examination:
    """What the doctor sees of a whole site; ``hosts`` say something else."""
    whole = seen or everything(**hosts)
    errors = {host: said for host, said in whole.hosts.items() if isinstance(said, RunbookError)}
    there = {host: QUIET for host in whole.hosts if host not in errors}
    return Examination(whole, errors, traces=there | (traces or {}))


def said(host, **parts):
    """What one host says, some of it something else than usual."""
    return everything().hosts[host] | parts


def placed(finding: Finding) -> str:
    return finding.host or finding.topic


def examined(seen: Examination) -> list[Finding]:
    """Everything that is not merely worth knowing."""
    before = of_hosts(SITE, seen)
    return [each for each in ordered([*before, *of_cluster(SITE, seen, before)]) if each.severity != "note"]


def without_etcd(host):
    """A control plane host whose etcd is down, and all that follows from it there."""
    return said(host, etcd=DOWN, health=answers(host, error=REFUSED))


def test_nothing_is_wrong_with_a_whole_site():
    assert examined(looked()) == []


PARKED = replace(QUIET, parked=("etcd", "kube-apiserver"))
BLOCKED = {
    M1: replace(QUIET, reach={(str(M2.address), 2380): "silent", (str(M3.address), 2380): "open"}),
    M2: replace(QUIET, reach={(str(M1.address), 2380): "silent", (str(M3.address), 2380): "refused"}),
}
ENDED = replace(WITH, sums=SUMS, certificates=(replace(SERVING, ends=NOW - DAY), CA, KUBELET))
ENDING = replace(WITH, sums=SUMS, certificates=(replace(SERVING, ends=NOW + 20 * DAY), CA, KUBELET))
CHANGED_KEY = UnreachableError(
    "master2 (10.1.1.102): its host key is not the one", hint="inv site.trust --host master2 --replace"
)


@pytest.mark.parametrize(
    ("seen", "severity", "where", "fix"),
    [
        (looked(master3=lost(M3)), "warn", "master3", "inv recover.node --host master3"),
        (looked(lb2=lost(LB1)), "warn", "lb2", "inv recover.lb --host lb2"),
        (looked(master2=CHANGED_KEY), "warn", "master2", "inv site.trust --host master2 --replace, then inv recover.node --host master2"),
        (looked(master2=without_etcd(M2)), "warn", "master2", "inv recover.etcd-member --member master2"),
        (looked(master2=without_etcd(M2), traces={M2: PARKED}), "warn", "master2", "inv recover.etcd-member --member master2"),
        (looked(master2=said(M2, health=answers(M2, error=REFUSED)), traces={M2: replace(QUIET, parked=("kube-apiserver",))}),
         "warn", "master2", "mv /etc/kubernetes/ha-runbooks-parked"),
        (looked(master2=without_etcd(M2), traces={M2: replace(QUIET, attempt="join")}), "warn", "master2", "inv cluster.join --host master2"),
        (looked(master2=said(M2, facts=EMPTY, etcd=DOWN, health=())), "warn", "master2", "inv recover.node --host master2"),
        (looked(traces=BLOCKED), "warn", "master1, master2", "let TCP 2380 pass between 10.1.1.101 and 10.1.1.102"),
        (looked(master2=said(M2, etcd=CUT, health=answers(M2, failed=("etcd",))), traces=BLOCKED),
         "warn", "master1, master2", "let TCP 2380 pass"),
        (looked(master2=said(M2, facts=ENDED)), "fail", "master2", "inv recover.certs"),
        (looked(**{host.name: said(host, facts=ENDED) for host in (M1, M2, M3)}), "fail", "master1, master2, master3", "inv recover.certs"),
        (looked(**{host.name: said(host, facts=ENDING) for host in (M1, M2)}), "warn", "master1, master2", "inv certs.renew"),
        (looked(worker1=said(W1, facts=replace(WITH, units={"kubelet": "failed", "containerd": "active"}))),
         "warn", "worker1", "systemctl enable --now kubelet"),
        (looked(lb1=said(LB1, lb=STANDBY)), "fail", "VIP", "inv recover.vip"),
        (looked(lb2=said(LB1, lb=HOLDER)), "fail", "VIP", "inv recover.vip"),
        (looked(lb2=said(LB1, lb=replace(STANDBY, haproxy=replace(STANDBY.haproxy, active="failed")))), "warn", "lb2", "inv recover.vip"),
        (looked(master1=said(M1, etcd=replace(etcd_view().said[M1], status=replace(etcd_view().said[M1].status, alarms=(Alarm("a1", "NOSPACE"),))))),
         "fail", "etcd", "inv etcd.disarm"),
        (looked(master1=said(M1, etcd=replace(etcd_view().said[M1], status=replace(etcd_view().said[M1].status, alarms=(Alarm("a2", "CORRUPT"),))))),
         "fail", "etcd", "inv recover.etcd-member --member master2 --rejoin"),
        (looked(master3=said(M3, etcd=replace(etcd_view().said[M3], status=replace(etcd_view().said[M3].status, cluster="other")))),
         "fail", "etcd", "inv recover.etcd-member --member master3 --rejoin"),
        (looked(master2=said(M2, health=answers(M2, error=REFUSED))), "warn", "master2", "crictl ps -a --name kube-apiserver"),
    ],
)  # fmt: skip
def test_one_cause_is_one_finding_with_its_command(seen, severity, where, fix):
    (only,) = examined(seen)
    assert (only.severity, placed(only)) == (severity, where)
    assert fix in only.fix


ALL_FIVE = (
    *MEMBERS,
    *(replace(member(1), id=f"d{n}", name="x", peer_urls=(f"https://10.1.1.20{n}:2380",), client_urls=()) for n in (1, 2)),
)


@pytest.mark.parametrize(
    ("silent", "empty", "order"),
    [
        ([], [W1, W2], ["inv recover.node --host worker1 --others", "inv recover.node --host worker2"]),
        ([W2], [W1], ["switch on worker2 (if lost for good: inv recover.etcd-member --member worker2)", "inv recover.node --host worker1"]),
        ([], [W1], ["inv recover.etcd-member --member worker2", "inv recover.node --host worker1"]),
    ],
    ids=["both are empty machines", "one is off", "one is only stopped"],
)  # fmt: skip
def test_several_dead_members_are_repaired_in_an_order(silent, empty, order):
    """What brings a member back comes first; the three others keep the quorum meanwhile."""
    view = View({M1: look(1, ALL_FIVE), M2: look(2, ALL_FIVE), M3: look(3, ALL_FIVE), W1: DOWN, W2: DOWN})
    (only,) = etcd_order.in_order(view, silent, empty)
    assert only.seen == "the members on worker1, worker2 are dead: 3 of 5 members are healthy; one more loss stops all writes"
    assert only.fix == "; then ".join(order)
    assert list(etcd_order.in_order(View({M1: look(1), M2: look(2), M3: DOWN}), [], [M3])) == []  # a single one needs no order
    assert list(etcd_order.in_order(View({M1: look(1), M2: DOWN, M3: DOWN}), [], [M2, M3])) == []  # the quorum is lost


def test_while_a_command_runs_the_first_finding_is_to_wait_and_nothing_else_is_prescribed():
    """Its restore looks like an unfinished one, and its stopped members like lost ones."""
    found = [
        Finding("fail", seen="a restore was not finished", fix="inv recover.etcd-quorum --resume"),
        Finding("warn", seen="x", fix="y"),
    ]
    lee = Holder(run="r", user="lee", machine="laptop", pid=1, what="inv recover.etcd-quorum", since="10:12")
    first, *others = meanwhile(Held(lee, 90), found)
    assert (first.seen, first.severity) == ("wait: lee@laptop is running inv recover.etcd-quorum (since 10:12)", "note")
    assert "recover" not in first.fix
    assert [(each.seen, each.fix) for each in others] == [(each.seen, "") for each in found]
    assert meanwhile(None, found) == found
    at_work = list(host_rules.unfinished(SITE, {M2: replace(QUIET, attempt="join", working=True)}))  # its command was killed
    first, *others = meanwhile(None, [*found, *at_work])
    assert (first.host, first.seen) == ("master2", "wait: kubeadm join is running there")
    assert [each.fix for each in others] == ["", ""]


def half_upgraded(**hosts):
    """The first control plane host has arrived, no other one has."""
    seen = everything(**hosts)
    pods = tuple(
        replace(each, **of(each.name.removesuffix("-master1"), "v1.28.3")) if each.name.endswith("-master1") else each
        for each in cluster().pods
    )
    seen.cluster = cluster(pods=pods, config=cluster().config | {"kubernetesVersion": "v1.28.3"})
    return looked(seen=seen)


@pytest.mark.parametrize(
    ("note", "command"),
    [("reboot/note", "inv cluster.reboot --host master2"), ("reconfigure/kubelet", "inv cluster.reconfigure --only kubelet"), ("upgrade/runtime/note", "inv upgrade.containerd")],
)  # fmt: skip
def test_a_host_that_an_interrupted_run_has_left_is_told_with_the_command_that_goes_on(note: str, command: str) -> None:
    said = parse(Answer(0, f"noted {note}\n"))
    (found,) = host_rules.unfinished(SITE, {M2: said})
    assert (found.severity, found.host) == ("warn", "master2")
    assert found.fix.startswith(command)


def test_an_unfinished_upgrade_is_one_finding_with_its_command():
    (only,) = examined(half_upgraded())
    assert (only.severity, only.topic, only.fix) == ("warn", "upgrade", "inv upgrade.run --to 1.28.3")
    assert only.seen.startswith("an upgrade from 1.28.0 to 1.28.3 is unfinished: 1 of 3 control plane hosts and 0 of 6 kubelets")
    found = examined(half_upgraded(master3=lost(M3)))
    assert [placed(each) for each in found] == ["master3", "upgrade"]
    assert "1 of 3 control plane hosts" in found[1].seen  # also one that is off counts
    kim = Holder(run="r", user="kim", machine="laptop", pid=1, what="inv upgrade.run", since="10:12")
    lock, now = meanwhile(Held(kim, 90), examined(half_upgraded()))
    assert (lock.topic, now.severity, now.fix) == ("lock", "note", "")
    assert "is on its way: 1 of 3" in now.seen


def test_a_kubeadm_that_was_begun_for_an_upgrade():
    begun = {M2: replace(QUIET, attempt="upgrade node v1.28.3")}
    (only,) = examined(looked(traces=begun))  # the versions show nothing of it yet
    assert (placed(only), only.fix) == ("master2", "inv upgrade.run --to 1.28.3")
    assert only.seen == "kubeadm upgrade node v1.28.3 was started by this tool and not finished"
    half = half_upgraded(master2=said(M2, health=answers(M2, error=REFUSED)))
    half.traces |= begun
    (only,) = examined(half)  # its API server is explained by it
    assert only.topic == "upgrade"
    assert only.seen.endswith("; kubeadm upgrade node v1.28.3 was begun on master2 and has not ended well")
    half.traces |= {M2: replace(begun[M2], working=True)}
    assert [each.topic for each in examined(half)] == ["upgrade"]
    wait, *_ = meanwhile(None, [*of_cluster(SITE, half, [])])
    assert wait.seen == "wait: kubeadm upgrade node v1.28.3 is running there"


def test_a_host_that_an_interrupted_upgrade_has_taken_out_of_the_load_balancers():
    seen = half_upgraded()
    for host in SITE.load_balancers:
        backends = seen.seen.hosts[host]["backends"]
        seen.seen.hosts[host]["backends"] = tuple(
            replace(each, status="MAINT") if each.server == "master2" else each for each in backends
        )
    (only,) = examined(seen)
    assert (only.topic, only.fix) == ("upgrade", "inv upgrade.run --to 1.28.3")
    assert only.seen.endswith("; master2 gets no connections: it was taken out of api (MAINT) and not put back")


GIB, MIB = 1 << 30, 1 << 20


@pytest.mark.parametrize(
    ("left", "half", "expected"),
    [
        (Leftovers(130 * MIB, 100 * GIB, 50 * GIB), False, []),
        (Leftovers(20 * MIB, 100 * GIB, 5 * GIB), False, []),  # the shortage has another cause
        (
            Leftovers(685 * MIB, 20 * GIB, 2 * GIB),
            False,
            [("warn", "master1", "take 685.0 MiB; 10 % of that file system are free")],
        ),
        (Leftovers(3 * GIB, 100 * GIB, 50 * GIB), False, [("note", "master1, master2", "take up to 3.0 GiB")]),
        (Leftovers(3 * GIB, 100 * GIB, 50 * GIB), True, []),  # it may be needed to go back
        (Leftovers(685 * MIB, 20 * GIB, 2 * GIB), True, [("warn", "master1", "take 685.0 MiB")]),
    ],
)
def test_what_kubeadm_has_left_of_earlier_upgrades(left, half, expected):
    second = replace(left, bytes=left.bytes // 2) if left.bytes > 2 * GIB else Leftovers(0, GIB, 1)
    traces = {M1: replace(QUIET, leftovers=left), M2: replace(QUIET, leftovers=second)}
    found = list(leftovers.findings(traces, upgrading=half))
    assert [(each.severity, each.host) for each in found] == [(severity, host) for severity, host, _ in expected]
    assert all(words in each.seen for each, (_, _, words) in zip(found, expected, strict=True))
    assert all(("first finish the upgrade" in each.fix) == half for each in found)
    assert all("rm -r /etc/kubernetes/tmp/kubeadm-*" in each.fix for each in found)


def test_what_kubeadm_has_left_is_measured(tmp_path):
    text = (ROOT / "scripts" / "host" / "doctor-look.sh").read_text().replace("/etc/kubernetes", str(tmp_path))
    program = f"DIRECTORIES=() TARGETS=()\n{text}"
    assert parse(bash(program)).leftovers is None
    (tmp_path / "tmp" / "kubeadm-backup-etcd-1").mkdir(parents=True)
    (tmp_path / "tmp" / "kubeadm-backup-etcd-1" / "db").write_bytes(b"x" * 300_000)
    seen = parse(bash(program)).leftovers
    assert seen
    assert 300_000 <= seen.bytes < 400_000
    assert 0 < seen.free <= seen.size


def test_without_any_load_balancer_they_are_set_up_and_with_one_the_other_is_replaced():
    bare = replace(STANDBY, haproxy=replace(STANDBY.haproxy, enabled=""), keepalived=replace(STANDBY.keepalived, enabled=""))
    (only,) = examined(looked(lb1=said(LB1, lb=bare), lb2=said(LB1, lb=bare)))
    assert (only.severity, only.host, only.fix) == ("fail", "lb1, lb2", "inv lb.setup")
    (only,) = examined(looked(lb2=said(LB1, lb=bare)))
    assert (only.severity, only.host, only.fix) == ("warn", "lb2", "inv recover.lb --host lb2")


def test_an_api_server_that_is_down_explains_its_pods_and_what_the_load_balancers_see():
    seen = everything(master2=said(M2, health=answers(M2, error=REFUSED)))
    pods = tuple(replace(pod, ready=pod.node != "master2", why="CrashLoopBackOff") for pod in cluster().pods)
    seen.cluster = cluster(pods=pods)
    out = tuple(replace(each, status="MAINT") if each.server == "master2" else each for each in seen.hosts[LB1]["backends"])
    for host in SITE.load_balancers:
        seen.hosts[host]["backends"] = out
    (only,) = examined(looked(seen=seen))
    assert (placed(only), "its API server" in only.seen) == ("master2", True)


def test_load_balancers_that_somebody_else_has_set_up_are_a_note():
    """Nothing of ours tells what keepalived does there, and their servers have any names."""
    seen = everything()
    for host in SITE.load_balancers:
        state = replace(seen.hosts[host]["lb"], vrrp="", haproxy_runs=None, stats="", metrics="", foreign=True)
        backends = tuple(replace(each, proxy="apiserverbackend", status="MAINT") for each in seen.hosts[host]["backends"])
        seen.hosts[host] = seen.hosts[host] | {"lb": state, "backends": backends}
    found = looked(seen=seen)
    before = of_hosts(SITE, found)
    (only,) = (each for each in [*before, *of_cluster(SITE, found, before)] if each.topic != "backup")
    assert (only.severity, only.topic, only.host, only.fix) == ("note", "LB", "lb1, lb2", "inv lb.setup --take-over")


def test_a_server_that_was_left_out_of_the_load_balancers():
    seen = everything()
    for host in SITE.load_balancers:
        backends = seen.hosts[host]["backends"]
        seen.hosts[host]["backends"] = tuple(
            replace(each, status="MAINT") if each.server == "master2" else each for each in backends
        )
    (only,) = examined(looked(seen=seen))
    assert placed(only) == "lb1, lb2"
    assert only.fix == "inv lb.maintenance off --server master2 --backend api"


def test_an_api_server_that_the_load_balancers_do_not_know():
    seen = everything()
    for host in SITE.load_balancers:
        seen.hosts[host]["backends"] = tuple(each for each in seen.hosts[host]["backends"] if each.server != "master2")
    (only,) = examined(looked(seen=seen))
    assert (only.severity, placed(only), only.seen, only.fix) == ("warn", "lb1, lb2", "api does not know master2", "inv lb.setup")


def test_what_follows_from_a_host_without_power_in_pods_nodes_and_backends_is_not_told():
    seen = everything(master3=lost(M3))
    nodes = tuple(replace(node, ready=node.name != "master3") for node in cluster().nodes)
    pods = tuple(replace(pod, ready=pod.node != "master3") for pod in cluster().pods)
    seen.cluster = cluster(nodes=nodes, pods=pods)
    for host in SITE.load_balancers:
        seen.hosts[host]["backends"] = tuple(
            replace(each, status="DOWN") if each.server == "master3" else each for each in seen.hosts[host]["backends"]
        )
    (only,) = examined(looked(seen=seen))
    assert placed(only) == "master3"


def test_a_quorum_that_is_lost_explains_the_api_and_names_who_is_missing():
    waits = replace(etcd_view().said[M1], status=replace(etcd_view().said[M1].status, leader=""), serves=False)
    seen = everything(master2=lost(M2), master3=lost(M3), master1=said(M1, etcd=waits, health=answers(M1, failed=("etcd",))))
    seen.cluster = "master1: the server is currently unable to handle the request"
    first, *others = examined(looked(seen=seen))
    assert (first.severity, placed(first)) == ("fail", "etcd")
    assert first.seen == "the quorum is lost: 0 of 3 members are healthy, 2 are needed"
    assert (
        first.fix
        == "switch on master2 or master3, or repair the network; only if they are lost for good: inv recover.etcd-quorum"
    )
    assert [placed(each) for each in others] == ["master2", "master3"]
    why = "1 of 3 control plane hosts are left; etcd: 0 of 3 members are healthy, 2 are needed: nothing can be written"
    assert {each.why for each in others} == {why}


def test_a_member_that_reads_with_a_quorum_proves_that_it_is_not_lost():
    """This machine reaches one control plane host only; the cluster is whole."""
    cut = View({M1: etcd_view().said[M1], M2: "master2: no route to host", M3: "master3: timed out"})
    assert list(etcd_rules.quorum(cut, [])) == []
    assert standing(cut) == "1 of 3 members answers here; etcd has its quorum; the others could not be asked"
    lost = View({**cut.said, M1: replace(etcd_view().said[M1], serves=False)})
    assert next(etcd_rules.quorum(lost, [])).seen.startswith("the quorum is lost")
    assert "nothing can be written" in standing(lost)


SILENT = "no answer"
WAITS = Look(replace(etcd_view().said[M1].status, leader=""), etcd_view().said[M1].members, serves=False)
LATE = replace(DOWN, why="context deadline exceeded")
FULL = Finding("fail", topic="disk", seen="full", fix="on master2: du", explains=frozenset({M2}))


@pytest.mark.parametrize(
    ("said", "found", "options", "fix"),
    [
        ((WAITS, SILENT, SILENT), [], {}, "switch on master2 or master3, or repair the network; only if they are lost for good: inv recover.etcd-quorum"),
        ((SILENT, SILENT, SILENT), [], {}, "switch on master1 or master2 or master3 (2 of them), or"),
        ((LATE, SILENT, SILENT), [], {}, "switch on master2 or master3"),
        ((LATE, SILENT, SILENT), [], {"busy": {M1}}, "switch on master2 or master3"),
        ((WAITS, FULL, SILENT), [FULL], {}, "on master2: du"),  # what can be mended there comes first
        ((WAITS, DOWN, DOWN), [], {}, "inv recover.etcd-member --member master2 if its data is intact; otherwise inv recover.etcd-quorum"),
        ((WAITS, DOWN, DOWN), [], {"empty": {M2}}, "inv recover.etcd-member --member master3 if"),
        ((WAITS, DOWN, DOWN), [], {"empty": {M2, M3}}, "inv recover.etcd-quorum"),  # nothing can be switched on or started there
        ((LATE,) * 3, [], {"busy": {M1, M2, M3}}, "end the overload of master1, master2, master3 first"),
        ((DOWN,) * 3, [], {"busy": {M1, M2, M3}}, "inv recover.etcd-member --member master1 if"),
        ((WAITS, WAITS, WAITS), [], {}, "wait a minute, then: inv etcd.status"),
    ],
)  # fmt: skip
def test_the_way_back_to_a_quorum_gives_up_as_little_as_it_can(said, found, options, fix):
    said = [DOWN if each is FULL else each for each in said]
    (only,) = etcd_rules.quorum(View(dict(zip((M1, M2, M3), said, strict=True))), found, **options)
    assert only.fix.startswith(fix)
    assert "below" not in only.fix


def test_when_no_control_plane_host_answers_nobody_knows_whether_the_quorum_is_lost():
    (only,) = etcd_rules.quorum(View(dict.fromkeys((M1, M2, M3), SILENT)), ())
    assert only.seen == "no control plane host answers: the state of etcd is not known"
    assert "only this machine does not reach them" in only.why


def test_of_five_members_three_are_left():
    """Each more that is told says what the next loss means."""
    more = [msgspec.structs.replace(M1, name=f"master{n}", address=ip_address(f"10.1.1.10{n}")) for n in (4, 5)]
    hosts = [M1, M2, M3, *more]
    members = tuple(
        Member(id=f"a{n}", name=host.name, peer_urls=(f"https://{host.address}:2380",), client_urls=())
        for n, host in enumerate(hosts, 1)
    )
    three = [Look(replace(WAITS.status, member=f"a{n}", leader="a1"), members, serves=True) for n in (1, 2, 3)]
    view = View(dict(zip(hosts, [*three, DOWN, DOWN], strict=True)))
    assert {each.why for each in etcd_rules.members(view, ())} == {"3 of 5 members are healthy; one more loss stops all writes"}
    (only,) = host_rules.outside({hosts[3]: EMPTY}, {hosts[3]}, standing(view))
    assert only.seen == "an empty machine: it was replaced or reset, and the cluster still counts the old one"
    assert only.why == "etcd: 3 of 5 members are healthy; one more loss stops all writes"
    assert only.fix == "inv recover.node --host master4"


def test_an_unfinished_restore_explains_everything_that_is_stopped():
    hosts = {host.name: without_etcd(host) for host in (M1, M2, M3)}
    traces = {host: replace(PARKED, restoring=True) for host in (M1, M2, M3)}
    found = examined(looked(traces=traces, **hosts))
    assert [each.fix for each in found] == ["inv recover.etcd-quorum --resume (or without --resume)"]
    assert {each.severity for each in found} == {"fail"}


def test_a_control_plane_that_is_gone_is_one_finding():
    nothing = {host.name: said(host, facts=EMPTY, etcd=DOWN, health=()) for host in (M1, M2, M3)}
    seen = everything(**nothing)
    seen.cluster = "no API server is ready"
    (only,) = examined(looked(seen=seen))
    assert (only.severity, placed(only), only.fix) == ("fail", "master1, master2, master3", "inv recover.control-plane")


def test_a_pod_of_a_healthy_host_is_still_missed_when_another_host_is_off():
    seen = everything(master3=lost(M3))
    seen.cluster = without(cluster(), "kube-scheduler-master1")
    assert [placed(each) for each in examined(looked(seen=seen))] == ["master3", "master1"]


GIB = 2**30


@pytest.mark.parametrize(
    ("disk", "severity"),
    [
        (Disk(mount="/", directories=("/",), size=100 * GIB, free=50 * GIB, inodes=1000, inodes_free=900), None),
        (Disk(mount="/", directories=("/",), size=100 * GIB, free=10 * GIB, inodes=1000, inodes_free=50), None),
        (Disk(mount="/", directories=("/",), size=100 * GIB, free=9 * GIB, inodes=1000, inodes_free=900), "warn"),
        (Disk(mount="/", directories=("/",), size=100 * GIB, free=50 * GIB, inodes=1000, inodes_free=40), "warn"),
        (Disk(mount="/", directories=("/",), size=100 * GIB, free=2 * GIB, inodes=1000, inodes_free=900), "fail"),
        (Disk(mount="/", directories=("/var/lib/etcd",), size=100 * GIB, free=0, inodes=1000, inodes_free=0), "fail"),
        (
            Disk(mount="/", directories=("/",), size=100 * GIB, free=50 * GIB, inodes=0, inodes_free=0),
            None,
        ),  # a file system that counts no inodes
        (Disk(mount="/proc", directories=("/",), size=0, free=0, inodes=0, inodes_free=0), None),
    ],
)
def test_disks(disk, severity):
    found = list(host_rules.disks(SITE, {M1: replace(QUIET, disks=(disk,))}))
    assert all(("du -x --inodes" in each.fix) == ("inodes" in each.seen and "bytes" not in each.seen) for each in found)
    assert [each.severity for each in found] == ([severity] if severity else [])


@pytest.mark.parametrize(("free", "inodes_free", "explains"), [(0, 900, True), (50 * GIB, 0, True), (1 * GIB, 1, False)])
def test_a_file_system_without_a_byte_or_an_inode_explains_what_fails_on_its_host(free, inodes_free, explains):
    full = Disk(mount="/", directories=("/", "/var/lib/etcd"), size=100 * GIB, free=free, inodes=1000, inodes_free=inodes_free)
    seen = looked(master2=without_etcd(M2), traces={M2: replace(QUIET, disks=(full,))})
    first, *others = ordered([*(before := of_hosts(SITE, seen)), *of_cluster(SITE, seen, before)])
    assert (first.severity, first.topic, first.host) == ("fail", "disk", "master2")
    assert (others == []) == explains


def test_a_full_load_balancer_that_holds_the_vip_is_no_vip_without_a_holder():
    full = Disk(mount="/", directories=("/",), size=100 * GIB, free=0, inodes=1000, inodes_free=500)
    (only,) = examined(looked(traces={LB1: replace(QUIET, disks=(full,))}))
    assert (only.topic, only.host) == ("disk", "lb1")


def test_a_clock_that_is_off_is_a_warning_but_not_when_only_the_operators_is():
    one = {M1: Clock(-0.1, 0.1), M2: Clock(-0.1, 0.1), M3: Clock(7.0, 7.2)}
    (only,) = host_rules.clocks(one)
    assert (only.severity, placed(only)) == ("warn", "master3")
    ours = {host: Clock(60.0, 60.1) for host in (M1, M2)}
    assert {each.severity for each in host_rules.clocks(ours)} == {"note"}


def test_an_address_of_the_api_that_is_nobodys():
    (only,) = pair.strangers(SITE, ["10.1.1.101", "10.1.1.109"])
    assert "/registry/masterleases/10.1.1.109" in only.fix
    assert parse_endpoints({"subsets": [{"addresses": [{"ip": "10.1.1.101"}]}]}) == ("10.1.1.101",)
    assert parse_endpoints({}) == ()
    with pytest.raises(ValueError, match="no endpoints"):
        parse_endpoints([])


def test_what_a_host_says_of_itself():
    text = (
        "disk / / 100 40 10 5\ndisk /var / 100 40 10 5\ndisk /var/lib/etcd /data 50 5 0 0\nparked etcd\nattempt join\nworking yes\n"
        "reach 10.1.1.102 2380 silent\nreach 10.1.1.103 2380 No route to host\n"
    )
    assert parse(Answer(0, text)) == Traces(
        disks=(
            Disk(mount="/", directories=("/", "/var"), size=100, free=40, inodes=10, inodes_free=5),
            Disk(mount="/data", directories=("/var/lib/etcd",), size=50, free=5, inodes=0, inodes_free=0),
        ),
        parked=("etcd",),
        attempt="join",
        working=True,
        restoring=False,
        reach={("10.1.1.102", 2380): "silent", ("10.1.1.103", 2380): "No route to host"},
    )
    with pytest.raises(ValueError, match="invalid literal"):
        parse(Answer(0, "disk / / many 40 10 5\n"))
