"""Commands for etcd on the control plane: with an etcd elsewhere they are refused in one line, before any host is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "words",
    [
        ["etcd.status"],
        ["etcd.members"],
        ["etcd.perf"],
        ["etcd.defrag"],
        ["etcd.disarm"],
        ["etcd.move-leader"],
        ["backup.run"],
        ["recover.etcd-member", "--member", "master1"],
        ["recover.etcd-quorum"],
        ["recover.control-plane"],
        ["recover.node", "--host", "master1"],
    ],
    ids=lambda words: words[0],
)
def test_with_an_etcd_elsewhere_they_are_refused(tmp_path: Path, words: list[str]) -> None:
    site = yaml.safe_load((ROOT / "hosts.yaml").read_text())
    site["kubernetes"]["etcd"] = "external"
    site["backup"]["directory"] = str(tmp_path / "sets")
    file = tmp_path / "hosts.yaml"
    file.write_text(yaml.safe_dump(site))
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *words],
        cwd=ROOT,
        env={**os.environ, "RUNBOOKS_SITE": str(file)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "kubernetes.etcd is external: its etcd does not run on the control plane hosts" in done.stderr
    assert "etcdctl" in done.stderr
    assert done.stdout == ""
