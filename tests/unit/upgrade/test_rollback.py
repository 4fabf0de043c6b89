"""Whether a host can go back: which version, which files, and every reason against it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from runbooks.commands.upgrade_backups import Backups, Folder, Manifest
from runbooks.rules.upgrade_seen import CONTROL_PLANE, NodeSeen, Seen, text
from runbooks.upgrade.rules.rollback import ETCD, ORDER, Back, Refused, away_from_home, decide
from tests.support.fakes import master

pytestmark = pytest.mark.unit

OLDER, OLD, NEW = (1, 36, 1), (1, 36, 2), (1, 36, 3)
E1, E2, E3 = "3.5.24-0", "3.5.26-0", "3.6.8-0"
M1, M2, M3, W1 = "master1", "master2", "master3", "worker1"
HOME: dict[str, tuple[str, ...]] = {}


def folder(kind, time, version=None, etcd="", *, pods=ORDER, mark="", files=None):
    """Manifests of one version; of the same version and mark they are the same files."""
    found = {pod: Manifest(f"a.example/{pod}:v{text(version)}", f"{pod}-{text(version)}{mark}") for pod in pods if version}
    if etcd:
        found[ETCD] = Manifest(f"a.example/etcd:{etcd}", f"etcd-{etcd}")
    path = {"now": "/m", "kept": f"/kept/{text(version)}"}.get(kind, f"/old/{time}")
    return Folder(kind=kind, time=time, path=path, pods=found, files=files or {})


def backups(now=NEW, etcd=E1, *, kept=(), kubeadm=(), here=None, files=None, **more):
    here = here or folder("now", 0, now, etcd, files=files)
    by_time = [tuple(sorted(each, key=lambda one: -one.time)) for each in (kept, kubeadm)]
    return Backups(now=here, kept=by_time[0], kubeadm=by_time[1], **more)


BEFORE = folder("kept", 100, OLD, E1)


def node(name, version=NEW, kubelet=OLD, etcd=E1, **more):
    masters = name.startswith("master")
    tag = tuple(map(int, etcd.split("-")[0].split(".")))
    made = NodeSeen(
        name=name,
        control_plane=masters,
        kubelet=kubelet,
        kubelet_runs=kubelet,
        proxy=kubelet,
        manifests={**dict.fromkeys(CONTROL_PLANE, version), ETCD: tag} if masters else {},
        runs={**dict.fromkeys(CONTROL_PLANE, version), ETCD: tag} if masters else {},
    )
    return replace(made, **more)


def cluster(*nodes, **more):
    there = {each.name: each for each in (node(M1), node(M2, OLD), node(M3, OLD), node(W1))}
    return Seen(nodes=tuple((there | {each.name: each for each in nodes}).values()), config=NEW, **more)


def decided(found, seen=None, host=M1, away=HOME, **more):
    return decide(seen or cluster(), host, found, away=away, **more)


def back(*words, **more):
    found = decided(*words, **more)
    assert isinstance(found, Back), found
    return found


def refused(*words, **more):
    found = decided(*words, **more)
    assert isinstance(found, Refused), found
    assert found.way
    return found.why


# ---- what goes back


def test_the_api_server_goes_back_after_what_uses_it_and_etcd_stays_when_its_image_is_the_same():
    found = back(backups(kept=[BEFORE]))
    assert (found.to, found.since, found.there, found.etcd) == (OLD, NEW, False, "its image is the same")
    assert [(put.name, put.path, put.sha256, put.to) for put in found.pods] == [
        (pod, f"/kept/1.36.2/{pod}.yaml", f"{pod}-1.36.2", f"/etc/kubernetes/manifests/{pod}.yaml") for pod in ORDER
    ]
    assert ORDER[-1] == "kube-apiserver"


def test_kubeadms_own_backup_is_enough_without_etcd():
    found = back(backups(kubeadm=[folder("kubeadm", 100, OLD)]))
    assert {put.path for put in found.pods} == {f"/old/100/{pod}.yaml" for pod in ORDER}
    assert found.etcd == "its image is the same"


def test_a_run_that_was_ended_and_repeated_has_spread_its_backups():
    spread = [folder("kubeadm", 100, OLD, pods=ORDER[2:]), folder("kubeadm", 200, OLD, pods=ORDER[:2])]
    assert [put.path for put in back(backups(kubeadm=spread)).pods] == [
        "/old/200/kube-controller-manager.yaml",
        "/old/200/kube-scheduler.yaml",
        "/old/100/kube-apiserver.yaml",
    ]


@pytest.mark.parametrize("done", [each for number in range(4) for each in permutations(ORDER, number)])
def test_whatever_was_put_back_already_the_same_command_goes_on_to_the_same_version(done):
    """Also with the backups of two upgrades: it never goes on to the version before the version before."""
    pods = {**folder("now", 0, NEW, E1).pods, **{pod: BEFORE.pods[pod] for pod in done}}
    found = back(backups(here=replace(folder("now", 0), pods=pods), kept=[BEFORE, folder("kept", 50, OLDER, E1)]))
    assert found.to == OLD
    assert {put.name for put in found.pods if not put.path} == set(done)
    assert found.there == (set(done) == set(ORDER))


def test_a_manifest_that_is_missing_is_put_back():
    """kubeadm was killed between moving the old one away and moving the new one in."""
    here = folder("now", 0, NEW, E1, pods=ORDER[:2])
    assert back(backups(here=here, kept=[BEFORE])).pods[2].path == "/kept/1.36.2/kube-apiserver.yaml"
    here = folder("now", 0, OLD, E1, pods=ORDER[:2])
    found = back(backups(here=here, kubeadm=[folder("kubeadm", 100, OLD, pods=ORDER[2:])]))
    assert (found.to, [put.path for put in found.pods]) == (OLD, ["", "", "/old/100/kube-apiserver.yaml"])


def test_a_backup_that_kubeadm_made_when_it_was_run_again_in_the_same_version_is_none_to_go_back_to():
    again = folder("kubeadm", 300, NEW, E1, mark=" with other flags")
    assert back(backups(kept=[BEFORE], kubeadm=[again])).to == OLD
    assert refused(backups(kubeadm=[again])).startswith("master1: there is no backup of the manifests before 1.36.3")


def test_the_kubelets_files_that_kubeadm_has_written_anew_go_back():
    kept = folder("kept", 100, OLD, E1, files={"config.yaml": "a", "kubeadm-flags.env": "b"})
    found = back(backups(kept=[kept], files={"config.yaml": "a", "kubeadm-flags.env": "c", "instance-config.yaml": "d"}))
    assert [(put.path, put.sha256, put.to) for put in found.files] == [
        ("/kept/1.36.2/kubelet/kubeadm-flags.env", "b", "/var/lib/kubelet/kubeadm-flags.env")
    ]


# ---- why not


def test_without_a_backup_there_is_no_way_back_but_a_set():
    assert decided(backups()) == Refused(
        "master1: there is no backup of the manifests before 1.36.3: nothing in /etc/kubernetes/tmp, and nothing was kept by this tool",
        "inv backup.extract --host master1 gets /etc/kubernetes/manifests out of a set that was made before the upgrade; or go on to the new version",
    )
    assert "of kube-scheduler 1.36.2" in refused(backups(kubeadm=[folder("kubeadm", 100, OLD, pods=(ORDER[0], ORDER[2]))]))


def test_a_newer_version_is_no_way_back():
    """kubeadm accepts a lower patch release without a question; the backup of that is of the newer version."""
    found = [folder("kubeadm", 100, NEW), folder("kubeadm", 50, OLDER)]
    assert "(the newest is of 1.36.3)" in refused(backups(now=OLD, kubeadm=found))


@pytest.mark.parametrize("version", [(1, 34, 9), (2, 0, 0)])
def test_no_more_than_one_minor_version(version):
    found = backups(kubeadm=[folder("kubeadm", 100, version)])
    seen = Seen(nodes=tuple(replace(each, kubelet=version, kubelet_runs=version) for each in cluster().nodes))
    assert isinstance(decide(seen, M1, found, away=HOME), Refused)


def test_one_minor_version_goes_back():
    before = (1, 35, 6)
    seen = cluster(*(node(name, before, kubelet=before) for name in (M2, M3, W1)), node(M1, kubelet=before))
    assert back(backups(kept=[folder("kept", 1, before, E1)]), seen).to == before


@pytest.mark.parametrize("name", [M1, M3, W1])
@pytest.mark.parametrize("more", [{"kubelet": NEW}, {"kubelet_runs": NEW}])
def test_no_kubelet_of_the_cluster_is_newer_also_one_that_is_only_installed(name, more):
    seen = cluster(replace(node(name, NEW if name == M1 else OLD), **more))
    found = decided(backups(kept=[BEFORE]), seen)
    assert isinstance(found, Refused)
    assert found.why == f"a kubelet must not be newer than the API server, which would be 1.36.2: {name} (1.36.3)"
    assert found.way.startswith(f"on {name}, one after the other: drain, install kubelet 1.36.2")


def test_a_kubelet_that_is_not_known_is_not_taken_for_an_old_one():
    unread = NodeSeen(name=W1, control_plane=False)
    assert refused(backups(kept=[BEFORE]), cluster(unread)).startswith("which kubelet runs on worker1 is not known")


def test_kube_proxy_is_judged_by_minor_versions():
    before = (1, 35, 6)
    found = backups(kept=[folder("kept", 1, before, E1)])
    old = [replace(each, kubelet=before, kubelet_runs=before) for each in cluster().nodes]
    assert refused(found, cluster(*(replace(each, proxy=NEW) for each in old))).startswith("kube-proxy on master1")
    assert back(backups(kept=[BEFORE]), cluster(*(replace(each, proxy=NEW) for each in cluster().nodes))).to == OLD
    assert back(found, cluster(*(replace(each, proxy=None) for each in old))).to == before


def test_a_newer_controller_manager_on_another_host_counts_only_when_it_uses_the_vip():
    before = (1, 35, 6)
    found = backups(kept=[folder("kept", 1, before, E1)])
    seen = cluster(*(replace(node(name), kubelet=before, kubelet_runs=before, proxy=before) for name in (M1, M2, M3, W1)))
    assert back(found, seen).to == before
    why = refused(found, seen, away={M2: ("kube-controller-manager",), M1: ("kube-scheduler",)})
    assert why == (
        "newer than the API server would be (1.35.6), and not bound to the API server of their own host: kube-controller-manager 1.36.3 on master2"
    )
    patch = backups(kept=[BEFORE])
    assert back(patch, cluster(node(M2), node(M3)), away={M2: ORDER[:2]}).to == OLD


def test_which_api_server_is_used():
    own = {"kube-controller-manager": "https://10.1.1.101:6443", "kube-scheduler": "https://10.1.1.100:6443"}
    assert away_from_home(master(1), backups(uses=own)) == ("kube-scheduler",)


def test_a_worker_and_images_without_a_version():
    assert refused(backups(here=folder("now", 0)), host=W1).startswith("worker1: no version of a control plane")
    digests = {pod: Manifest(f"a.example/{pod}@sha256:00", "x") for pod in ORDER}
    assert refused(backups(here=replace(folder("now", 0), pods=digests), kept=[BEFORE])).startswith("master1: no version")


# ---- etcd


def test_another_patch_of_etcd_goes_back_last():
    found = back(backups(etcd=E2, kept=[BEFORE]))
    assert (found.pods[-1].name, found.pods[-1].image, found.etcd) == (ETCD, f"a.example/etcd:{E1}", "")
    assert len(found.pods) == 4


def test_another_minor_version_of_etcd_goes_back_only_while_a_member_of_the_old_one_runs():
    """etcd's guide to 3.6: in this mixed state the cluster continues as 3.5."""
    found = backups(etcd=E3, kept=[BEFORE], data=(folder("data", 100),))
    assert back(found, cluster(node(M1, etcd=E3), node(M2, OLD, etcd=E3), node(M3, OLD))).pods[-1].name == ETCD
    whole = [node(name, etcd=E3) for name in (M1, M2, M3)]
    why = refused(found, cluster(*whole))
    assert why == (
        "master1: etcd was 3.5.24 and is 3.6.8 on every host: its data has been migrated, and etcd 3.5 does not start on it"
    )
    down = replace(node(M3, OLD), runs={})
    assert "has been migrated" in refused(found, cluster(*whole[:2], down))
    way = decided(found, cluster(*whole)).way
    assert "inv recover.etcd-quorum" in way
    assert "/old/100, must never be put back" in way


def test_etcds_that_cannot_be_compared_stop_it():
    pinned = replace(BEFORE, pods={**BEFORE.pods, ETCD: Manifest("a.example/etcd@sha256:00", "x")})
    assert "its versions are not known" in refused(backups(kept=[pinned]))
    same = backups(
        kept=[pinned], here=replace(folder("now", 0, NEW), pods={**folder("now", 0, NEW).pods, ETCD: pinned.pods[ETCD]})
    )
    assert back(same).etcd == "its image is the same"


def test_an_external_etcd_is_left_alone():
    assert back(backups(etcd="", kept=[replace(BEFORE, pods={pod: BEFORE.pods[pod] for pod in ORDER})]), external=True).etcd


def test_kubeadm_saves_the_new_etcd_too_when_it_is_run_again():
    """It replaces etcd first: one that was killed then, and repeated, has the old etcd in the first folder and the new one in the second."""
    spread = [folder("kubeadm", 100, etcd=E1), folder("kubeadm", 200, OLD, etcd=E2), folder("kubeadm", 50, OLDER, etcd=E1)]
    assert back(backups(etcd=E2, kubeadm=spread)).pods[-1].image == f"a.example/etcd:{E1}"
    assert back(backups(etcd=E2, kubeadm=[*spread[1:]])).etcd == "its image is the same"
