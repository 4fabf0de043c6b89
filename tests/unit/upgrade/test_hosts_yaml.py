"""hosts.yaml gets its new version, or the operator is told what to write and why."""

import os
import stat

import pytest

from runbooks.engine import loop
from runbooks.errors import DiskError
from runbooks.inventory.load import load_site
from runbooks.upgrade import hosts_yaml
from runbooks.upgrade.hosts_yaml import change, set_version, write
from tests.support import ROOT
from tests.support.fakes import FakeHosts, run_on, toy

pytestmark = pytest.mark.unit

TEXT = (ROOT / "hosts.yaml").read_text()
LINE = next(number for number, line in enumerate(TEXT.splitlines(), 1) if line.strip().startswith("version:"))


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "site" / "hosts.yaml"
    file.parent.mkdir()
    file.write_text(TEXT)
    return file


def carried_out(path, version="1.28.3", *, plan=False):
    run = run_on(FakeHosts(), plan=plan)
    loop.carry_out(run, toy(set_version(path, version)))
    return run.listener


def test_it_is_set_with_a_diff_and_only_once(path):
    path.chmod(0o640)
    shown = carried_out(path)
    assert path.read_text() == TEXT.replace('version: "1.28.0"', 'version: "1.28.3"')
    assert load_site(path).site.kubernetes.version == "1.28.3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    ((_, host, diff, plan),) = [event for event in shown.events if event[0] == "diff"]
    assert (host, plan) == ("here", False)
    assert diff.startswith("--- site/hosts.yaml\n+++ site/hosts.yaml\n")
    assert '-  version: "1.28.0"' in diff
    assert shown.of("change") == ["None site/hosts.yaml: kubernetes.version: 1.28.3"]
    assert list(shown.outcomes.values()) == ["changed"]
    assert list(carried_out(path).outcomes.values()) == ["nothing to do"]
    assert [each.name for each in path.parent.iterdir()] == ["hosts.yaml"]
    assert (change(path, "1.28.3").there, change(path, "1.28.3").by_hand) == (True, "")


def test_a_plan_shows_the_diff_and_writes_nothing(path):
    shown = carried_out(path, plan=True)
    assert path.read_text() == TEXT
    assert [event[0] for event in shown.events if event[0] in {"diff", "would change"}] == ["diff", "would change"]


def test_line_ends_and_a_byte_order_mark_stay(path):
    before = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    path.write_bytes(before)
    write(change(path, "1.28.3"))
    assert path.read_bytes() == before.replace(b'version: "1.28.0"', b'version: "1.28.3"')


def link(path):
    path.rename(path.with_name("real.yaml"))
    path.symlink_to("real.yaml")


def hard_link(path):
    path.with_name("other.yaml").hardlink_to(path)


def read_only(path):
    path.chmod(0o444)


def shared(path):
    path.write_text(TEXT.replace('version: "1.28.0"', 'version: &v "1.28.0"') + "x: *v\n")


def block(path):
    path.write_text(TEXT.replace('version: "1.28.0"', "version: |-\n    1.28.0\n "))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (link, "it is a symbolic link to real.yaml"),
        (hard_link, "it has several hard links"),
        (read_only, "it is read-only"),
        (shared, "kubernetes.version: other values of the file would change with it"),
        (block, "kubernetes.version is not in it as a key with a value"),
    ],
    ids=["link", "hard link", "read-only", "shared", "block"],
)
def test_what_is_not_ours_to_write_is_named_and_stops_nothing(path, make, why):
    make(path)
    before = path.read_bytes()
    wanted = change(path, "1.28.3")
    assert wanted.why_not == why
    place = "site/hosts.yaml" if make is block else f"site/hosts.yaml:{LINE}"
    assert wanted.by_hand == f"{place}: write version: 1.28.3 under kubernetes ({why})"
    assert (wanted.there, wanted.diff) == (False, "")
    shown = carried_out(path)
    assert list(shown.outcomes.values()) == ["failed"]
    assert any(wanted.by_hand in text for text in shown.of("say"))
    assert (path.read_bytes(), path.is_symlink()) == (before, make is link)


def test_a_file_that_is_not_there(tmp_path):
    wanted = change(tmp_path / "hosts.yaml", "1.28.3")
    assert wanted.why_not.startswith("it cannot be read: ")
    assert not wanted.there


def test_a_version_with_which_the_file_would_not_be_valid_is_not_written(path):
    assert change(path, "2.0.0").why_not.startswith(
        f"with it the file would not be valid: site/hosts.yaml:{LINE}: kubernetes.version: "
    )


def test_somebody_who_edits_it_meanwhile_keeps_his_text(path):
    wanted = change(path, "1.28.3")
    path.write_text(TEXT + "# mine\n")
    with pytest.raises(DiskError, match="somebody has changed it meanwhile"):
        write(wanted)
    assert path.read_text() == TEXT + "# mine\n"


def test_a_disk_that_is_full_stops_nothing_either(path, monkeypatch):
    def full(*words, **more):
        raise DiskError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(hosts_yaml.files, "replace", full)
    shown = carried_out(path)
    assert list(shown.outcomes.values()) == ["failed"]
    assert "No space left on device" in shown.of("say")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_its_owner_stays(path):
    os.chown(path, 1234, 5678)
    write(change(path, "1.28.3"))
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)
