"""What hosts.yaml gives to one host: which files lie there, what changes when hosts.yaml does, and what of other people stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbooks.cluster import patches, prepare
from runbooks.commands.base import Command, Probe
from runbooks.commands.files import File, Found
from runbooks.commands.settings_look import HostSettings
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import OfNodes, Roles
from runbooks.rules import host_patches, kubelet_env
from runbooks.rules.kubeadm_args import problems
from tests.support.fakes import master, site
from tests.unit.commands.test_kubelet_line import EXTRA, UNIT

pytestmark = pytest.mark.unit

DIRECTORY = "/etc/kubernetes/patches"
THEIRS = {f"{DIRECTORY}/kube-scheduler.yaml": "metadata: {}", f"{DIRECTORY}/README": "x", EXTRA: "KUBELET_EXTRA_ARGS=--v=2\n"}
WORKER, MASTER = site().workers[0], master(1)


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, Path]:
    given = {
        "kube-scheduler0+merge.yaml": "metadata: {annotations: {a: b}}\n",
        "etcd.json": "{}",
        "kubeletconfiguration+json.yaml": "[{op: add, path: /podPidsLimit, value: 100}]\n",
    }
    for name, text in given.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in given}


def of(version: str = "1.28.0", *, all_: tuple[Path, ...] = (), worker: OfNodes | None = None, **host: Any) -> Site:
    """A site with patches for all hosts, with what workers have, and with what the first worker or master has (``on``)."""
    replace = msgspec.structs.replace
    on = host.pop("on", WORKER)
    return replace(
        site(),
        kubernetes=replace(site().kubernetes, version=version, patches=all_, kubelet=host.pop("kubernetes", {})),
        roles=Roles(worker=worker or OfNodes()),
        hosts=tuple(replace(each, **host) if each == on else each for each in site().hosts),
    )


def own(of_site: Site, host: Host) -> Host:
    return of_site.host(host.name)


def wanted(of_site: Site, host: Host) -> host_patches.HostPatches:
    return patches.wanted(of_site, own(of_site, host))


def differing(of_site: Site, host: Host, files: dict[str, str], **more: Any) -> patches.Change:
    return patches.differing(of_site, own(of_site, host), HostSettings(unit=UNIT, files=files), **more)


def as_on_host(of_site: Site, host: Host) -> dict[str, str]:
    """Return the files of a host that has all of it, beside those of other people."""
    return THEIRS | {each.path: each.content for each in differing(of_site, host, THEIRS).place}


def test_the_order_is_that_of_hosts_yaml_and_a_worker_gets_no_patch_of_the_control_plane(texts: dict[str, Path]) -> None:
    first, second, third = texts.values()
    there = of(all_=(third, first, second), on=MASTER, patches=(first.parent / "kube-scheduler9+merge.yaml",))
    (first.parent / "kube-scheduler9+merge.yaml").write_text("a: b")
    assert list(wanted(there, MASTER).files) == [
        "kubeletconfiguration-ha-runbooks-000+json.yaml",
        "kube-scheduler-ha-runbooks-000-0+merge.yaml",
        "etcd-ha-runbooks-000+strategic.json",
        "kube-scheduler-ha-runbooks-001-9+merge.yaml",
    ]
    assert list(wanted(there, WORKER).files) == ["kubeletconfiguration-ha-runbooks-000+json.yaml"]
    assert all(host_patches.is_ours(name) for name in wanted(there, MASTER).files)


def test_without_anything_given_nothing_is_read_written_or_stepped(texts: dict[str, Path]) -> None:
    assert not differing(site(), MASTER, THEIRS)
    assert wanted(site(), MASTER) == host_patches.HostPatches()
    titles = [step.title for each in prepare.steps(site(), site().nodes) for step in each.steps]  # type: ignore[union-attr]
    assert "kubeadm's patches, its kubelet's own settings" not in titles
    some = of(all_=(texts["etcd.json"],))
    last = prepare.steps(some, some.nodes)[-1]
    assert [step.host for step in last.steps] == list(some.control_plane)  # type: ignore[union-attr]


def test_the_settings_of_role_and_host_are_one_patch_or_flags_below_1_25() -> None:
    worker = OfNodes(kubelet={"maxPods": 200, "evictionHard": {"nodefs.available": "5%"}})
    settings = {"kubelet": {"maxPods": 50, "evictionHard": {"memory.available": "1Gi"}}, "kubernetes": {"maxPods": 110}}
    new = of("1.25.0", worker=worker, **settings)
    name = "kubeletconfiguration-ha-runbooks-host+merge.yaml"
    assert wanted(new, WORKER).flags == {}
    assert patches.on_kubelet(new, own(new, WORKER), {"maxPods": "110", "cgroupDriver": "systemd"}, {}, {}) == {
        "maxPods": "50",
        "cgroupDriver": "systemd",
        "evictionHard": {"nodefs.available": "5%", "memory.available": "1Gi"},
    }
    assert list(wanted(new, WORKER).files) == [name]
    old = of("1.24.0", worker=worker, **settings)
    flags = {"max-pods": "50", "eviction-hard": "nodefs.available<5%,memory.available<1Gi"}
    assert wanted(old, WORKER) == host_patches.HostPatches(flags=flags)
    assert patches.on_kubelet(old, own(old, WORKER), {"maxPods": "110"}, {}, {}, file=True) == {"maxPods": "110"}
    assert patches.on_kubelet(old, own(old, WORKER), {"maxPods": "110"}, {}, {})["maxPods"] == "50"
    assert wanted(old, site().workers[1]).flags["max-pods"] == "200"
    assert not wanted(old, MASTER).flags


def test_what_differs_is_named_by_part_and_only_what_is_ours_goes(texts: dict[str, Path]) -> None:
    given = of(
        all_=(texts["kube-scheduler0+merge.yaml"], texts["kubeletconfiguration+json.yaml"]), on=MASTER, kubelet={"maxPods": 5}
    )
    scheduler, first, host = (
        f"{DIRECTORY}/{name}"
        for name in (
            "kube-scheduler-ha-runbooks-000-0+merge.yaml",
            "kubeletconfiguration-ha-runbooks-000+json.yaml",
            "kubeletconfiguration-ha-runbooks-host+merge.yaml",
        )
    )
    assert [each.path for each in differing(given, MASTER, THEIRS).place] == [scheduler, first, host]
    assert [each.path for each in differing(given, MASTER, THEIRS, part="control-plane").place] == [scheduler]
    assert all(each.mode == "0600" for each in differing(given, MASTER, THEIRS).place)
    there = as_on_host(given, MASTER)
    assert not differing(given, MASTER, there)
    gone = differing(site(), MASTER, there)
    assert (gone.place, set(gone.gone)) == ((), {scheduler, first, host})
    assert gone.now[host] == there[host]
    kubelet = differing(site(), MASTER, there, part="kubelet")
    assert set(kubelet.gone) == {first, host}
    assert set(kubelet.fields) == {"podPidsLimit", "maxPods"}
    edited = differing(given, MASTER, there | {scheduler: "metadata: {}\n"})
    assert edited.place == (File(scheduler, there[scheduler], mode="0600"),)


def test_flags_that_are_deleted_from_hosts_yaml_go_and_those_of_others_stay() -> None:
    given = of("1.20.2", kubelet={"maxPods": 5})
    there = as_on_host(given, WORKER)
    assert kubelet_env.values(there[EXTRA]) == {"max-pods": "5"}
    change = differing(of("1.20.2"), WORKER, there)
    assert change.place == (File(EXTRA, 'KUBELET_EXTRA_ARGS="--v=2"\n'),)
    assert change.fields == ("maxPods",)


def test_over_the_upgrade_to_1_25_flags_become_a_patch() -> None:
    given = of("1.24.9", kubelet={"maxPods": 5})
    change = differing(given, WORKER, as_on_host(given, WORKER), minor=25)
    assert [each.path for each in change.place] == [f"{DIRECTORY}/kubeletconfiguration-ha-runbooks-host+merge.yaml", EXTRA]
    assert change.place[1].content == 'KUBELET_EXTRA_ARGS="--v=2"\n'


def test_a_kubelet_that_takes_no_flags_from_a_file_is_refused() -> None:
    given = of("1.20.2", kubelet={"maxPods": 5})
    with pytest.raises(PrecheckError, match="takes flags from none of /etc/default/kubelet"):
        patches.differing(given, own(given, WORKER), HostSettings(unit="[Service]\nExecStart=/usr/bin/kubelet\n"))


@pytest.mark.parametrize(
    ("text", "told"), [(None, "cannot be read: No such file"), ("- a", "is no patch"), ("a: [", "is not YAML or JSON")]
)
def test_a_file_that_is_no_patch_is_named_with_its_key(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "kube-scheduler.yaml"
    if text is not None:
        path.write_text(text)
    given = of(on=MASTER, patches=(path,))
    [(key, message)] = patches.problems(given)
    assert key == f"hosts[{given.hosts.index(own(given, MASTER))}].patches[0]"
    assert message.startswith(f"{path} {told}")
    with pytest.raises(InventoryError, match=r"patches\[0\]: .*kube-scheduler\.yaml"):
        wanted(given, MASTER)


@pytest.mark.parametrize("text", ["cgroupDriver: systemd", "[{op: add, path: /cgroupDriver, value: systemd}]"])
def test_a_patch_may_not_set_what_another_key_sets(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"kubeletconfiguration+{'json' if text.startswith('[') else 'merge'}.yaml"
    path.write_text(text)
    [(_, message)] = patches.problems(of(all_=(path,)))
    assert "sets cgroupDriver, which may not be given: kubernetes.cgroup_driver sets it" in message


def test_a_patch_that_does_not_apply_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kubeletconfiguration+json.yaml"
    path.write_text("[{op: remove, path: /none}]")
    given = of(all_=(path,))
    with pytest.raises(InventoryError, match=f"of the kubelet of {WORKER} does not apply.*nothing at none"):
        patches.on_kubelet(given, own(given, WORKER), {}, {}, {})


def test_a_json_patch_is_applied_to_the_configuration_of_the_cluster_and_only_what_hosts_yaml_says_is_wanted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kubeletconfiguration+json.yaml"
    path.write_text(
        "[{op: replace, path: /authentication/anonymous/enabled, value: yes}, {op: remove, path: /rotateCertificates}]"
    )
    given = of(all_=(path,))
    kept = {
        "authentication": {"anonymous": {"enabled": "false"}, "x509": {"clientCAFile": "/ca"}},
        "maxPods": "5",
        "rotateCertificates": "true",
    }
    assert patches.on_kubelet(given, own(given, WORKER), {"maxPods": "110"}, kept, {}) == {
        "maxPods": "110",
        "authentication": {"anonymous": {"enabled": "true"}},
    }


def test_a_patch_of_somebody_else_counts_in_the_order_of_the_names_and_is_named_when_it_does_not_apply() -> None:
    given = of(kubelet={"maxPods": 50})
    for name, pods in (("kubeletconfiguration0+merge.yaml", "7"), ("kubeletconfiguration+merge.yaml", "50")):
        theirs = {name: "maxPods: 7\npodPidsLimit: 9\n"}
        assert patches.on_kubelet(given, own(given, WORKER), {"maxPods": "110"}, {}, theirs) == {"maxPods": pods}
    broken = {"kubeletconfiguration0.yaml": "$patch: replace"}
    with pytest.raises(PrecheckError, match=r"kubeletconfiguration0\.yaml: the directive \$patch") as error:
        patches.on_kubelet(given, own(given, WORKER), {}, {}, broken)
    assert (
        error.value.hint
        == f"on {WORKER}: correct {DIRECTORY}/kubeletconfiguration0.yaml, which is not from hosts.yaml, or delete it"
    )
    old = of("1.24.0")
    assert patches.on_kubelet(old, own(old, WORKER), {"maxPods": "110"}, {}, broken) == {"maxPods": "110"}, (
        "kubeadm 1.24 patches none"
    )


def test_a_directive_in_a_patch_of_the_kubelet_is_refused_and_one_of_a_static_pod_is_not(tmp_path: Path) -> None:
    for name in ("kubeletconfiguration.yaml", "kube-scheduler.yaml"):
        (tmp_path / name).write_text("a: {$patch: delete}")
    given = of(all_=(tmp_path / "kubeletconfiguration.yaml", tmp_path / "kube-scheduler.yaml"))
    [(key, message)] = patches.problems(given)
    assert key == "kubernetes.patches[0]"
    assert message.endswith("write a patch of type merge or json")


# ---- what an earlier hosts.yaml has left on a host that is no member


@dataclass
class Machine:
    """A host in memory, which takes files and forgets them."""

    site: Site
    files: dict[str, str]
    plan: bool = False
    unit: str = UNIT

    def read(self, _: Host, probe: Probe[Any]) -> Any:
        if str(probe.command).startswith("files-found"):
            return {path: Found(text, "0640", "root:root") for path, text in self.files.items()}
        return HostSettings(unit=self.unit, files=self.files)

    def place(self, _: Host, files: Sequence[File], there: object, command: object) -> None:
        self.files |= {each.path: each.content for each in files}

    def change(self, _: Host, command: Command) -> None:
        words = str(command).split()
        assert words[:3] == ["rm", "-f", "--"]
        self.files = {path: text for path, text in self.files.items() if path not in words}

    def note(self, *_: object) -> None:
        pass


def test_before_kubeadm_runs_a_host_has_what_hosts_yaml_says_and_nothing_of_an_earlier_one(texts: dict[str, Path]) -> None:
    new, old = (
        of("1.28.0", all_=(texts["kube-scheduler0+merge.yaml"],), kubelet={"maxPods": 5}),
        of("1.24.0", kubelet={"maxPods": 5}),
    )
    there = as_on_host(new, MASTER) | {EXTRA: as_on_host(old, WORKER)[EXTRA]}
    assert "--max-pods=5" in there[EXTRA]
    run: Any = Machine(site(), dict(there))
    patches.settle(run, MASTER)
    assert run.files == {**THEIRS, EXTRA: 'KUBELET_EXTRA_ARGS="--v=2"\n'}
    run = Machine(new, dict(THEIRS))  # a reset has taken them away
    patches.settle(run, own(new, WORKER))
    assert run.files == as_on_host(new, WORKER)
    run = Machine(new, dict(THEIRS), plan=True)
    patches.settle(run, own(new, WORKER))
    assert run.files == THEIRS, "in a plan a step of its own tells it"
    run = Machine(site(), {}, unit="")  # the kubelet is not installed
    patches.settle(run, WORKER)
    assert run.files == {}


def test_a_reset_takes_our_flags_out_of_the_kubelets_variables_and_leaves_the_rest() -> None:
    old = of("1.24.0", kubelet={"maxPods": 5})
    run: Any = Machine(old, as_on_host(old, WORKER))
    patches.forget(run, own(old, WORKER))
    assert run.files == {**THEIRS, EXTRA: 'KUBELET_EXTRA_ARGS="--v=2"\n'}
    run = Machine(old, dict(THEIRS))
    patches.forget(run, own(old, WORKER))
    assert run.files == THEIRS


def test_fields_that_another_key_sets_or_that_need_a_newer_version_are_refused_with_their_key() -> None:
    given = of(
        "1.24.0", kubelet={"cgroupDriver": "systemd", "maxPods": 5}, worker=OfNodes(kubelet={"memoryManagerPolicy": "Static"})
    )
    found = {key: message for key, message, _ in problems(given)}
    number = given.hosts.index(own(given, WORKER))
    assert set(found) == {f"hosts[{number}].kubelet.cgroupDriver", "roles.worker.kubelet.memoryManagerPolicy"}
    assert "kubernetes.cgroup_driver sets it" in found[f"hosts[{number}].kubelet.cgroupDriver"]
    assert "below 1.25" in found["roles.worker.kubelet.memoryManagerPolicy"]
