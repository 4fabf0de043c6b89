"""What the cluster's objects say about its versions: whole, in the middle of an upgrade, and after one."""

from dataclasses import replace

import msgspec
import pytest

from runbooks.commands.lock import Holder
from runbooks.commands.objects import KUBEADM_CONFIG, NODES, control_plane_pods, parse_cluster, pods_in
from runbooks.rules import verify_versions as rules
from runbooks.rules.finding import at_least, told
from runbooks.rules.upgrade_seen import CONTROL_PLANE, Seen, text
from tests.support.recorded import recorded_answer
from tests.unit.cluster.test_verify import M1, M2, M3, VERSION, W1, node, of
from tests.unit.cluster.test_verify import SITE as LARGER
from tests.unit.cluster.test_verify import cluster as larger
from tests.unit.upgrade.clusters import all_steps, upgrading

pytestmark = pytest.mark.unit

OLD, NEW = (1, 28, 0), (1, 28, 3)
HOSTS = {"m1": M1, "m2": M2, "m3": M3, "w1": W1, "w2": LARGER.workers[1]}
SITE = msgspec.structs.replace(LARGER, hosts=(*LARGER.load_balancers, *HOSTS.values()))


def cluster():
    whole = larger()
    return replace(whole, nodes=tuple(node(host) for host in SITE.nodes))


def with_pod(name, **facts):
    return replace(cluster(), pods=tuple(replace(each, **facts) if each.name == name else each for each in cluster().pods))


def objects(seen: Seen):
    """The cluster's objects with these versions."""
    whole, pods, nodes = cluster(), {each.name: each for each in cluster().pods}, []
    by_name = {HOSTS[each.name].name: each for each in seen.nodes}
    for host in SITE.nodes:
        each = by_name[host.name]
        nodes.append(node(host, version=f"v{text(each.kubelet_runs)}"))
        for name in CONTROL_PLANE if host.is_control_plane else ():
            wanted, runs = (of(name, f"v{text(version)}")["image"] for version in each.parts[name])
            pods[f"{name}-{host}"] = replace(pods[f"{name}-{host}"], image=wanted, runs=runs)
    for number, host in enumerate(SITE.nodes):
        pods[f"kube-proxy-{number}"] = replace(
            pods[f"kube-proxy-{number}"], **of("kube-proxy", f"v{text(by_name[host.name].proxy)}")
        )
    config = whole.config | {"kubernetesVersion": f"v{text(seen.config)}"}
    return replace(whole, nodes=tuple(nodes), pods=tuple(pods.values()), config=config)


def rows(seen, site=SITE):
    return [(row.severity, row.topic, row.host, row.seen, row.fix) for row in rules.findings(site, seen, "hosts.yaml:12")]


def at(version):
    return msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, version=version))


def test_the_lists_name_all_hosts():
    assert set(SITE.nodes) == set(HOSTS.values())
    assert f"v{text(OLD)}" == VERSION


def test_a_whole_cluster():
    assert rows(cluster()) == [("ok", "versions", "", "1.28.0 everywhere: kubeadm-config, control plane, 5 kubelets", "")]


def test_in_each_moment_of_an_upgrade_one_finding_says_so_and_none_fails():
    last = len(all_steps())
    for steps in range(1, last):
        found = rules.findings(SITE, objects(upgrading(OLD, NEW, steps)))
        (only,) = [each for each in found if each.severity != "ok"]
        assert only.topic == "upgrade", steps
        assert only.seen.startswith("an upgrade from 1.28.0 to 1.28.3 is unfinished: "), steps
        assert only.fix == "inv upgrade.run --to 1.28.3"
        assert only.severity == ("warn" if steps < last - len(SITE.nodes) else "note"), steps


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        (1, "0 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; in the middle: master1; to go: master2, master3; kubeadm-config says 1.28.0: `kubeadm upgrade apply` has not finished"),
        (3, "1 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; to go: master2, master3; kubeadm-config says 1.28.0: `kubeadm upgrade apply` has not finished"),
        (4, "1 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; to go: master2, master3"),
        (8, "2 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; in the middle: master3"),
        (10, "3 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; to go: master1, master2, master3, worker1, worker2"),
        (12, "3 of 3 control plane hosts and 2 of 5 kubelets have 1.28.3; to go: master3, worker1, worker2"),
    ],
)  # fmt: skip
def test_how_far_it_has_come(steps, seen):
    (only,) = rules.findings(SITE, objects(upgrading(OLD, NEW, steps)))
    assert only.seen == f"an upgrade from 1.28.0 to 1.28.3 is unfinished: {seen}"


def test_a_part_that_does_not_run_at_the_moment_hides_no_upgrade():
    """Seen on the lab: between the last API server's end and its start nothing was said."""
    half = objects(upgrading(OLD, NEW, 10))
    pods = tuple(replace(pod, runs="", ready=False) if pod.name == "kube-apiserver-master3" else pod for pod in half.pods)
    (only,) = rules.findings(SITE, replace(half, pods=pods))
    assert (only.severity, only.topic, only.fix) == ("warn", "upgrade", "inv upgrade.run --to 1.28.3")
    assert only.seen.endswith("2 of 3 control plane hosts and 0 of 5 kubelets have 1.28.3; not known: kube-apiserver on master3")


def test_afterwards_hosts_yaml_is_named_with_the_line_to_write():
    found = rules.findings(SITE, objects(upgrading(OLD, NEW, len(all_steps()))), "hosts.yaml:12")
    assert [(each.severity, each.topic, each.seen, each.why, each.fix) for each in found if each.severity != "ok"] == [
        (
            "warn",
            "hosts.yaml",
            "kubernetes.version is 1.28.0, the whole cluster runs 1.28.3",
            "the next join would install 1.28.0",
            "write in hosts.yaml:12: version: 1.28.3",
        )
    ]
    assert not at_least("note", rules.findings(at("1.28.3"), objects(upgrading(OLD, NEW, len(all_steps())))))


def test_a_newer_version_in_hosts_yaml_may_be_meant():
    found = [each for each in rules.findings(at("1.29.4"), cluster(), "hosts.yaml:12") if each.severity != "ok"]
    assert [each.fix for each in found] == [
        "inv upgrade.run --to 1.29.4; or, if the cluster is to stay as it is, write in hosts.yaml:12: version: 1.28.0"
    ]
    half = rules.findings(at("1.27.9"), objects(upgrading(OLD, NEW, 5)))
    assert [each.topic for each in half] == ["upgrade", "hosts.yaml"]  # neither where it comes from nor where it goes to


def test_versions_that_do_not_fit_one_another():
    old = replace(cluster(), nodes=tuple(node(host, version="v1.24.9" if host == W1 else VERSION) for host in SITE.nodes))
    assert ("fail", "version skew", "worker1") in [row[:3] for row in rows(old)]
    new = replace(cluster(), nodes=tuple(node(host, version="v1.29.0" if host == W1 else VERSION) for host in SITE.nodes))
    assert {row[:3] for row in rows(new)} == {("warn", "versions", ""), ("fail", "version skew", "worker1")}


def test_a_newer_kubelet_of_the_same_minor_version_is_a_warning():
    """Not a failure: what has to serve serves."""
    new = replace(cluster(), nodes=tuple(node(host, version="v1.28.9" if host == W1 else VERSION) for host in SITE.nodes))
    assert [row[:2] for row in rows(new)] == [("warn", "versions")]


def test_what_the_runtime_calls_an_image_does_not_count_against_the_manifest():
    for runs in ("sha256:0123456789abcdef", "registry.example:5000/kube-apiserver:stable"):
        assert [row[0] for row in rows(with_pod("kube-apiserver-master1", runs=runs))] == ["ok"]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # Pods that are not ready are told as such; whether an upgrade is unfinished cannot be told beside it.
        (with_pod("kube-apiserver-master1", runs="", ready=False), []),
        (with_pod("kube-apiserver-master1", image="mine@sha256:00", runs="mine@sha256:00"), ["kube-apiserver on master1"]),
        (replace(cluster(), config={}), ["kubeadm-config"]),
        (replace(cluster(), config={}, errors={KUBEADM_CONFIG: "forbidden"}), ["kubeadm-config"]),
    ],
)
def test_what_is_not_known_is_never_ok(seen, expected):
    assert [(row[0], row[1], row[3]) for row in rows(seen)] == [
        ("warn", "versions", f"not known, so an upgrade may be unfinished: {each}") for each in expected
    ]


def test_what_another_check_reports_as_unread_is_not_told_again():
    for path in (NODES, pods_in("kube-system")):
        assert rows(replace(cluster(), nodes=(), pods=(), config={}, errors={path: "forbidden"})) == []
    assert [row[:4] for row in rows(replace(cluster(), pods=(), errors={control_plane_pods(): "forbidden"}))] == [
        ("warn", "versions", "", "not known: forbidden")
    ]


def test_hosts_outside_the_cluster_do_not_count():
    inside = replace(cluster(), nodes=tuple(node(host) for host in SITE.nodes if host != W1))
    assert rows(inside) == [("ok", "versions", "", "1.28.0 everywhere: kubeadm-config, control plane, 4 kubelets", "")]


# ---- while it runs


HOLDER = Holder(run="r", user="kim", machine="ops1", pid=1, what="inv upgrade.run", since="16:20:01")


def test_one_that_runs_is_no_problem_and_names_no_other_command():
    found = rules.findings(SITE, objects(upgrading(OLD, NEW, 5)))
    (now,) = rules.meanwhile(found, HOLDER)
    assert now.severity == "note"
    assert told(now).startswith("upgrade: an upgrade from 1.28.0 to 1.28.3 is on its way: 1 of 3 control plane hosts")
    assert told(now).endswith("; kim@ops1 is running inv upgrade.run (since 16:20:01)")
    assert now.fix == "wait until it has ended; inv site.lock shows whether it has"
    for holder in (None, replace(HOLDER, what="inv backup.run")):
        assert rules.meanwhile(found, holder) == found


def test_a_real_cluster_while_kubeadm_is_at_work_on_its_first_host():
    seen = parse_cluster(recorded_answer("kubernetes/1.20.3-objects-upgrading"))
    (only,) = rules.findings(msgspec.structs.replace(at("1.20.2"), hosts=LARGER.hosts), seen)
    assert (only.severity, only.fix) == ("warn", "inv upgrade.run --to 1.20.3")
    assert only.seen == (
        "an upgrade from 1.20.2 to 1.20.3 is unfinished: 0 of 3 control plane hosts and 0 of 6 kubelets have 1.20.3; in the middle: master1; "
        "to go: master2, master3; kubeadm-config says 1.20.2: `kubeadm upgrade apply` has not finished"
    )
