"""What a host sends, however it is cut into pieces, becomes the files that it sent, or an error; never a file elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbooks.backup.run.receive import Receiver
from runbooks.backup.sets.folder import Folder
from runbooks.backup.sets.objects import Pages, items, pages
from runbooks.errors import CommandError, DiskError, RunbookError
from runbooks.inventory.settings import Age

pytestmark = pytest.mark.unit


def part(name: str, content: bytes, digest: str | None = None) -> bytes:
    return f"@@ {name} {len(content)} {digest or hashlib.sha256(content).hexdigest()}\n".encode() + content


def snapshot(content: bytes) -> bytes:
    """As etcd makes it: its own digest at the end."""
    return part("etcd", content + hashlib.sha256(content).digest(), "-")


def page(*names: str) -> bytes:
    objects = [{"metadata": {"name": name}} for name in names]
    document = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": objects}
    return gzip.compress(json.dumps(document).encode())


def take(folder: Folder, stream: bytes, size: int = 1 << 16) -> Receiver:
    """Feed ``stream`` in pieces of ``size`` bytes."""
    receiver = Receiver("m1", folder, lambda name: None if name == "keys" else f"in/{name}")
    try:
        for at in range(0, len(stream), size):
            receiver(stream[at : at + size])
        receiver.finish()
    except BaseException:
        receiver.abandon()
        raise
    return receiver


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "there" / "set" / "in").mkdir(parents=True)
    return Folder(tmp_path / "there" / "set")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(contents=st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z]", fullmatch=True), st.binary(max_size=300), max_size=4), size=st.integers(1, 400))  # fmt: skip
def test_however_it_is_cut(tmp_path_factory, contents: dict[str, bytes], size: int) -> None:
    contents.pop("keys", None)
    top = tmp_path_factory.mktemp("set")
    folder = Folder(top)
    stream = b"".join(part(name, content) for name, content in contents.items())
    stream = b'@= status {"a": 1}\n' + stream + snapshot(b"x" * 100) + part("keys", b"k\nk") + b"@! files none there\n@. \n"
    receiver = take(folder, stream, size)
    assert {name: (top / "in" / name).read_bytes() for name in contents if name != "etcd"} == {
        name: content for name, content in contents.items() if name != "etcd"
    }
    assert receiver.texts == {"keys": b"k\nk"}
    assert receiver.facts == {"status": '{"a": 1}'}
    assert receiver.missing == {"files": "none there"}
    for name, stored in folder.files.items():
        assert hashlib.sha256((top / name).read_bytes()).hexdigest() == stored.sha256
        assert (top / name).stat().st_size == stored.size
        assert (top / name).stat().st_mode & 0o777 == 0o600


def test_a_list_is_counted_on_the_way(folder: Folder) -> None:
    stream = part("resources/configmaps", page("a", "b") + page("c"))
    receiver = take(folder, stream + b"@. \n", 7)
    assert receiver.objects == {"resources/configmaps": 3}


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (part("a1", b"abc", "0" * 64) + b"@. \n", "a1 was damaged on the way"),
        (part("etcd", b"abc" * 40, "-") + b"@. \n", "etcd was damaged on the way"),
        (part("a1", b"abc")[:-1], "ended in the middle of a1"),
        (part("a1", b"abc"), "ended too early"),
        (b"", "ended too early"),
        (part("resources/pods", b"no gzip") + b"@. \n", "resources/pods: it is no list of objects"),
        (part("resources/pods", page("a")[:-9]) + b"@. \n", "it ends in the middle"),
        (part("resources/pods", gzip.compress(b'{"kind": 1}', mtime=0)) + b"@. \n", "it is no list of objects"),
        (b"bash: no such file\n", "it sent 'bash: no such file'"),
        (b"x" * (1 << 17), "a line without an end"),
    ],
)
def test_what_is_no_backup_is_an_error_and_leaves_no_file(folder: Folder, stream: bytes, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        take(folder, stream)
    left = [
        path for path in folder.path.rglob("*") if path.is_file() and path.relative_to(folder.path).as_posix() not in folder.files
    ]
    assert left == []


@pytest.mark.parametrize("name", ["../a1", "/etc/passwd", "a/../../b", ".hidden", "a/", "", "A", "a b"])
def test_a_host_does_not_choose_where_its_files_lie(folder: Folder, name: str) -> None:
    with pytest.raises(CommandError, match="which is not part of a backup"):
        take(folder, part(name, b"x") + b"@. \n")
    assert [path for path in folder.path.parent.rglob("*") if path.is_file()] == []


def test_a_broken_attempt_is_begun_anew(folder: Folder) -> None:
    with pytest.raises(CommandError):
        take(folder, part("a1", b"x" * 1000)[:500])
    take(folder, part("a1", b"y") + b"@. \n")
    assert (folder.path / "in/a1").read_bytes() == b"y"


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    writer = folder.open("a1")
    writer._file.close()
    writer._file = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115 - closed by abandon
    with pytest.raises(DiskError, match="cannot be written: No space left on device"):
        writer.write(b"x")
    writer.abandon()


@pytest.fixture
def age(tmp_path: Path) -> Age:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    recipient = (tmp_path / "key").read_text().partition("public key: ")[2].split()[0]
    return Age(recipients=(recipient,), identity=tmp_path / "key")


def test_with_age_no_plaintext_is_written(tmp_path: Path, age: Age) -> None:
    top = tmp_path / "set"
    top.mkdir()
    folder = Folder(top, age)
    take(folder, snapshot(b"swordfish" * 100_000) + b"@. \n")
    (stored,) = folder.files
    assert stored == "in/etcd.age"
    content = (top / stored).read_bytes()
    assert b"swordfish" not in content
    assert hashlib.sha256(content).hexdigest() == folder.files[stored].sha256
    opened = subprocess.run(["age", "--decrypt", "-i", str(age.identity), top / stored], check=True, capture_output=True)
    assert opened.stdout[:-32] == b"swordfish" * 100_000


def test_a_recipient_that_age_does_not_take(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Age(recipients=("age1" + "q" * 40,)))
    with pytest.raises(RunbookError, match="age could not encrypt it"):
        folder.put("a1", b"x" * 1_000_000)


@settings(max_examples=50)
@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=5), size=st.integers(1, 100))
def test_pages_are_read_however_they_are_cut(counts: list[int], size: int) -> None:
    names = [[f"o{number}-{index}" for index in range(count)] for number, count in enumerate(counts)]
    text = b"".join(page(*some) for some in names)
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    found = [each for one in pages(cut) for each in items(one)]
    assert [each["metadata"]["name"] for each in found] == [name for some in names for name in some]
    assert all((each["apiVersion"], each["kind"]) == ("v1", "ConfigMap") for each in found)
    counter = Pages()
    for each in cut:
        counter.add(each)
    assert counter.end("x") == sum(counts)
