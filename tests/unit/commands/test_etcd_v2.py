"""The check for data of etcd's v2 API: on a copy, by an etcdutl that can, and never called clean without having looked."""

from __future__ import annotations

import subprocess

import pytest

from runbooks.commands import etcd_v2
from runbooks.commands.base import Answer
from runbooks.commands.etcd_v2 import V2Check
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

CLEAN = "No custom content found in both v2store and WAL records."  # etcdutl/etcdutl/check_command.go of 3.5.32


@pytest.fixture
def member(tmp_path):
    """A process called etcd with an etcdctl and an etcdutl beside it, and its data."""
    programs, data, tools = (tmp_path / name for name in ("programs", "data", "tools"))
    for directory in (programs, data / "member" / "wal", data / "member" / "snap", tools):
        directory.mkdir(parents=True)
    (data / "member" / "wal" / "0.wal").write_bytes(b"log")
    (tmp_path / "etcd.yaml").write_text(f"    - --data-dir={data}\n")
    for name in ("etcd", "etcdctl"):
        (programs / name).write_bytes(open("/usr/bin/sleep", "rb").read())  # noqa: PTH123, SIM115
        (programs / name).chmod(0o755)
    running = subprocess.Popen([programs / "etcd", "60"])
    (tools / "pgrep").write_text(f"#!/bin/bash\necho {running.pid}\n")
    (tools / "pgrep").chmod(0o755)
    yield tmp_path
    running.kill()
    running.wait()


def check(top, version="3.5.33", says=f"echo '{CLEAN}'"):
    utility = top / "programs" / "etcdutl"
    utility.write_text(
        f'#!/bin/bash\nif [ "$1" = version ]; then echo "etcdutl version: {version}"; exit; fi\necho "$*" >{top}/asked\n{says}\n'
    )
    utility.chmod(0o755)
    program = etcd_v2.check(str(top / "base")).command.program.replace("/etc/kubernetes/manifests/etcd.yaml", f"{top}/etcd.yaml")
    return etcd_v2.parse(bash(f"PATH={top}/tools:$PATH\n{program}"))


def test_clean(member):
    assert check(member) == V2Check("clean", CLEAN)
    asked = (member / "asked").read_text().split()
    assert asked[:3] == ["check", "v2store", "--data-dir"]
    assert asked[3].startswith(str(member / "base"))  # a copy, which is deleted
    assert list((member / "base").iterdir()) == []
    assert (member / "data" / "member" / "wal" / "0.wal").read_bytes() == b"log"


def test_custom_data(member):
    assert check(member, says="echo 'Error: detected custom v2 content in WAL records' >&2; exit 1") == V2Check(
        "custom", "detected custom v2 content in WAL records"
    )


@pytest.mark.parametrize("version", ["3.5.31", "3.5.24", "3.6.11", "3.4.13", ""])
def test_another_etcdutl_is_not_asked(member, version):
    found = check(member, version)
    assert found.state == "unchecked"
    assert "3.5.32 is the first one" in found.said
    assert not (member / "asked").exists()


def test_a_directory_without_a_log_is_not_clean(member):
    (member / "data" / "member" / "wal" / "0.wal").unlink()
    assert check(member) == V2Check("unchecked", f"there is no write-ahead log in {member}/data")


def test_what_etcdutl_says_otherwise_is_no_proof(member):
    assert check(member, says="echo 'Error: failed to open WAL: x' >&2; exit 1") == V2Check(
        "unchecked", "etcdutl says: failed to open WAL: x"
    )


def test_another_answer():
    with pytest.raises(ValueError, match="etcd-v2-check says ''"):
        etcd_v2.parse(Answer(0, ""))
