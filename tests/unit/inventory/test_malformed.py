"""Every file in malformed/ says in its first lines what is wrong with it; load_site must say exactly that."""

import os
import re
from pathlib import Path

import pytest

from runbooks.errors import InventoryError
from runbooks.inventory.load import load_site
from runbooks.inventory.problems import SiteError

pytestmark = pytest.mark.unit

FILES = sorted((Path(__file__).parent / "malformed").glob("*.yaml"))
EXPECT = re.compile(r"^# expect: (\d+): (\S+): (.+)$", re.MULTILINE)


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_malformed(path: Path) -> None:
    expected = [(int(line), key.removeprefix("-"), said) for line, key, said in EXPECT.findall(path.read_text())]
    assert expected
    with pytest.raises(SiteError) as caught:
        load_site(path)
    left = list(caught.value.problems)
    for line, key, said in expected:
        match = [problem for problem in left if problem.line == line and problem.key == key and said in problem.message]
        assert match, f"line {line}: {key}: {said!r} is not in\n{caught.value}"
        left.remove(match[0])
    assert not left
    assert caught.value.exit_code == 2
    assert [problem.line for problem in caught.value.problems] == sorted(problem.line for problem in caught.value.problems)
    assert all(re.match(r"\S*malformed/\w+\.yaml:\d+: \S", line) for line in str(caught.value).splitlines())


BYTES = {
    "empty": (b"", 1, "the file is empty"),
    "blank": (b"\n\n  \n", 1, "the file is empty"),
    "marker only": (b"---\n", 1, "the file is empty"),
    "NUL": (b"name: a\nendpoint: \0\n", 2, "the character U+0000 does not belong in a text file"),
    "escape": (b"name: a\n\x1b[31m\n", 2, "the character U+001B"),
    "line separator": ("name: a\n# \u2028\n".encode(), 2, "the character U+2028"),
    "binary": (bytes(range(256)), 2, "byte 0x80 is not UTF-8 text"),
    "latin-1": (b"name: a\n# caf\xe9\n", 2, "byte 0xe9 is not UTF-8 text"),
    "UTF-16": ("name: a\n".encode("utf-16"), 1, "byte 0xff is not UTF-8 text"),
    "unclosed flow": (b"name: a\nhosts: [\n", 2, "this is not YAML"),
    "deep": (b"[" * 100_000, 1, "more than 32 levels deep"),
    "deep block": (b"".join(b" " * n + b"a:\n" for n in range(500)), 33, "more than 32 levels deep"),
    "wide": (b"[" + b"a," * 100_001 + b"]", 1, "more than 100000 values"),
    "unknown directive": (b"%YAML 9.9\n---\na: 1\n", 1, "this is not YAML"),
    "huge": (b"# " + b"a" * (1 << 20) + b"\n", 0, "is larger than 1 MiB"),
    "percent": (b"%", 1, "this is not YAML"),
    "bare question mark": (b"?", 1, "is not a known key"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes(name: str, tmp_path: Path) -> None:
    data, line, said = BYTES[name]
    path = tmp_path / "hosts.yaml"
    path.write_bytes(data)
    with pytest.raises(SiteError) as caught:
        load_site(path)
    problem = caught.value.problems[0]
    assert (problem.line, problem.file) == (line, str(path))
    assert said in problem.message


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: Site\n")
    with pytest.raises(SiteError, match=r"hosts\.yaml:1: name: Site is not a name"):
        load_site(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"nowhere\.yaml: there is no such file") as caught:
        load_site(tmp_path / "nowhere.yaml")
    assert caught.value.exit_code == 2


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="is a directory"):
        load_site(tmp_path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for path, said in (
        (tmp_path / "fifo", "is not a plain file"),
        (Path("/dev/zero"), "is not a plain file"),
        (tmp_path / "loop", "cannot"),
    ):
        with pytest.raises(SiteError, match=said):
            load_site(path)


def test_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SiteError, match="cannot be read: Not a directory"):
        load_site(tmp_path / "file" / "hosts.yaml")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_impossible_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="cannot be read"):
        load_site(tmp_path / name)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hosts.yaml"
    path.touch(mode=0o000)

    def refuse(*_: object, **__: object) -> None:  # root may read anything, so chmod alone proves nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SiteError, match=r"hosts\.yaml: cannot be read: Permission denied"):
        load_site(path)


def test_many_problems_are_cut_short_for_people(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text("".join(f"key{n}: 1\n" for n in range(300)))
    with pytest.raises(SiteError) as caught:
        load_site(path)
    assert len(caught.value.problems) == 300 + 7
    assert str(caught.value).endswith("\nand 207 more")
