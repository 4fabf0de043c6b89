"""Files on the operator's machine: private from the first byte, and written atomically."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runbooks.errors import DiskError
from runbooks.local import files

pytestmark = pytest.mark.unit


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_replaced_whole_with_its_mode(tmp_path):
    path = tmp_path / "note"
    files.replace(path, b"one")
    assert (path.read_bytes(), mode(path)) == (b"one", 0o600)
    before = os.umask(0o077)
    try:
        files.replace(path, b"two", mode=0o644)
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path), names(tmp_path)) == (b"two", 0o644, ["note"])


def test_what_cannot_be_written_leaves_what_was_there_and_nothing_else(tmp_path):
    (tmp_path / "note").mkdir()
    for path in (tmp_path / "note", tmp_path / "nowhere" / "note"):
        with pytest.raises(DiskError, match=f"{path}: cannot be written: "):
            files.replace(path, b"")
    assert names(tmp_path) == ["note"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "note").symlink_to("other")
    files.replace(tmp_path / "note", b"ours")
    assert ((tmp_path / "other").read_bytes(), (tmp_path / "note").is_symlink()) == (b"theirs", False)


def test_the_first_content_is_kept(tmp_path):
    path = tmp_path / "password"
    files.create_once(path, b"one")
    files.create_once(path, b"two")
    assert (path.read_bytes(), mode(path), names(tmp_path)) == (b"one", 0o600, ["password"])
    with pytest.raises(FileNotFoundError):
        files.create_once(tmp_path / "nowhere" / "password", b"")


def test_a_new_file_is_private_and_is_never_one_that_is_there(tmp_path):
    path = tmp_path / "new"
    with os.fdopen(files.create(path), "wb") as file:
        file.write(b"new")
    assert (path.read_bytes(), mode(path), files.open_to_others(path)) == (b"new", 0o600, False)
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in (path, tmp_path / "dangling"):
        with pytest.raises(FileExistsError):
            files.create(taken)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o610, 0o602])
def test_who_else_has_a_right(tmp_path, bits):
    tmp_path.chmod(bits)
    assert files.open_to_others(tmp_path)


def test_a_tree_is_made_private_but_for_what_is_no_file(tmp_path):
    (tmp_path / "deep").mkdir(mode=0o755)
    (tmp_path / "deep" / "file").write_bytes(b"")
    (tmp_path / "deep" / "file").chmod(0o666)
    (tmp_path / "link").symlink_to("deep")
    os.mkfifo(tmp_path / "deep" / "pipe")
    assert sorted(files.make_private(tmp_path)) == ["deep/pipe", "link"]
    assert (mode(tmp_path / "deep"), mode(tmp_path / "deep" / "file")) == (0o700, 0o600)
