"""`inv upgrade.status`: the table, the findings, the exit status."""

import json
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.versions import COREDNS, PODS, AddonPod, ClusterVersions, HostVersions
from runbooks.errors import CommandError, OutcomeError
from runbooks.inventory.settings import Addons
from runbooks.rules.upgrade_seen import CONTROL_PLANE
from runbooks.rules.upgrade_standing import standing
from runbooks.upgrade import status
from runbooks.upgrade.rules import status as rules
from tests.support.fakes import lost, master, site

pytestmark = pytest.mark.unit

SITE = msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, version="1.36.3"))
M1, M2, M3 = (master(number) for number in (1, 2, 3))
W1 = SITE.workers[0]
OLD, NEW = "1.36.2", "1.36.3"
DNS = "a.example/coredns:v1.14.2"


def host(where, version=NEW, **more):
    parts = CONTROL_PLANE if where.is_control_plane else ()
    etcd = {"etcd": "a.example/etcd:3.6.8-0"} if parts else {}
    whole = HostVersions(
        joined=True,
        packages=dict.fromkeys(("kubeadm", "kubelet", "kubectl"), f"{version}-1.1"),
        held=frozenset({"kubelet"}),
        programs={
            "kubeadm": f"v{version}",
            "kubelet": f"Kubernetes v{version}",
            "kubectl": f"Client Version: v{version}",
            "containerd": "containerd c 1.7.24",
        },
        runs={
            "kubelet": (f"Kubernetes v{version}",),
            "containerd": ("containerd c 1.7.24",),
            **({"etcd": ("etcd Version: 3.6.8 Git SHA: x",)} if parts else {}),
            **dict.fromkeys(parts, (f"Kubernetes v{version}",)),
        },
        images={name: f"a.example/{name}:v{version}" for name in parts} | etcd,
        kernel="6.1.0",
        os="Debian GNU/Linux 12 (bookworm)",
    )
    return replace(whole, **more)


def hosts(version=NEW, **others):
    return {each: others.get(each.name, host(each, version)) for each in SITE.nodes}


def cluster(version=NEW, **more):
    image = f"a.example/kube-proxy:v{version}"
    return replace(
        ClusterVersions(
            config=f"v{version}",
            etcd_tag="",
            dns=DNS,
            proxy=image,
            dns_pods=(AddonPod(image=DNS, node=W1.name, ready=True),),
            proxy_pods=tuple(AddonPod(image=image, node=each.name, ready=True) for each in SITE.nodes),
            errors={},
        ),
        **more,
    )


class Hosts:
    """A Run that has read what it is given."""

    def __init__(self, readings, objects):
        self.site, self._readings, self._objects = SITE, readings, objects

    def read_each(self, probes, *, fresh):
        assert fresh
        return {
            each: self._readings[each] if probe.command.shown == "versions-look" else self._objects
            for each, probe in probes.items()
        }


def show(readings, objects, *, as_json=False):
    run = Hosts(readings, objects)
    status.show(SimpleNamespace(site=run.site, run=run, options=SimpleNamespace(json=as_json)))


def found(readings, objects, where=SITE):
    state = standing(rules.seen(where, readings, objects))
    return [
        f"{each.severity} {each.topic} {each.host}: {each.seen}"
        for each in rules.findings(where, readings, objects, state)
        if each.severity != "ok"
    ]


def test_one_version_everywhere(capsys):
    show(hosts(), cluster())
    out = capsys.readouterr().out
    assert "kubeadm-config 1.36.3, CoreDNS 1.14.2 (1 pod), kube-proxy 1.36.3" in out
    row = next(line for line in out.splitlines() if line.startswith("master1"))
    assert row.split() == ["master1", *[NEW] * 6, "3.6.8", NEW, "1.7.24", "6.1.0", "Debian", "GNU/Linux", "12", "(bookworm)"]
    row = next(line for line in out.splitlines() if line.startswith(W1.name))
    assert row.split()[:5] == [W1.name, NEW, NEW, NEW, NEW]
    assert (
        "ok  upgrade         1.36.3 everywhere: kubeadm-config, control plane" in " ".join(out.split("  "))
        or "1.36.3 everywhere" in out
    )


def test_half_done(capsys):
    readings = hosts(
        OLD, master1=host(M1, NEW, programs=host(M1, OLD).programs, runs={**host(M1).runs, "kubelet": (f"Kubernetes v{OLD}",)})
    )
    with pytest.raises(OutcomeError) as error:
        show(readings, cluster(OLD, config=f"v{NEW}"))
    assert "to 1.36.3: the control plane is on its way; done: master1; to go: master2, master3" in str(error.value)
    assert (
        error.value.hint == "inv upgrade.run --to 1.36.3; by hand: on master2, master3, one after the other: kubeadm upgrade node"
    )
    assert "1.36.2" in capsys.readouterr().out


def test_a_kubelet_that_was_not_restarted_shows_both(capsys):
    late = host(W1, NEW, runs={**host(W1).runs, "kubelet": (f"Kubernetes v{OLD}",)})
    with pytest.raises(OutcomeError):
        show(hosts(**{W1.name: late}), cluster())
    assert "1.36.2 (then 1.36.3)" in capsys.readouterr().out


def test_kubelets_that_lag_are_no_error(capsys):
    show(hosts(**{W1.name: host(W1, OLD)}), cluster())
    assert "note" in capsys.readouterr().out


def test_json(capsys):
    with pytest.raises(OutcomeError):
        show(hosts(master2=lost(M2)), cluster(), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert said["upgrade"]["state"] == "unknown"
    assert said["kubeadm_config"] == NEW
    assert "error" in said["hosts"]["master2"]
    assert said["hosts"]["master1"]["running"]["etcd"] == "3.6.8"
    assert said["hosts"]["master1"]["held"] == ["kubelet"]


def test_no_cluster():
    empty = {each: replace(host(each), joined=False) for each in SITE.nodes}
    with pytest.raises(OutcomeError, match="no cluster yet"):
        show(empty, cluster())


# ---- findings


def test_nothing():
    assert found(hosts(), cluster()) == []


@pytest.mark.parametrize(
    ("readings", "objects", "expected"),
    [
        (hosts(master1=lost(M1)), cluster(), "fail host master1: no answer"),
        (hosts(master3=replace(host(M3), joined=False)), cluster(), "fail host master3: it is in no cluster"),
        (hosts(), "no API server answers", "fail upgrade kubeadm-config: not read: no API server answers"),
        (hosts(), cluster(errors={KUBEADM_CONFIG: "Forbidden"}, config=""), "fail upgrade kubeadm-config: not read: Forbidden"),
        (hosts(master2=host(M2, images={**host(M2).images, "etcd": "e:3.6.11-0"})), cluster(), "note etcd master2: the tag of its image says 3.6.11, 3.6.8 runs; kubeadm goes by the tag"),
        (hosts(master2=host(M2, runs={**host(M2).runs, "etcd": ("etcd Version: 3.5.24",)})), cluster(), "warn etcd : versions differ: 3.6.8 on master1, master3; 3.5.24 on master2"),
        (hosts(master2=host(M2, runs={name: said for name, said in host(M2).runs.items() if name != "etcd"})), cluster(), "fail etcd master2: no running etcd was found"),
        (hosts(master2=host(M2, runs={name: said for name, said in host(M2).runs.items() if name != "kube-scheduler"})), cluster(), "warn upgrade : no version known: kube-scheduler on master2"),
        (hosts(**{W1.name: host(W1, programs={**host(W1).programs, "containerd": "containerd c v2.1.9"})}), cluster(), f"warn containerd {W1.name}: 2.1.9 is installed, 1.7.24 runs"),
        (hosts(), cluster(errors={COREDNS: "not found"}, dns=""), "fail CoreDNS : not read: not found"),
        (hosts(), cluster(errors={PODS: "timeout"}, proxy_pods=()), "fail kube-proxy : not read: timeout"),
        (hosts(), cluster(dns="a.example/coredns:v1.15.0"), f"warn CoreDNS {W1.name}: its pod does not have the image a.example/coredns:v1.15.0 yet"),
        (hosts(), cluster(dns_pods=(AddonPod(image=DNS, node=W1.name, ready=False),)), f"warn CoreDNS {W1.name}: its pod is not Ready"),
        (hosts(), cluster(proxy="a.example/kube-proxy:v1.36.2", proxy_pods=()), "warn kube-proxy : its DaemonSet has 1.36.2, the control plane is 1.36.3: kubeadm upgrades it after the last control plane host"),
    ],
)  # fmt: skip
def test_findings(readings, objects, expected):
    assert expected in found(readings, objects)


def test_another_version_in_hosts_yaml():
    assert found(hosts(OLD), cluster(OLD)) == ["warn hosts.yaml : kubernetes.version is 1.36.3, the control plane is 1.36.2"]


def test_addons_that_the_site_does_not_want():
    without = msgspec.structs.replace(
        SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, addons=Addons(coredns=False, kube_proxy=False))
    )
    assert found(hosts(), cluster(dns="", proxy="", dns_pods=(), proxy_pods=(), errors={COREDNS: "not found"}), without) == []


def test_external_etcd_is_not_looked_for():
    outside = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, etcd="external"))
    bare = {each: replace(said, runs={k: v for k, v in said.runs.items() if k != "etcd"}) for each, said in hosts().items()}
    assert found(bare, cluster(), outside) == []


def test_objects_are_asked_of_the_next_host_when_the_first_has_no_answer():
    from runbooks.upgrade.look import cluster as read  # noqa: PLC0415

    said = {M1: CommandError("master1: timeout"), M2: cluster(errors={KUBEADM_CONFIG: "Forbidden"}), M3: cluster()}
    run = SimpleNamespace(read_each=lambda probes, fresh: {each: said[each] for each in probes})
    assert read(run, [M1, M2, M3]) == said[M3]
    assert read(run, [M1, M2]) == said[M2]
    assert read(run, [M1]) == "master1: timeout"
    assert read(run, []) == "no API server answers"
