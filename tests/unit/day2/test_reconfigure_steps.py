"""The steps of `inv cluster.reconfigure` on a host in memory: what counts as written by hand, and what notes keep over an interruption."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml

from runbooks.commands.base import Answer, Command, Probe
from runbooks.commands.files import Found
from runbooks.commands.kube_proxy import Proxy, digest
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.reconfigure import Note, parse, parse_crash
from runbooks.commands.rendered import Rendered
from runbooks.commands.settings_look import HostSettings
from runbooks.day2 import control_plane, diff, diff_kubelet, kubelet, proxy, reconfigure, vanishing, wanted_kubelet
from runbooks.day2.control_plane import Changes
from runbooks.day2.kubelet import MAP, Kubelets
from runbooks.day2.rules import cgroup_driver, difference
from runbooks.day2.wanted_kubelet import Overridden
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.rules.kubeadm import AUDIT_POLICY
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG
from tests.support.fakes import master, site
from tests.unit.commands.test_kubelet_line import EXTRA, UNIT

pytestmark = pytest.mark.unit

API = "/etc/kubernetes/manifests/kube-apiserver.yaml"
TO = (1, 20, 2)


def pod(*flags: str) -> str:
    words = "".join(f"    - {flag}\n" for flag in flags)
    return f"spec:\n  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n{words}"


def configuration(**flags: str) -> str:
    lines = "".join(f'    {name}: "{text}"\n' for name, text in flags.items())
    return (
        f"apiVersion: kubeadm.k8s.io/v1beta2\nkubernetesVersion: v1.20.2\napiServer:\n  extraArgs:\n{lines}"
        if lines
        else "a: 1\n"
    )


@dataclass
class Machine:
    """A host: its files, its note, and what kubeadm makes of each configuration."""

    files: dict[str, str]
    note: Note | None = None
    made: dict[str, str] = field(default_factory=dict)  # the text of a configuration -> manifest of the API server
    policy: str | None = None
    error: str = ""  # of kubeadm, for the configuration that is not in ``made``
    sent: list[str] = field(default_factory=list)
    plan: bool = False
    unit: str = ""
    site: Site = field(default_factory=site)

    def read(self, _: Host, probe: Probe[Any]) -> Any:
        shown, program = str(probe.command), probe.command.program
        if shown.startswith("cat /var/lib/ha-runbooks/reconfigure"):
            return self.note
        if shown.startswith("systemctl cat kubelet"):
            return HostSettings(files=self.files, unit=self.unit)
        if shown.startswith("kubeadm init phase control-plane"):
            text = next((text for mark, text in self.made.items() if mark in program), "")
            if self.error and not text:
                return Rendered("v1.20.2", {}, self.error)
            return Rendered("v1.20.2", {"kube-apiserver": text})
        if shown.startswith("files-found"):
            return {AUDIT_POLICY: Found(self.policy, "0600", "root:root")} if self.policy is not None else {}
        raise AssertionError(shown)

    def change(self, _: Host, command: Command) -> None:
        self.sent.append(str(command))
        if "work-note" in command.program or "note in" in str(command):
            start = command.program.index("CONTENT=") + len("CONTENT=")
            line = command.program[start:].splitlines()[0].strip().strip("'\"")
            self.note = parse(Answer(0, line.replace("'\\''", "'")))


OLD, NEW = configuration(v="2"), configuration(v="4", profiling="false")


def machine(have: str, **more: Any) -> Machine:
    policy = control_plane.audit_policy(site()).content
    made = {'v: "2"': pod("--v=2", "--own=1"), "profiling": pod("--v=4", "--own=1", "--profiling=false")}
    return Machine(files={API: have}, made=made, **{"policy": policy, **more})


CHANGES = Changes(Upgrade(site(), TO, Choices(to=TO)), NEW, OLD)


# ---- the control plane


@pytest.mark.parametrize(
    ("have", "by_hand"),
    [
        (pod("--v=2", "--own=1"), []),
        (pod("--v=4", "--own=1", "--profiling=false"), []),  # it has arrived
        (pod("--v=3", "--own=1"), []),  # of an attempt in between: hosts.yaml names that flag
        (pod("--v=2", "--own=1", "--anonymous-auth=false"), ["kube-apiserver: --anonymous-auth=false"]),
    ],
)
def test_what_somebody_has_written_by_hand(have: str, by_hand: list[str]) -> None:
    assert vanishing.by_hand_lines(CHANGES, machine(have), master(1)) == by_hand


def test_on_a_host_in_work_the_files_count_as_they_were_before() -> None:
    run = machine(pod("--other=1"), note=Note({API: pod("--v=2", "--own=1", "--mine=1")}))
    assert vanishing.by_hand_lines(CHANGES, run, master(1)) == ["kube-apiserver: --mine=1"]


def test_lines_by_hand_are_told_also_when_kubeadm_takes_no_longer_what_is_in_force() -> None:
    run = machine(pod("--v=2", "--own=1", "--anonymous-auth=false"), error="unknown flag")
    del run.made['v: "2"']
    assert vanishing.by_hand_lines(CHANGES, run, master(1)) == [
        "(not told apart from what is in force, since kubeadm says: unknown flag)",
        "kube-apiserver: --anonymous-auth=false",
    ]
    run.files[API] = pod("--v=4", "--own=1")
    assert vanishing.by_hand_lines(CHANGES, run, master(1)) == []


def test_a_note_keeps_how_files_were_before_the_work_began() -> None:
    step = control_plane.begin(CHANGES, master(1))
    run = machine(pod("--v=2", "--own=1"))
    assert not step.done(run)
    step.do(run)
    assert run.note
    assert list(run.note.before) == [API]
    assert step.done(run)
    run.policy = "other"  # since then, hosts.yaml has another audit policy as well
    assert not step.done(run)
    step.do(run)
    assert run.note.before == {API: pod("--v=2", "--own=1"), AUDIT_POLICY: "other"}
    run.note = Note({API: "of long ago"}, proved=True)  # that work is over
    step.do(run)
    assert run.note.before[API] == pod("--v=2", "--own=1")


def test_with_nothing_to_do_there_is_no_note() -> None:
    run = machine(pod("--v=4", "--own=1", "--profiling=false"))
    assert control_plane.begin(CHANGES, master(1)).done(run)
    assert control_plane.arrived(CHANGES, run, master(1))


# ---- patches for kubeadm


PATCH = "/etc/kubernetes/patches/kube-apiserver-ha-runbooks-000+merge.yaml"


@pytest.fixture
def patched(tmp_path: Path) -> Changes:
    """The first control plane host has a patch, and kubeadm's configuration stays as it is."""
    (tmp_path / "kube-apiserver+merge.yaml").write_text("patch: new\n")
    hosts = tuple(
        msgspec.structs.replace(each, patches=(tmp_path / "kube-apiserver+merge.yaml",)) if each == master(1) else each
        for each in site().hosts
    )
    return Changes(Upgrade(msgspec.structs.replace(site(), hosts=hosts), TO, Choices(to=TO)), OLD, OLD)


def with_patches(have: str, *patch: str, **more: Any) -> Machine:
    """A host whose kubeadm writes --patch=WORD for the patch "patch: WORD"."""
    run = machine(have, **more)
    marks = {b64encode(f"patch: {word}\n".encode()).decode(): word for word in ("new", "old")}
    run.made = {mark: pod("--v=2", f"--patch={word}") for mark, word in marks.items()} | {'v: "2"': pod("--v=2")}
    run.files |= dict.fromkeys([PATCH] if patch else [], "".join(patch))
    return run


def test_a_patch_is_kept_with_the_manifest_that_it_changes_and_nothing_of_both_is_by_hand(patched: Changes) -> None:
    first = patched.site.host(master(1).name)
    run = with_patches(pod("--v=2", "--patch=old"), "patch: old\n")
    assert not control_plane.arrived(patched, run, first)
    assert vanishing.by_hand_lines(patched, run, first) == []
    control_plane.begin(patched, first).do(run)  # type: ignore[misc]
    assert run.note
    assert run.note.before == {API: pod("--v=2", "--patch=old"), PATCH: "patch: old\n"}
    run.files[PATCH] = "patch: new\n"  # interrupted between the patch and the manifest
    assert not control_plane.arrived(patched, run, first)
    assert vanishing.by_hand_lines(patched, run, first) == []
    run.files[API] = pod("--v=2", "--patch=new")
    run.note = Note(run.note.before, proved=True)
    assert control_plane.arrived(patched, run, first)
    assert vanishing.by_hand_lines(patched, with_patches(pod("--v=2", "--mine=1"), "patch: old\n"), first) == [
        "kube-apiserver: --mine=1"
    ]


def test_a_patch_that_is_deleted_from_hosts_yaml_takes_its_lines_with_it() -> None:
    all_ = Changes(Upgrade(site(), TO, Choices(to=TO)), OLD, OLD)
    run = with_patches(pod("--v=2", "--patch=old"), "patch: old\n")
    left = control_plane.differing(all_, run, master(1))
    assert (left.patches.gone, left.pods) == ((PATCH,), ["kube-apiserver"])
    assert vanishing.by_hand_lines(all_, run, master(1)) == []


def test_a_patch_alone_is_brought_there_without_a_restart(patched: Changes) -> None:
    first = patched.site.host(master(1).name)
    left = control_plane.differing(patched, with_patches(pod("--v=2", "--patch=new")), first)
    assert left.pods == []
    assert [each.path for each in left.patches.place] == [PATCH]
    assert left.now == {PATCH: ""}


# ---- kubelets


def of(**settings: object) -> Site:
    return msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, kubelet=settings))


def kubelets(of_site: Site, first: Host | None = None) -> Kubelets:
    return Kubelets(Upgrade(of_site, TO, Choices(to=TO)), "", "the ConfigMap of before", "", first)


def file(**fields: object) -> dict[str, str]:
    return {KUBELET_CONFIG: "cgroupDriver: systemd\n" + "".join(f"{key}: {value}\n" for key, value in fields.items())}


def test_which_fields_change_is_seen_in_the_file_of_each_host() -> None:
    all_ = kubelets(of(maxPods=120, cpuManagerPolicy="static"))
    assert kubelet.keys(all_, Machine(file(maxPods=110)), master(1)) == ("maxPods", "cpuManagerPolicy")
    assert kubelet.drains(all_, Machine(file(maxPods=110)), master(1))
    assert not kubelet.drains(all_, Machine(file(maxPods=110, cpuManagerPolicy="static")), master(1))
    half = Machine(file(maxPods=120, cpuManagerPolicy="static"), note=Note({KUBELET_CONFIG: ""}, keys=("cpuManagerPolicy",)))
    assert kubelet.drains(all_, half, master(1)), "its file is written, and the node is in work"


def test_settings_of_one_host_change_its_own_files_and_no_configmap() -> None:
    hosts = tuple(
        msgspec.structs.replace(each, kubelet={"maxPods": 50, "cpuManagerPolicy": "static"}) if each == master(1) else each
        for each in of().hosts
    )
    of_20 = msgspec.structs.replace(of().kubernetes, version="1.20.2")
    all_ = kubelets(msgspec.structs.replace(of(), hosts=hosts, kubernetes=of_20))
    first, other = all_.site.host(master(1).name), master(2)
    have = {**file(maxPods=110), EXTRA: "KUBELET_EXTRA_ARGS=--v=2\n"}
    run = Machine(have, unit=UNIT)
    assert kubelet.keys(all_, run, first) == ("maxPods", "cpuManagerPolicy")
    assert kubelet.drains(all_, run, first)
    kubelet.begin(all_, first).do(run)  # type: ignore[misc]
    assert run.note
    assert run.note.before == {KUBELET_CONFIG: have[KUBELET_CONFIG], EXTRA: have[EXTRA]}
    assert kubelet.keys(all_, Machine(have, unit=UNIT), other) == ()
    assert kubelet.has(all_.site, "cgroupDriver: systemd\n"), "the ConfigMap needs nothing of it"


KEPT = "cgroupDriver: systemd\nmaxPods: 110\nauthentication: {anonymous: {enabled: false}}\n"


def of_28(tmp_path: Path, **settings: object) -> Site:
    """A site with a JSON patch of a field that hosts.yaml does not name, and the cluster's ConfigMap does."""
    path = tmp_path / "kubeletconfiguration+json.yaml"
    path.write_text("[{op: replace, path: /authentication/anonymous/enabled, value: yes}]\n")
    return msgspec.structs.replace(
        site(), kubernetes=msgspec.structs.replace(site().kubernetes, version="1.28.0", kubelet=settings, patches=(path,))
    )


def test_a_json_patch_of_what_only_the_configmap_has_is_a_change_of_its_field(tmp_path: Path) -> None:
    wanted = of_28(tmp_path)
    all_ = Kubelets(Upgrade(wanted, TO, Choices(to=TO)), KEPT, KEPT, "", None)
    assert kubelet.keys(all_, Machine({KUBELET_CONFIG: KEPT}), master(1)) == ("authentication",)
    asked = wanted_kubelet.on(wanted, master(1), KEPT, HostSettings())
    assert asked["authentication"] == {"anonymous": {"enabled": "true"}}
    assert "maxPods" not in asked, "that is the cluster's"
    said = {"cgroupDriver": "systemd", "failSwapOn": False, "authentication": {"anonymous": {"enabled": True}}}
    assert "authentication" not in wanted_kubelet.not_running(asked, said)
    said["authentication"] = {"anonymous": {"enabled": False}}
    assert "authentication.anonymous.enabled" in wanted_kubelet.not_running(asked, said)


THEIRS = "/etc/kubernetes/patches/kubeletconfiguration0+merge.yaml"


def test_a_patch_of_somebody_else_that_wins_is_wanted_there_and_named(tmp_path: Path) -> None:
    wanted = of_28(tmp_path, maxPods=120, podPidsLimit=50)
    have = HostSettings(files={THEIRS: "maxPods: 0x64\nkind: KubeletConfiguration\n"})
    asked = wanted_kubelet.on(wanted, master(1), KEPT, have)
    assert (asked["maxPods"], asked["podPidsLimit"]) == ("100", "50")
    assert wanted_kubelet.overridden(wanted, master(1), KEPT, have) == [Overridden("maxPods", "100", "120", (THEIRS,))]
    assert wanted_kubelet.overridden(wanted, master(1), KEPT, HostSettings()) == []
    said = yaml.safe_load(KEPT) | {"maxPods": 100, "podPidsLimit": 50, "authentication": {"anonymous": {"enabled": True}}}
    cluster = ClusterSettings(args={}, kubelet=KEPT, kubelet_map="kubelet-config")
    found = diff_kubelet.of_host(wanted, master(1), cluster, have, said, ())
    assert [(each.key, each.there, each.wanted) for each in found if each.key == "maxPods"] == [("maxPods", "100", "120")]
    assert found[-1].why == f"{THEIRS} on the host sets it, and is not from hosts.yaml: kubeadm applies it too"
    assert found[-1].fix.endswith(
        f"or take it out of {THEIRS} on master1, then inv cluster.reconfigure --only kubelet --host master1"
    )
    assert "running: maxPods" not in [each.key for each in found], "kubeadm gives it no other value"


@pytest.mark.parametrize(
    ("variables", "theirs"),
    [
        ("KUBELET_EXTRA_ARGS=--node-ip=10.1.1.101 --max-pods=80\n", True),
        ("# ha-runbooks: these flags come from hosts.yaml: --max-pods\nKUBELET_EXTRA_ARGS=--max-pods=80\n", False),
        ("KUBELET_EXTRA_ARGS=--v=2\n", False),
    ],
)
def test_a_flag_of_somebody_else_that_wins_is_named_with_its_file(tmp_path: Path, variables: str, theirs: bool) -> None:
    wanted = of_28(tmp_path, maxPods=120)
    unit = "# /lib/systemd/system/kubelet.service\n[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n"
    have = HostSettings(unit=unit, files={"/etc/default/kubelet": variables})
    said = yaml.safe_load(KEPT) | {"maxPods": 80, "authentication": {"anonymous": {"enabled": True}}}
    cluster = ClusterSettings(args={}, kubelet=KEPT, kubelet_map="kubelet-config")
    [only] = [each for each in diff_kubelet.of_host(wanted, master(1), cluster, have, said, ()) if each.key == "running: maxPods"]
    assert (only.there, only.wanted) == ("80", "120")
    assert ("--max-pods=80 from /etc/default/kubelet" in only.why, "take --max-pods out of" in only.fix) == (theirs, theirs)
    assert (only.fix == "inv cluster.reconfigure --only kubelet --host master1") == (not theirs)


def test_a_patch_that_does_not_apply_leaves_the_other_nodes_compared(tmp_path: Path) -> None:
    wanted = of_28(tmp_path, maxPods=120)
    said = {host.name: {"maxPods": 110, "authentication": {"anonymous": {"enabled": True}}} for host in wanted.nodes}
    broken = HostSettings(files={THEIRS: "$patch: replace"})
    hosts: Any = {host: {"settings": broken if host == master(1) else HostSettings()} for host in wanted.nodes}
    cluster = {"settings": ClusterSettings(args={}, kubelet=KEPT, kubelet_map="kubelet-config"), "running": said}
    seen = diff.Seen(hosts, cluster)
    found = diff._running(wanted, seen, ())
    assert {each.host for each in found if each.key == "running: maxPods"} == {host.name for host in wanted.nodes} - {"master1"}
    [unread] = seen.unread
    assert (unread.topic, unread.host) == ("kubelet", "master1")
    assert "kubeletconfiguration0+merge.yaml: the directive $patch" in unread.why


@pytest.mark.parametrize(
    ("kept", "on_host", "told"),
    [
        ("systemd", "systemd", []),
        ("", "", []),  # kubeadm of an earlier time names none
        ("systemd", "[", []),  # no YAML: told elsewhere
        ("systemd", "cgroupfs", ["master1"]),
        ("cgroupfs", "systemd", [""]),
        ("cgroupfs", "cgroupfs", ["", "master1"]),
    ],
)
def test_another_cgroup_driver_is_refused_in_the_configmap_and_on_each_host(kept: str, on_host: str, told: list[str]) -> None:
    texts = [f"cgroupDriver: {each}\n" if each else "a: b\n" for each in (kept, on_host)]
    found = list(cgroup_driver.refusals("kubelet", "systemd", "kubelet-config", texts[0], {"master1": texts[1]}))
    assert [each.host for each in found] == told
    for each in found:
        assert each.severity == "fail"
        assert "no Pod starts" in each.seen
        assert each.fix.startswith(
            "write cgroupfs as kubernetes.cgroup_driver; or change it host by host: kubectl -n kube-system edit"
        )


def test_reconfigure_refuses_it_for_kubelets_before_any_of_them_is_touched() -> None:
    run: Any = SimpleNamespace(
        site=site(),
        read_all=lambda asked: {host: HostSettings(files={KUBELET_CONFIG: "cgroupDriver: cgroupfs"}) for host in asked},
    )
    cluster = ClusterSettings(args={}, kubelet="cgroupDriver: cgroupfs", kubelet_map="kubelet-config-1.20")
    with pytest.raises(
        PrecheckError, match=r"its kubelet has the cgroup driver cgroupfs, and hosts.yaml says systemd: no Pod starts"
    ):
        reconfigure._refuse_driver(run, site().nodes, cluster)
    run.read_all = lambda asked: {host: HostSettings(files=file()) for host in asked}
    reconfigure._refuse_driver(run, site().nodes, ClusterSettings(args={}, kubelet="cgroupDriver: systemd", kubelet_map="a"))


def test_diff_names_no_command_for_another_cgroup_driver() -> None:
    cluster = ClusterSettings(args={}, kubelet="cgroupDriver: cgroupfs", kubelet_map="kubelet-config-1.20")
    [of_map] = [each for each in difference.of_cluster(site(), cluster, "a: 1") if each.key == "cgroupDriver"]
    assert of_map.fix.startswith("write cgroupfs as kubernetes.cgroup_driver; or")
    [there] = [
        each
        for each in diff_kubelet.of_host(site(), master(1), cluster, HostSettings(), {"cgroupDriver": "cgroupfs"}, ())
        if each.key == "running: cgroupDriver"
    ]
    assert (there.why, there.fix) == (
        cgroup_driver.WHY,
        cgroup_driver.way("cgroupfs", "systemd", "kubelet-config-1.20", "master1"),
    )


def test_what_is_reserved_matters_with_a_static_policy_only() -> None:
    all_ = kubelets(of(kubeReserved={"cpu": "500m"}))
    assert not kubelet.drains(all_, Machine(file()), master(1))
    assert kubelet.drains(all_, Machine(file(cpuManagerPolicy="static")), master(1))
    assert kubelet.states(Note({}, keys=("kubeReserved",))) == [
        "/var/lib/kubelet/cpu_manager_state",
        "/var/lib/kubelet/memory_manager_state",
    ]
    assert kubelet.states(Note({}, keys=("maxPods",))) == []


def test_the_first_node_keeps_the_configmap_also_when_it_has_a_note_of_before() -> None:
    run = Machine(file(maxPods=110), note=Note({KUBELET_CONFIG: "older"}, keys=("podPidsLimit",)))
    step = kubelet.begin(kubelets(of(maxPods=120), master(1)), master(1))
    assert not step.done(run)
    step.do(run)
    assert run.note == Note({KUBELET_CONFIG: "older", MAP: "the ConfigMap of before"}, keys=("podPidsLimit", "maxPods"))


@pytest.mark.parametrize(("restarts", "told"), [(0, ""), (1, ""), (2, "F1 bad flag"), (9, "F1 bad flag")])
def test_a_kubelet_that_ends_again_and_again(restarts: int, told: str) -> None:
    assert parse_crash(Answer(0, f"restarts {restarts}\nwords F1 bad flag")) == told


# ---- kube-proxy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"late": "1 of 3 pods are new, 3 are ready"}, ""),  # not ours to wait for
        ({"mark": "m", "pods": "m"}, ""),
        ({"mark": "m", "pods": "older"}, "older configuration"),
        ({"mark": "m", "pods": "m", "late": "2 of 3 pods"}, "2 of 3 pods"),
        ({"config": "mode: iptables"}, "clusterCIDR"),
    ],
)
def test_whether_kube_proxy_runs_as_hosts_yaml_says(changes: dict[str, str], told: str) -> None:
    right = Proxy(config=f"clusterCIDR: {site().networks.pods}", mark="", before="", pods="", late="")
    said = proxy.wrong(site(), Proxy(**{**{name: getattr(right, name) for name in right.__slots__}, **changes}))
    assert told in said
    assert bool(said) == bool(told)
    assert digest("a") != digest("b")


# ---- what is refused


def test_a_topic_that_is_none_and_another_minor_version() -> None:
    assert reconfigure.topics("kubelet, nodes") == ("nodes", "kubelet")
    assert reconfigure.topics("") == reconfigure.TOPICS
    with pytest.raises(InventoryError, match="not one of"):
        reconfigure.topics("kublet")
    of_21 = msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, version="1.21.3"))
    with pytest.raises(PrecheckError, match=r"the cluster is of 1\.20\.2, and hosts\.yaml of 1\.21\.3"):
        reconfigure._refuse_version(of_21, OLD)
    reconfigure._refuse_version(
        msgspec.structs.replace(site(), kubernetes=msgspec.structs.replace(site().kubernetes, version="1.20.9")), OLD
    )
