"""Sets of a real cluster off-site in a restic repository, and back; single objects out of a set, and back into the cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.operator import Operator
from tests.support.stock import STOCK

pytestmark = pytest.mark.lab

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")


@pytest.fixture(scope="module")
def offsite(saved: Operator, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator with a directory of sets of his own, and a repository in hosts.yaml that is not there yet."""
    somebody = Operator(saved.lab, tmp_path_factory.mktemp("offsite"))
    password = somebody.directory / "password"
    password.touch(mode=0o600)
    password.write_text("swordfish\n")
    backup = {
        "directory": str(somebody.directory / "sets"),
        "restic": {"repository": str(somebody.directory / "repository"), "password_file": str(password)},
    }
    somebody.edit(lambda site: site.update(backup=backup))
    return somebody


def sets(operator: Operator) -> list[Path]:
    return sorted(path for path in (operator.directory / "sets").iterdir() if not path.name.startswith("."))


def files(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def listed(operator: Operator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(operator.good("backup.fetch", "--list", "--json"))
    return found


def kubectl(operator: Operator, *words: str, stdin: str | None = None) -> str:
    done = operator.lab.console("master1", [*KUBECTL, *words], stdin=stdin, timeout_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- there and back


def test_without_a_repository_the_set_is_good_and_the_exit_status_says_what_failed(offsite: Operator) -> None:
    done = offsite.inv("backup.run")
    assert (done.returncode, "good; etcd at revision" in done.stdout) == (5, True), done.stdout + done.stderr
    assert "copy off-site: there is no restic repository at" in done.stderr
    assert "inv backup.offsite-init" in done.stderr
    assert not (offsite.directory / "repository").exists()
    assert len(sets(offsite)) == 1


def test_the_next_run_copies_what_is_missing(offsite: Operator) -> None:
    offsite.good("backup.offsite-init")
    offsite.good("backup.run")
    here = [each.name for each in sets(offsite)]
    assert len(here) == 2
    assert [each["id"] for each in listed(offsite)] == here[::-1]
    assert {each["state"] for each in listed(offsite)} == {"good"}
    for name in here:
        record = json.loads((offsite.directory / "sets" / ".records" / f"{name}.json").read_text())["offsite"]
        assert record["verified"] is True
    table = offsite.good("backup.list")
    assert [line.split()[-1] for line in table.splitlines() if line.startswith(tuple(here))] == ["yes", "yes"]


def test_a_lost_set_comes_back_byte_for_byte(offsite: Operator) -> None:
    *_, last = sets(offsite)
    before = files(last)
    shutil.rmtree(last)
    offsite.good("backup.fetch", "--id", last.name)
    assert files(last) == before
    offsite.idle("backup.fetch")
    assert not list((offsite.directory / "sets").glob(".making-*"))


def test_a_lost_machine_gets_its_sets_back(offsite: Operator, tmp_path: Path) -> None:
    """All that is left is hosts.yaml, the password and the repository."""
    machine = Operator(offsite.lab, tmp_path)
    machine.site.write_text(offsite.site.read_text().replace(str(offsite.directory / "sets"), str(tmp_path / "sets")))
    machine.good("backup.fetch")
    (came,) = sets(machine)
    assert files(came) == files(sets(offsite)[-1])
    assert yaml.safe_load(machine.good("backup.extract", "--kind", "namespaces", "--name", STOCK))["metadata"]["name"] == STOCK
    tools = list((tmp_path / "sets" / ".tools").glob("etcd-*/*"))
    assert {each.name for each in tools} >= {"etcd", "etcdctl"}
    assert "all as saved" in machine.good("backup.restore-test")


def test_others_may_not_read_the_password(offsite: Operator) -> None:
    before = sets(offsite)
    (offsite.directory / "password").chmod(0o644)
    try:
        done = offsite.inv("backup.run")
    finally:
        (offsite.directory / "password").chmod(0o600)
    assert (done.returncode, done.stdout) == (2, "")
    assert "chmod 600" in done.stderr
    assert sets(offsite) == before


def test_nothing_of_it_is_readable_by_others(offsite: Operator) -> None:
    for each in ("sets", "repository"):
        top = offsite.directory / each
        assert top.stat().st_mode & 0o077 == 0
    texts = list(offsite.directory.glob(".runbooks/**/*.jsonl"))
    assert texts
    assert not any("swordfish" in each.read_text() for each in texts)


# ---- single objects


def test_deleted_objects_come_back_as_they_were(offsite: Operator) -> None:
    """Of a ConfigMap, a Secret and a custom resource: what somebody wrote is the same, what the server makes is new."""
    wanted = (("ConfigMap", "configmap-0042"), ("secret", "secret-0007"), ("widgets.stock.example", "widget-0003"))
    before = [json.loads(kubectl(offsite, "get", kind, name, "-n", STOCK, "-o", "json")) for kind, name in wanted]
    text = ""
    for kind, name in wanted:
        text += offsite.good("backup.extract", "--kind", kind, "--namespace", STOCK, "--name", name)
    for kind, name in wanted:
        kubectl(offsite, "delete", kind, name, "-n", STOCK)
    assert kubectl(offsite, "apply", "-f", "-", stdin=text).count(" created") == len(wanted)
    after = [json.loads(kubectl(offsite, "get", kind, name, "-n", STOCK, "-o", "json")) for kind, name in wanted]
    for old, new in zip(before, after, strict=True):
        assert old["metadata"]["uid"] != new["metadata"]["uid"]
        assert old["metadata"]["labels"] == new["metadata"]["labels"]
        assert {key: old.get(key) for key in ("data", "type", "spec")} == {key: new.get(key) for key in ("data", "type", "spec")}


def test_what_is_there_already_can_be_applied_over(offsite: Operator) -> None:
    """The server refuses none of it for a field that should have been taken out."""
    for kind in ("services", "serviceaccounts", "daemonsets", "clusterroles", "customresourcedefinitions", "namespaces"):
        text = offsite.good("backup.extract", "--kind", kind)
        said = kubectl(offsite, "apply", "--dry-run=server", "-f", "-", stdin=text)
        assert len(said.splitlines()) == len(list(yaml.safe_load_all(text))), kind


def test_a_whole_namespace_of_one_kind_in_a_file(offsite: Operator, tmp_path: Path) -> None:
    offsite.good("backup.extract", "--kind", "secrets", "--namespace", STOCK, "--to", str(tmp_path / "secrets.yaml"))
    path = tmp_path / "secrets.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    objects = list(yaml.safe_load_all(path.read_text()))
    mine = [each["metadata"]["name"] for each in objects if each["type"] == "Opaque"]
    assert mine == [f"secret-{number:04}" for number in range(200)]
    done = offsite.inv("backup.extract", "--kind", "secrets", "--to", str(path))
    assert (done.returncode, "is not overwritten" in done.stderr) == (2, True)


def test_nothing_found_says_what_there_is(offsite: Operator) -> None:
    done = offsite.inv("backup.extract", "--kind", "widget", "--namespace", "default")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"none of its 50 widgets.stock.example is --namespace default: 50 in {STOCK}" in done.stderr
    done = offsite.inv("backup.extract", "--kind", "widgit")
    assert (done.returncode, "widgets.stock.example" in done.stderr) == (2, True)
