"""etcd-data-dir.sh, run for real: where a host's etcd has its data, by its own manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.commands import kubeadm
from tests.support import ROOT
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

SCRIPT = (ROOT / "scripts/host/etcd-data-dir.sh").read_text()
KUBEADM = """#!/bin/bash
[ "$2" != phase ] || exit 0
rm -rf TOP/kubernetes/manifests
[ ! -e TOP/breaks ] || exit 1
"""


def manifest(flag: str) -> str:
    return f"spec:\n  containers:\n  - command:\n    - etcd\n    - --advertise-client-urls=https://10.1.1.101:2379\n{flag}"


@pytest.mark.parametrize(
    ("where", "flag", "found"),
    [
        ("manifests", "    - --data-dir=/data/etcd\n", "/data/etcd"),
        ("manifests", '    - "--data-dir=/data/etcd"\n', "/data/etcd"),
        ("ha-runbooks-parked", "    - --data-dir=/data/etcd\n", "/data/etcd"),
        ("manifests", "    - --data-dir=/var/lib/etcd # here\n", "/var/lib/etcd"),
        ("manifests", "", "/var/lib/etcd"),
        ("", "", "/var/lib/etcd"),
    ],
)
def test_the_manifest_says_where_the_data_are(tmp_path: Path, where, flag, found):
    if where:
        (tmp_path / where).mkdir()
        (tmp_path / where / "etcd.yaml").write_text(manifest(flag))
    assert bash(f"set -euo pipefail\n{SCRIPT}\netcd_data_dir {tmp_path}").stdout.strip() == found


def test_a_reset_that_was_interrupted_still_finds_the_data(tmp_path: Path):
    """`kubeadm reset` deletes the manifest, which says where the data are; it may be interrupted then."""
    data, kubernetes = tmp_path / "data", tmp_path / "kubernetes"
    (data / "member").mkdir(parents=True)
    (kubernetes / "manifests").mkdir(parents=True)
    (kubernetes / "manifests/etcd.yaml").write_text(manifest(f"    - --data-dir={data}\n"))
    (tmp_path / "bin").mkdir()
    for name, text in {"kubeadm": KUBEADM, "systemctl": "#!/bin/bash\n", "ip": "#!/bin/bash\nexit 1\n"}.items():
        (tmp_path / "bin" / name).write_text(text.replace("TOP", str(tmp_path)))
        (tmp_path / "bin" / name).chmod(0o755)
    program = kubeadm.reset(kubeadm.ALONE).program
    places = ("/etc/kubernetes", "/var/lib/ha-runbooks", "/run/ha-runbooks-kubeadm", "/etc/cni/net.d")
    for path in places:
        program = program.replace(path, f"{tmp_path}/{Path(path).name}")
    (tmp_path / "breaks").touch()
    assert bash(f"PATH={tmp_path}/bin:$PATH\n{program}").exited == 1
    assert (data / "member").exists()
    (tmp_path / "breaks").unlink()
    assert bash(f"PATH={tmp_path}/bin:$PATH\n{program}").exited == 0
    assert data.exists()
    assert not (data / "member").exists()
    assert not list((tmp_path / "ha-runbooks/kubeadm").iterdir())
