"""What kubeadm writes on a control plane host is saved and put back: backup-files.sh and control-plane-files.sh, run for real."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from runbooks.commands import backup, control_plane_files
from runbooks.commands.base import Command
from tests.support.fakes import bash, master

pytestmark = pytest.mark.unit

# cmd/kubeadm/app/constants/constants.go of 1.20, 1.31, 1.34, 1.35 and 1.36: the last three have instance-config.yaml, all but the
# first super-admin.conf. The kubelet reads config.json, a file of the operator's.
WRITTEN = (
    *(f"/etc/kubernetes/{name}.conf" for name in ("admin", "super-admin", "kubelet", "controller-manager", "scheduler")),
    *(
        f"/etc/kubernetes/manifests/{name}.yaml"
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ),
    *(
        f"/etc/kubernetes/pki/{name}"
        for name in ("ca.crt", "ca.key", "sa.key", "front-proxy-ca.crt", "etcd/ca.crt", "etcd/ca.key")
    ),
    "/etc/kubernetes/patches/kubeletconfiguration.yaml",
    *(f"/var/lib/kubelet/{name}" for name in ("config.yaml", "instance-config.yaml", "kubeadm-flags.env", "config.json")),
    "/var/lib/kubelet/pki/kubelet.crt",
)
NOT_SAVED = (
    "/etc/kubernetes/tmp/kubeadm-backup/etcd.yaml",
    "/var/lib/kubelet/cpu_manager_state",
    "/var/lib/kubelet/pods/a/volume",
)


def run(command: Command, top: Path, stdin: Path | str = "/dev/null") -> bytes:
    """Run it with the host's directories below ``top``; return what it prints."""
    below = r"/(?=(?:etc/(?:kubernetes|default|sysconfig|systemd|cni)|var/lib/(?:kubelet|etcd|ha-runbooks))\b)"
    program = re.sub(below, f"{top}/", command.program).replace(" etc/kubernetes/tmp ", f" {str(top)[1:]}/etc/kubernetes/tmp ")
    answer = bash(f"PATH={top}/bin:$PATH\nexec <{stdin} >{top}/out\n{program}")
    assert answer.exited == 0, answer.stderr
    return (top / "out").read_bytes()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for path in (*WRITTEN, *NOT_SAVED):
        there = tmp_path / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    return tmp_path


def test_what_kubeadm_writes_is_saved_and_put_back(top):
    stream = run(backup.files("/var/lib/ha-runbooks/backup", master(1)), top)
    first, _, rest = stream.partition(b"\n")
    size = int(first.split()[2])
    assert first.startswith(b"@@ files ")
    archive = top / "archive.tar.gz"
    archive.write_bytes(rest[:size])
    for gone in ("etc", "var"):
        shutil.rmtree(top / gone)
    (top / "etc").mkdir()
    (top / "var/lib").mkdir(parents=True)
    digest = hashlib.sha256(rest[:size]).hexdigest()
    run(control_plane_files.place(master(1), "20261128T000000Z", size, digest, "/var/lib/etcd"), top, archive)
    for path in WRITTEN:
        name = (
            path if not path.startswith("/etc/kubernetes/manifests/") else f"/etc/kubernetes/ha-runbooks-parked/{Path(path).name}"
        )
        assert (top / name.lstrip("/")).read_text() == path
    assert not [path for path in NOT_SAVED if (top / path.lstrip("/")).exists()]
