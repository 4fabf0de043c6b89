"""The path of an upgrade: skew, hops, refusals, and upgrades that were left half done."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.rules import upgrade_skew as skew
from runbooks.rules import upgrade_standing as standing
from runbooks.rules.finding import at_least
from runbooks.rules.upgrade_seen import CONTROL_PLANE, Seen, text, version_in
from runbooks.upgrade.rules import path
from tests.unit.upgrade.clusters import MASTERS, WORKERS, all_steps, cluster, node, upgrading

pytestmark = pytest.mark.unit

A, B, C = (1, 35, 6), (1, 36, 3), (1, 36, 4)
NONE = {"manifests": dict.fromkeys(CONTROL_PLANE), "runs": dict.fromkeys(CONTROL_PLANE)}
versions = st.tuples(st.just(1), st.integers(20, 40), st.integers(0, 15))


def said(found):
    return [f"{each.severity} {each.host}: {each.seen}" for each in found]


# ---- versions


@given(versions)
def test_a_version_is_found_in_whatever_names_it(version):
    word = text(version)
    for said in (
        f"v{word}",
        f"Kubernetes v{word}",
        f"a.example:5000/kube-apiserver:v{word}",
        f"{word}-1.1",
        f"0:{word}-150500.1",
        f"v{word}-rc.1",
    ):
        assert version_in(said) == version


@pytest.mark.parametrize("said", ["", "a@sha256:1234", "127.0.0.1:5000/pause", "1.36", "latest"])
def test_no_version(said):
    assert version_in(said) is None


# ---- hops


@given(versions, versions)
def test_hops_go_up_one_minor_at_a_time_and_end_at_the_target(current, target):
    way = path.hops(current, target)
    assert bool(way) is (target > current)
    if way:
        assert way[-1].to == target
        minors = [current[1], *(hop.minor for hop in way)]
        assert all(after - before in ({0, 1} if len(way) == 1 else {1}) for before, after in pairwise(minors))


@given(versions, versions, st.booleans())
def test_what_is_not_refused_goes_up_by_one_hop_unless_several_are_asked_for(current, target, several):
    if path.refused(current, target, several=several) is None:
        assert target >= current
        assert several or len(path.hops(current, target)) <= 1
    else:
        assert target < current or len(path.hops(current, target)) > 1


def test_the_hops_take_the_newest_patch_on_offer():
    assert [str(hop) for hop in path.hops((1, 33, 1), B, [(1, 34, 2), (1, 34, 9), (1, 36, 9)])] == [
        "1.34.9",
        "the newest 1.35",
        "1.36.3",
    ]


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ((1, 36, 2), "1.36.2 is an older patch release than 1.36.3, which runs here: a downgrade"),
        ((1, 35, 9), "1.35.9 is older than 1.36.3, which runs here: a downgrade"),
        ((1, 38, 0), "from 1.36.3 to 1.38.0: minor versions in between are skipped"),
        ((2, 0, 0), "2.0.0 is not a version that this tool upgrades to"),
    ],
)
def test_refused(target, seen):
    no = path.refused(B, target)
    assert no is not None
    assert no.seen == seen
    assert no.fix


def test_skipped_minors_are_refused_with_the_way():
    no = path.refused((1, 33, 4), B)
    assert no is not None
    assert no.fix == "one after the other: the newest 1.34, the newest 1.35, 1.36.3"
    assert path.refused((1, 33, 4), B, several=True) is None


def test_the_path_of_a_whole_cluster():
    assert said(path.findings_for(cluster(A), B)) == [
        "ok : from 1.35.6 to 1.36.3: one minor version",
        "ok : 1.35.6 everywhere: kubeadm-config, control plane, 5 kubelets",
        "ok : every part fits the API servers (1.35.6)",
    ]
    assert said(path.findings_for(cluster(B), C))[0] == "ok : from 1.36.3 to 1.36.4: a patch release"
    assert said(path.findings_for(cluster(B), B))[0] == "ok : the control plane is at 1.36.3 already"
    assert said(path.findings_for(cluster(B), (1, 40, 0), several=True))[1].startswith("warn : 1.40 is newer than what")


def test_an_unfinished_upgrade_is_finished_before_another_begins():
    seen = upgrading(A, B, 2)
    found = path.findings_for(seen, C)
    assert said(found)[0] == "fail : an upgrade to 1.36.3 is unfinished, so none to 1.36.4 can begin"
    assert "kubeadm upgrade apply v1.36.3" in found[0].fix
    assert at_least("fail", path.findings_for(seen, A))
    assert not at_least("fail", path.findings_for(seen, B))


def test_kubelets_may_stay_behind_but_not_too_far():
    late = cluster(A, w1=node("w1", (1, 33, 0)))
    assert not at_least("fail", path.findings_for(late, B))
    found = at_least("fail", path.findings_for(cluster(A, w1=node("w1", (1, 32, 0))), B))
    assert {each.host for each in found} == {"w1"}
    assert "kubelet 1.32.0 is 4 minor versions older than the API server 1.36.3; at most 3 are supported" in [
        each.seen for each in found
    ]


# ---- skew


@pytest.mark.parametrize(
    ("part", "version", "oldest", "newest", "allowed"),
    [
        ("kubelet", A, A, B, True),
        ("kubelet", B, A, B, False),
        ("kubelet", (1, 33, 0), A, B, True),
        ("kubelet", (1, 32, 0), A, A, True),
        ("kubelet", (1, 32, 0), A, B, False),
        ("kubelet", (1, 25, 0), (1, 28, 0), (1, 28, 0), True),
        ("kubelet", (1, 24, 0), (1, 27, 0), (1, 27, 0), False),
        ("kubelet", (1, 24, 0), (1, 26, 0), (1, 26, 0), True),
        ("kubelet", (1, 25, 0), (1, 27, 0), (1, 28, 0), True),
        ("kube-proxy", (1, 33, 0), B, B, True),
        ("kube-proxy", C, A, B, False),
        ("kube-scheduler", B, A, B, False),
        ("kube-scheduler", A, B, B, True),
        ("kube-controller-manager", (1, 34, 0), B, B, False),
        ("kubectl", (1, 37, 0), B, B, True),
        ("kubectl", (1, 37, 0), A, B, False),
        ("kubectl", A, B, B, True),
        ("kubectl", (1, 34, 0), A, B, False),
    ],
)
def test_the_policy(part, version, oldest, newest, allowed):
    assert (skew.why_not(part, version, oldest, newest) == "") is allowed


def test_what_does_not_fit_now():
    found = said(skew.now(cluster(B, w1=node("w1", A, kubelet_runs=(1, 37, 0)), m2=node("m2", (1, 34, 1)))))
    assert found[0] == "fail : the API servers are more than one minor version apart: 1.36.3 on m1, m3; 1.34.1 on m2"
    assert {each for each in found if " w1: " in each} == {
        "fail w1: kubelet 1.37.0 is newer than the API server 1.34.1",
        "fail w1: kube-proxy 1.35.6 is newer than the API server 1.34.1",
        "note w1: kubeadm 1.35.6 cannot manage this cluster, which is 1.36.3 (kubeadm-config)",
    }
    assert {each for each in found if " m2: " in each} == {
        "warn m2: kubectl 1.34.1 is 2 minor versions older than the API server 1.36.3; at most 1 is supported",
        "note m2: kubeadm 1.34.1 cannot manage this cluster, which is 1.36.3 (kubeadm-config)",
    }


def test_controllers_are_compared_with_the_api_server_of_their_own_host():
    old = node("m1", A)
    ahead = node("m1", A, runs={**old.runs, "kube-scheduler": B})
    behind = node("m1", B, runs={**node("m1", B).runs, "kube-scheduler": (1, 34, 0)})
    assert said(skew.now(cluster(A, m1=ahead))) == ["fail m1: kube-scheduler 1.36.3 is newer than the API server 1.35.6"]
    assert said(skew.now(cluster(B, m1=behind))) == [
        "fail m1: kube-scheduler 1.34.0 is 2 minor versions older than the API server 1.36.3; at most 1 is supported"
    ]
    assert said(skew.now(upgrading(A, B, 4)))[:2] == [
        "ok : every part fits the API servers (1.35.6 to 1.36.3)",
        "note m2: kubeadm 1.35.6 cannot manage this cluster, which is 1.36.3 (kubeadm-config)",
    ]


def test_kube_proxy_and_kubelet_of_a_node():
    found = said(skew.now(cluster(B, w1=node("w1", B, proxy=(1, 32, 0)))))
    assert "fail w1: kube-proxy 1.32.0 and kubelet 1.36.3 are 4 minor versions apart; at most 3 are supported" in found


def test_no_known_api_server_is_a_failure():
    assert said(skew.now(Seen(nodes=(node("m1", None),)))) == ["fail : the version of no API server is known"]


# ---- how far it has come


@given(st.integers(0, len(all_steps())), st.sampled_from([(A, B), (B, C)]))
def test_every_point_of_an_upgrade_is_recognised_and_leads_on(steps, pair):
    since, to = pair
    seen = upgrading(since, to, steps)
    state = standing.standing(seen)
    assert not state.missing
    if steps in {0, len(all_steps())}:
        assert (state.state, state.to, state.next) == ("whole", to if steps else since, "")
        return
    control_plane = steps < 1 + 3 * len(MASTERS)
    assert state.state == ("control plane" if control_plane else "nodes")
    assert (state.to, state.since) == (to, since if control_plane else None)
    hosts = MASTERS if control_plane else (*MASTERS, *WORKERS)
    assert sorted([*state.done, *state.begun, *state.left]) == sorted(hosts)
    assert state.next
    assert not at_least("fail", path.findings_for(seen, to))


@given(st.integers(1, len(all_steps()) - 1), st.data())
def test_what_cannot_be_read_is_never_whole(steps, data):
    seen = upgrading(A, B, steps)
    lost = data.draw(st.sampled_from([*MASTERS, *WORKERS, "kubeadm-config"]))
    nodes = tuple(node(each.name, None) if each.name == lost else each for each in seen.nodes)
    less = Seen(nodes=nodes, config=None if lost == "kubeadm-config" else seen.config, unread={lost: "no answer"})
    state = standing.standing(less)
    assert state.state != "whole"
    assert lost in state.missing
    assert at_least("fail", standing.findings(state, less))


@given(st.lists(st.sampled_from([None, A, B, C, (1, 34, 0)]), min_size=20, max_size=20), st.sampled_from([None, A, B, C]))
def test_any_mixture_of_versions_has_an_answer(drawn, config):
    masters = [
        node(
            name,
            None,
            manifests=dict(zip(CONTROL_PLANE, drawn[number * 3 :], strict=False)),
            runs=dict(zip(CONTROL_PLANE, drawn[number * 3 + 1 :], strict=False)),
            kubelet_runs=drawn[number],
        )
        for number, name in enumerate(MASTERS)
    ]
    seen = Seen(nodes=(*masters, node("w1", drawn[19])), config=config)
    state = standing.standing(seen)
    found = path.findings_for(seen, C)
    assert all(each.fix for each in found if each.severity != "ok")
    known = (
        {version for each in masters for pair in each.parts.values() for version in pair}
        | {each.kubelet_runs for each in seen.nodes}
        | {config}
    )
    assert (state.state == "whole") is (len(known) == 1 and None not in known)


def test_a_new_manifest_whose_container_still_runs_the_old_version():
    seen = cluster(A, m1=node("m1", A, manifests=dict.fromkeys(CONTROL_PLANE, B)))
    state = standing.standing(seen)
    assert (state.state, state.begun, state.left) == ("control plane", ("m1",), ("m2", "m3"))
    assert state.next.startswith("on m1: kubeadm upgrade apply v1.36.3 (it has not finished: kubeadm-config says 1.35.6)")


def test_after_the_first_host_the_others_follow_by_upgrade_node():
    assert standing.standing(upgrading(A, B, 5)).next == "on m2, m3, one after the other: kubeadm upgrade node"


def test_all_static_pods_are_new_but_kubeadm_config_is_not():
    state = standing.standing(cluster(B, A))
    assert (state.state, state.done, state.since) == ("control plane", MASTERS, A)
    assert "kubeadm upgrade apply v1.36.3" in state.next


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (cluster(A, m1=node("m1", B), m2=node("m2", C)), "the control plane has more than two versions: "),
        (cluster((1, 34, 0), m1=node("m1", B), ), "the control plane has versions that are more than one minor version apart: 1.34.0 and 1.36.3"),
        (cluster(A, w2=node("w2", B)), "kubelets are newer than the whole control plane (1.35.6): 1.36.3 on w2"),
        (cluster(A, B), "kubeadm-config says 1.36.3, but no host has it; the control plane has 1.35.6"),
    ],
)  # fmt: skip
def test_versions_that_no_upgrade_leaves_behind(seen, why):
    state = standing.standing(seen)
    assert state.state == "mixed"
    assert state.why.startswith(why)
    assert at_least("fail", path.findings_for(seen, C))


def test_kubelets_that_were_installed_and_not_restarted():
    state = standing.standing(cluster(B, w1=node("w1", B, kubelet_runs=A)))
    assert (state.state, state.begun, state.left) == ("nodes", ("w1",), ())
    assert [each.severity for each in standing.findings(state, cluster(B))] == ["warn"]


def test_kubelets_that_lag_are_only_noted():
    seen = cluster(B, w1=node("w1", A))
    assert said(standing.findings(standing.standing(seen), seen)) == [
        "note : to 1.36.3: the control plane has arrived, kubelets have not; done: m1, m2, m3, w2; to go: w1"
    ]


def test_a_kubelet_before_the_last_master_is_named():
    seen = upgrading(A, B, 6)
    early = Seen(nodes=tuple(replace(each, kubelet_runs=B) if each.name == "w1" else each for each in seen.nodes), config=B)
    assert any(each.host == "w1" and "its kubelet is 1.36.3 already" in each.seen for each in path.findings_for(early, B))


def test_a_master_that_does_not_answer_is_not_taken_for_done():
    seen = cluster(B, m2=node("m2", None), w1=node("w1", A))
    state = standing.standing(Seen(nodes=seen.nodes, config=B, unread={"m2": "no answer"}))
    assert (state.state, state.next) == ("unknown", "")
