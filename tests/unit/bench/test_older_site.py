"""What of a site file an older build is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from bench.older_site import without_newer, write_older

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

KNOWN = frozenset(
    {"lab", "lab.namespace", "name", "ssh", "ssh.user", "hosts", "hosts[].name", "hosts[].labels", "pools", "pools.NAME.size"}
)


def test_what_it_knows_stays():
    site = {"name": "a", "ssh": {"user": "ops"}, "hosts": [{"name": "lb1"}]}
    assert without_newer(site, KNOWN) == (site, [])


def test_newer_keys_are_left_out_on_every_level():
    site = {"name": "a", "drills": {"x": 1}, "ssh": {"user": "ops", "new": 1}, "hosts": [{"name": "lb1", "taints": []}]}
    kept, out = without_newer(site, KNOWN)
    assert kept == {"name": "a", "ssh": {"user": "ops"}, "hosts": [{"name": "lb1"}]}
    assert out == ["drills", "ssh.new", "hosts[].taints"]


def test_keys_that_the_site_chooses_stay():
    site = {"hosts": [{"labels": {"example.com/rack": "4"}}], "pools": {"fast": {"size": 3, "new": 1}}}
    kept, out = without_newer(site, KNOWN)
    assert kept == {"hosts": [{"labels": {"example.com/rack": "4"}}], "pools": {"fast": {"size": 3}}}
    assert out == ["pools.NAME.new"]


def test_each_key_is_named_once_and_the_source_stays(tmp_path: Path):
    source, target = tmp_path / "site.yaml", tmp_path / "older.yaml"
    source.write_text(text := "hosts:\n- {name: a, new: 1}\n- {name: b, new: 2}\n")
    assert write_older(source, target, KNOWN) == ("hosts[].new",)
    assert yaml.safe_load(target.read_text()) == {"hosts": [{"name": "a"}, {"name": "b"}]}
    assert source.read_text() == text


def test_a_build_that_would_leave_the_lab_gets_no_file(tmp_path: Path):
    source, target = tmp_path / "site.yaml", tmp_path / "older.yaml"
    source.write_text("name: a\nlab: {namespace: ha-lab-a}\n")
    with pytest.raises(RuntimeError, match=r"lab\.namespace"):
        write_older(source, target, KNOWN - {"lab.namespace"})
    assert not target.exists()
