"""The script that reads what components are started with, and its parser."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runbooks.commands import settings_look
from runbooks.commands.base import Answer
from runbooks.commands.settings_look import UNIT, HostSettings
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

SYSTEMCTL = """#!/bin/bash
case $* in
*cat*) if [ -e TOP/unit ]; then cat TOP/unit; else echo "No files found for kubelet.service." >&2; exit 1; fi ;;
*NeedDaemonReload*) echo "NeedDaemonReload=$(cat TOP/reload 2>/dev/null || echo no)" ;;
*MainPID*) echo "MainPID=$(cat TOP/pid 2>/dev/null || echo 0)" ;;
esac
"""
CONTAINERD = "#!/bin/bash\necho 'containerd github.com/containerd/containerd/v2 v2.1.9 abc'\n"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for path, text in (("bin/systemctl", SYSTEMCTL), ("bin/containerd", CONTAINERD)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text.replace("TOP", str(tmp_path)))
        (tmp_path / path).chmod(0o755)
    return tmp_path


def read(top: Path) -> HostSettings:
    program = settings_look.look().command.program
    for path, there in (("/etc/kubernetes/", "k8s/"), ("/etc/containerd/", "containerd/")):
        program = program.replace(path, f"{top}/{there}")
    answer = bash(f"PATH={top}/bin:$PATH\n{program}")
    assert (answer.exited, answer.stderr) == (0, "")
    return settings_look.parse(answer)


def put(top: Path, **files: str) -> dict[str, str]:
    paths = {name: top / name.replace("__", "/").replace("_DOT_", ".") for name in files}
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
    return {name: str(path) for name, path in paths.items()}


def test_a_host_with_everything(top):
    paths = put(
        top,
        env="KUBELET_EXTRA_ARGS=--config-dir=TOP/drop\n".replace("TOP", str(top)),
        config_DOT_yaml="kind: KubeletConfiguration\n",
        drop__a_DOT_conf="featureGates: {A: true}\n",
        drop__b_DOT_txt="no\n",
        audit_DOT_yaml="apiVersion: audit.k8s.io/v1\n",
        k8s__manifests__api_DOT_yaml=f"command: [--audit-policy-file={top}/audit.yaml, --config={top}/none.yaml]\n",
        k8s__patches__p_DOT_yaml="x: 'ö'\n",
        containerd__config_DOT_toml='# version = 9\nversion = 3\n[a]\nversion = "4"\n',
        reload="yes",
    )
    (top / "k8s/manifests/folder").mkdir()
    unit = f"[Service]\nEnvironmentFile=-{top}/en*\nEnvironmentFile = {top}/gone\nExecStart=/usr/bin/kubelet --config={top}/config.yaml\n"
    (top / "unit").write_text(unit)
    with subprocess.Popen(["sleep", "60"]) as process:
        (top / "pid").write_text(str(process.pid))
        seen = read(top)
        process.kill()
    assert seen.unit == unit.rstrip("\n")
    assert seen.stale_unit
    assert seen.running == ("sleep", "60")
    wanted = [name for name in paths if name not in {"drop__b_DOT_txt", "containerd__config_DOT_toml", "reload"}]
    assert seen.files == {paths[name]: Path(paths[name]).read_text() for name in wanted}
    assert seen.missing == (f"{top}/gone", f"{top}/none.yaml")
    assert (seen.unread, seen.containerd, seen.containerd_config) == ({}, "2.1.9", 3)
    assert seen.cgroup in {"v1", "v2"}


def test_a_host_with_nothing(top):
    (top / "bin/containerd").unlink()
    seen = read(top)
    assert seen.unread == {UNIT: "No files found for kubelet.service."}
    assert (seen.unit, seen.running, seen.files, seen.missing) == ("", (), {}, ())


def test_what_cannot_be_read_is_said(top):
    (top / "unit").write_text(f"[Service]\nEnvironmentFile={top}/env\nExecStart=/usr/bin/kubelet\n")
    (top / "env").mkdir()
    big = top / "k8s/manifests/big.yaml"
    big.parent.mkdir(parents=True)
    big.write_text("x" * (settings_look.LARGEST + 1))
    assert read(top).unread == {
        f"{top}/env": "it is no file that can be read",
        str(big): f"it has {settings_look.LARGEST + 1} bytes",
    }


@pytest.mark.parametrize("line", ["what", "unit", "file YQ==", "file YQ== ?", "cgroup v1 v2", "containerd_config x"])
def test_other_answers_are_refused(line):
    with pytest.raises(ValueError):
        settings_look.parse(Answer(0, f"cgroup v2\n{line}\n"))
