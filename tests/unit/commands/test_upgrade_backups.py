"""upgrade-backups.sh, run for real: what is found, kept whole, and put back so that the kubelet sees one file or the other."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from runbooks.commands import upgrade_backups
from runbooks.commands.base import Answer, Command
from runbooks.commands.upgrade_backups import KUBELET, MANIFESTS, Backups
from tests.support.fakes import bash, master

pytestmark = pytest.mark.unit

PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
TMP = "/etc/kubernetes/tmp"
FIRST, SECOND = f"{TMP}/kubeadm-backup-manifests-2026-11-28-16-10-05", f"{TMP}/kubeadm-backup-manifests-2026-11-28-16-20-05"


def manifest(pod: str, version: str) -> str:
    return (
        f'kind: Pod\nspec:\n  containers:\n  - command:\n    - {pod}\n    image: "a.example/{pod}:{version}"\n    name: {pod}\n'
    )


def write(top: Path, path: str, text: str, mode: int = 0o600) -> Path:
    there = top / path.lstrip("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(text)
    there.chmod(mode)
    return there


@pytest.fixture(autouse=True)
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What pgrep prints: the machine of the tests may have a kubeadm of its own."""
    file = write(tmp_path, "/processes", "")
    write(tmp_path, "/bin/pgrep", f"#!/bin/bash\n[ ! -s {file} ] || cat {file}\n", 0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return file


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for pod in PODS:
        version = "3.6.8-0" if pod == "etcd" else "v1.36.2"
        write(tmp_path, f"{MANIFESTS}/{pod}.yaml", manifest(pod, version))
    write(tmp_path, f"{KUBELET}/config.yaml", "kind: KubeletConfiguration\n", 0o644)
    write(tmp_path, f"{KUBELET}/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS=""\n', 0o644)
    for name, server in (("controller-manager", "https://10.1.1.101:6443"), ("scheduler", "https://10.1.1.100:6443")):
        write(tmp_path, f"/etc/kubernetes/{name}.conf", f"clusters:\n- cluster:\n    server: {server}\n  name: a\n")
    return tmp_path


def run(command: Command, top: Path) -> Answer:
    program = re.sub(r"(?<![\w/])/(?=etc/kubernetes|var/lib/(?:kubelet|ha-runbooks))", f"{top}/", command.program)
    return bash(program)


def look(top: Path) -> Backups:
    answer = run(upgrade_backups.look().command, top)
    assert (answer.exited, answer.stderr) == (0, "")
    return upgrade_backups.look().parse(Answer(0, answer.stdout.replace(str(top), "")))


def test_a_host_that_was_never_upgraded_has_only_what_is_in_force(top):
    found = look(top)
    assert set(found.now.pods) == set(PODS)
    assert found.now.pods["kube-apiserver"].image == "a.example/kube-apiserver:v1.36.2"
    text = manifest("kube-apiserver", "v1.36.2").encode()
    assert found.now.pods["kube-apiserver"].sha256 == hashlib.sha256(text).hexdigest()
    assert set(found.now.files) == {"config.yaml", "kubeadm-flags.env"}
    assert found.uses == {"kube-controller-manager": "https://10.1.1.101:6443", "kube-scheduler": "https://10.1.1.100:6443"}
    assert (found.folders, found.data, found.running) == ((), (), "")


def test_a_kubeadm_that_changes_something_is_told_without_its_secrets(top, processes):
    processes.write_text("11 kubeadm version -o short\n12 /usr/bin/kubeadm join vip:6443 --token abcdef.0123456789abcdef\n")
    assert look(top).running == "/usr/bin/kubeadm join vip:6443"
    processes.write_text("13 kubeadm upgrade apply v1.36.3 --yes\n")
    assert look(top).running == "kubeadm upgrade apply"


def test_a_worker_has_nothing(tmp_path):
    found = look(tmp_path)
    assert (found.now.pods, found.folders, found.uses) == ({}, (), {})


def test_the_folders_of_kubeadm_are_found_by_the_time_in_their_names_and_may_be_empty(top):
    """kubeadm moves the manifests out again when it rolls back; a second run saves only what it replaces."""
    write(top, f"{SECOND}/kube-scheduler.yaml", manifest("kube-scheduler", "v1.36.1"))
    write(top, f"{FIRST}/kube-apiserver.yaml", manifest("kube-apiserver", "v1.36.1"))
    (top / f"{TMP}/kubeadm-backup-manifests-2026-11-27-00-00-00".lstrip("/")).mkdir()
    (top / f"{TMP}/kubeadm-upgraded-manifests1234".lstrip("/")).mkdir()
    write(top, f"{TMP}/kubeadm-backup-etcd-2026-11-28-16-10-05/etcd/member/snap/db", "x")
    (top / f"{TMP}/kubeadm-backup-etcd-2026-11-28-16-20-05".lstrip("/")).mkdir()  # kubeadm upgrade --etcd-upgrade=false
    found = look(top)
    assert [each.path for each in found.kubeadm] == [SECOND, FIRST, f"{TMP}/kubeadm-backup-manifests-2026-11-27-00-00-00"]
    assert found.kubeadm[0].time - found.kubeadm[1].time == 600
    assert [set(each.pods) for each in found.kubeadm] == [{"kube-scheduler"}, {"kube-apiserver"}, set()]
    assert [each.path for each in found.data] == [f"{TMP}/kubeadm-backup-etcd-2026-11-28-16-10-05"]


def test_what_is_kept_is_whole_and_nobody_elses(top):
    assert run(upgrade_backups.keep("1.36.2"), top).exited == 0
    found = look(top)
    (kept,) = found.kept
    assert (kept.path, kept.pods, kept.files) == ("/var/lib/ha-runbooks/upgrade/before/1.36.2", found.now.pods, found.now.files)
    there = top / "var/lib/ha-runbooks/upgrade/before"
    assert there.stat().st_mode & 0o777 == 0o700
    assert (there / "1.36.2").stat().st_mode & 0o777 == 0o700
    assert (there / "1.36.2/etcd.yaml").stat().st_mode & 0o777 == 0o600


def test_keeping_again_replaces_and_an_attempt_that_was_ended_is_not_taken_for_a_copy(top):
    write(top, "/var/lib/ha-runbooks/upgrade/before/new/etcd.yaml", "half")
    assert look(top).kept == ()
    run(upgrade_backups.keep("1.36.2"), top)
    write(top, f"{MANIFESTS}/kube-scheduler.yaml", manifest("kube-scheduler", "v1.36.2") + "# edited\n")
    run(upgrade_backups.keep("1.36.2"), top)
    found = look(top)
    assert [each.pods for each in found.kept] == [found.now.pods]
    assert not (top / "var/lib/ha-runbooks/upgrade/before/new").exists()
    assert run(upgrade_backups.drop(), top).exited == 0
    assert look(top).kept == ()


def test_a_manifest_is_put_back_at_once_and_its_backup_stays(top):
    run(upgrade_backups.keep("1.36.2"), top)
    write(top, f"{MANIFESTS}/kube-scheduler.yaml", manifest("kube-scheduler", "v1.36.3"))
    write(top, f"{MANIFESTS}/.ha-runbooks.rest", "of a run that was killed")
    for note in ("attempt", "ended"):
        write(top, f"/var/lib/ha-runbooks/upgrade/{note}", "apply v1.36.3\n")
    (kept,) = look(top).kept
    digest = kept.pods["kube-scheduler"].sha256
    command = upgrade_backups.put_back(f"{kept.path}/kube-scheduler.yaml", digest, f"{MANIFESTS}/kube-scheduler.yaml")
    for _ in range(2):
        assert run(command, top).exited == 0
        found = look(top)
        assert found.now.pods == kept.pods
        assert found.kept == (kept,)
    manifests = top / MANIFESTS.lstrip("/")
    assert sorted(path.name for path in manifests.iterdir()) == sorted(f"{pod}.yaml" for pod in PODS)
    assert (manifests / "kube-scheduler.yaml").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (top / "var/lib/ha-runbooks/upgrade").iterdir()] == ["before"]


def test_a_backup_that_has_changed_is_not_put_back(top):
    before = (top / f"{MANIFESTS}/etcd.yaml".lstrip("/")).read_text()
    write(top, f"{FIRST}/etcd.yaml", manifest("etcd", "3.5.24-0"))
    answer = run(upgrade_backups.put_back(f"{FIRST}/etcd.yaml", "0" * 64, f"{MANIFESTS}/etcd.yaml"), top)
    assert answer.exited == 1
    assert "has been changed meanwhile" in answer.stderr
    assert (top / f"{MANIFESTS}/etcd.yaml".lstrip("/")).read_text() == before
    assert len(list((top / MANIFESTS.lstrip("/")).iterdir())) == len(PODS)


def test_a_line_that_is_not_known_is_an_error():
    with pytest.raises(ValueError, match="does not describe a backup"):
        upgrade_backups.parse(Answer(0, "pod etcd 0 a.example/etcd:1\n"))


KUBECTL = r"""#!/bin/bash
case $* in
*" get "*) cat "$CONFIG" ;;
*" replace "*) cat >"$CONFIG.new" && mv "$CONFIG.new" "$CONFIG" ;;
esac
"""


def test_only_the_version_in_kubeadm_config_changes(tmp_path, monkeypatch):
    write(tmp_path, "/bin/kubectl", KUBECTL, 0o755)
    config = tmp_path / "config"
    said = (
        r'{"data": {"ClusterConfiguration": "apiServer: {}\nkubernetesVersion: v1.36.3\nnetworking: {}\n"}, "kind": "ConfigMap"}'
    )
    config.write_text(said)
    monkeypatch.setenv("CONFIG", str(config))
    answer = bash(upgrade_backups.set_version(master(1), "1.36.2").program)
    assert (answer.exited, answer.stderr) == (0, "")
    assert config.read_text() == said.replace("v1.36.3", "v1.36.2")
