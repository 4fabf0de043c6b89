"""A new site file is there completely or not at all, and never in the place of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.errors import DiskError, InventoryError
from runbooks.site.new_file import put, wanted

pytestmark = pytest.mark.unit

GOOD = (Path(__file__).parents[1] / "inventory" / "good.yaml").read_text()


def test_a_good_file_is_put_in_place(tmp_path):
    path = wanted(str(tmp_path / "new.yaml"))
    assert put(path, GOOD) == ()
    assert (path.read_text(), path.stat().st_mode & 0o777) == (GOOD, 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_wrong_is_said_with_its_line_and_the_file_is_there_to_put_it_right(tmp_path):
    path = tmp_path / "new.yaml"
    text = GOOD.replace("vip: 10.1.1.100", "vip: null").replace("{user: ops}", "{user: ops, key: nokey}")
    assert [(each.line, each.key) for each in put(path, text)] == [(2, "endpoint.vip")]
    text = text.replace("vip: null", "vip: 10.1.1.100")
    path.unlink()
    assert [(each.line, each.key) for each in put(path, text)] == [(6, "ssh.key")]


@pytest.mark.parametrize("there", ["file", "link"])
def test_no_file_is_overwritten(tmp_path, there):
    path = tmp_path / "hosts.yaml"
    path.write_text("mine") if there == "file" else path.symlink_to("nowhere")
    for refused in (lambda: wanted(str(path)), lambda: put(path, GOOD)):
        with pytest.raises(InventoryError, match="is there already") as caught:
            refused()
        assert "--output" in caught.value.hint
    assert path.read_text() == "mine" if there == "file" else path.is_symlink()


def test_where_it_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOKS_SITE", str(tmp_path / "mine.yaml"))
    assert wanted("") == tmp_path / "mine.yaml"
    with pytest.raises(InventoryError, match="there is no directory") as caught:
        wanted(str(tmp_path / "no" / "hosts.yaml"))
    assert caught.value.hint == f"mkdir -p {tmp_path}/no"
    with pytest.raises(DiskError, match="cannot be written"):
        put(tmp_path / "no" / "hosts.yaml", GOOD)
