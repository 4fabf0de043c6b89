"""Files on a host: found, compared, shown as a diff without secrets, and put in place whole. The scripts run for real."""

import grp
import os
import pwd
import stat
import subprocess
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runbooks.commands import files
from runbooks.commands.base import Answer, Secret
from runbooks.commands.files import File, Found, diff, differing
from runbooks.day2.rules import difference as rules
from tests.support.fakes import bash

pytestmark = pytest.mark.unit

ME = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"


def found(*paths) -> dict[str, Found]:
    probe = files.found([str(path) for path in paths])
    return probe.parse(bash(probe.command.program))


def place(*wanted: File) -> Answer:
    return bash(files.place(wanted).program)


def wanted(path, content="new\n", mode="0644") -> File:
    return File(str(path), content, mode=mode, owner=ME)


NAMES = [
    "plain",
    "with space",
    "it's",
    'say "hi"',
    "$HOME",
    "-rf",
    "*",
    "a\nb",
    "한국어",
    "XXXX",
    "a.XXXXXXXX.new",
    "back\\slash",
]
CONTENTS = ["x\n", "no line break at the end", "", "\n\n", "ü € 한국어\n", "'\"$(x)`y`\\\n", "\t \r\n", "%s %d\n", "y" * 200_000]


# ---- for real


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_placed_and_found(name, tmp_path):
    path = tmp_path / name
    assert place(wanted(path)) == Answer(0, "", "")
    assert found(path) == {str(path): Found("new\n", "0644", ME)}
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda text: repr(text[:12]))
def test_any_content_arrives_whole(content, tmp_path):
    file = wanted(tmp_path / "x", content)
    assert place(file).exited == 0
    assert (tmp_path / "x").read_bytes() == content.encode()
    assert differing([file], found(file.path)) == []


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@example("\0")
def test_what_was_placed_is_what_is_found(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("x") / "file"
    file = wanted(path, content)
    assert place(file).exited == 0
    assert differing([file], found(path)) == []


@pytest.mark.parametrize("mode", ["0600", "0644", "0755", "0400", "4755", "0000"])
def test_the_mode_is_exact_whatever_was_there(mode, tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o666)
    assert place(wanted(path, mode=mode)).exited == 0
    assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
    assert found(path)[str(path)].mode == mode


def test_missing_directories_are_made_and_others_may_look_into_them(tmp_path):
    path = tmp_path / "a" / "b" / "x"
    assert place(wanted(path, mode="0600")).exited == 0
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o755


def test_several_files_at_once_each_with_its_own(tmp_path):
    some = [wanted(tmp_path / "1", "one", "0600"), wanted(tmp_path / "2", "", "0644"), wanted(tmp_path / "3 3", "three", "0755")]
    assert place(*some).exited == 0
    assert differing(some, found(*(file.path for file in some))) == []


def test_a_reader_of_the_old_file_keeps_reading_the_old_one(tmp_path):
    """Renamed into place: an open file, and another hard link, still hold the old content, so nobody ever sees half of it."""
    path, other = tmp_path / "x", tmp_path / "link"
    path.write_text("old")
    other.hardlink_to(path)
    with path.open() as reader:
        assert place(wanted(path)).exited == 0
        assert reader.read() == "old"
    assert (path.read_text(), other.read_text()) == ("new\n", "old")


def test_a_symbolic_link_is_neither_replaced_nor_followed_and_nothing_else_is_written(tmp_path):
    target, path = tmp_path / "target", tmp_path / "x"
    target.write_text("mine")
    path.symlink_to(target)
    said = place(wanted(tmp_path / "other"), wanted(path))
    assert said.exited == 73
    assert f"{path} is a symbolic link" in said.stderr
    assert path.is_symlink()
    assert target.read_text() == "mine"
    assert not (tmp_path / "other").exists()


def test_a_symbolic_link_is_found_as_one_and_differs_whatever_it_leads_to(tmp_path):
    (tmp_path / "x").write_text("new\n")
    (tmp_path / "same").symlink_to("x")
    (tmp_path / "gone").symlink_to("/nowhere")
    there = found(tmp_path / "same", tmp_path / "x", tmp_path / "gone")
    assert [(each.mode, each.link, each.content) for each in there.values()] == [
        ("0644", "", "new\n"),
        ("link", "x", ""),
        ("link", "/nowhere", ""),
    ]
    one = wanted(tmp_path / "same", "new\n")
    assert differing([one], there) == [one]
    assert diff(one, there[one.path]) == f"{one.path}: a symbolic link to x\n"
    assert files.links([one.path, str(tmp_path / "x"), "/none"], there) == [one.path]
    assert list(files.regular(there)) == [str(tmp_path / "x")]


def test_nobody_can_read_a_secret_file_at_any_moment(tmp_path):
    """Every file system call of the script, in order: the new file is private until its mode is set, and never named PATH before."""
    strace = subprocess.run(["which", "strace"], capture_output=True, check=False).returncode == 0
    if not strace:
        pytest.skip("strace is not installed")
    path, trace = tmp_path / "x", tmp_path / "trace"
    program = tmp_path / "program.sh"
    program.write_text("umask 000\n" + files.place([wanted(path, "s3cret", "0600")]).program)
    calls = "open,openat,creat,chmod,fchmod,fchmodat,rename,renameat,renameat2,mkdir"
    subprocess.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", trace, "bash", program], check=True)
    made = [line for line in trace.read_text().splitlines() if "O_CREAT" in line and "x." in line]
    assert made
    assert all("0600" in line for line in made[:1])
    chmods = [line for line in trace.read_text().splitlines() if "chmod" in line]
    assert chmods
    assert all("0600" in line for line in chmods)
    assert "0666" not in "".join(line for line in made if "O_EXCL" in line)


@pytest.mark.parametrize("trouble", ["owner", "directory in the way", "file in the way"])
def test_a_failure_leaves_the_old_file_and_no_litter(trouble, tmp_path):
    path = tmp_path / "x"
    if trouble == "directory in the way":
        path.mkdir()
        file = wanted(path)
    elif trouble == "file in the way":
        path.write_text("old")
        file = wanted(path / "below")
    else:
        path.write_text("old")
        file = File(str(path), "new", mode="0644", owner="no-such-user:no-such-group")
    answer = place(file)
    assert answer.exited != 0
    assert answer.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
    assert list(path.iterdir()) == [] if path.is_dir() else path.read_text() == "old"


def test_what_is_not_a_file_is_not_found(tmp_path):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    assert found(tmp_path / "directory", tmp_path / "fifo", tmp_path / "missing") == {}


def test_binary_content_is_found_and_differs(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\0binary")
    assert differing([wanted(tmp_path / "x", "binary")], found(tmp_path / "x")) != []


def test_looking_for_nothing_finds_nothing():
    assert found() == {}


# ---- comparing


@pytest.mark.parametrize(
    ("there", "differs"),
    [
        (None, True),
        (Found("x\n", "0644", "root:root"), False),
        (Found("y\n", "0644", "root:root"), True),
        (Found("x\n", "0600", "root:root"), True),
        (Found("x\n", "0644", "ops:ops"), True),
    ],
)
def test_differing(there, differs):
    file = File("/etc/x", "x\n")
    assert bool(differing([file], {"/etc/x": there} if there else {})) is differs


def test_only_what_differs_is_listed_in_order():
    one, two, three = (File(f"/etc/{name}", "x") for name in "abc")
    assert differing([one, two, three], {"/etc/b": Found("x", "0644", "root:root")}) == [one, three]


# ---- diffs

OLD = "vrrp {\n    auth_pass oldpass1\n    priority 100\n}\n"
NEW = "vrrp {\n    auth_pass newpass2\n    priority 101\n}\n"


def keepalived(content=NEW, mode="0600") -> File:
    return File("/etc/keepalived.conf", content, mode=mode, secret=Secret("newpass2"))


def test_a_diff_shows_what_changes_and_no_secret_old_or_new():
    text = diff(keepalived(), Found(OLD, "0600", "root:root"))
    assert "-    priority 100\n+    priority 101\n" in text
    assert "oldpass1" not in text
    assert "newpass2" not in text


def test_a_new_file_is_shown_whole_and_masked():
    text = diff(keepalived(), None)
    assert text.startswith("--- /dev/null\n+++ /etc/keepalived.conf\n")
    assert "+    priority 101\n" in text
    assert "newpass2" not in text


@pytest.mark.parametrize("secret", [None, Secret("newpass2")])
def test_the_line_is_masked_even_when_the_secret_is_not_known(secret):
    text = diff(File("/etc/k", NEW, secret=secret), Found(OLD, "0644", "root:root"))
    assert "oldpass1" not in text
    assert "newpass2" not in text


def test_the_secret_is_masked_wherever_it_stands():
    text = diff(File("/etc/k", "x newpass2 y\n", secret=Secret("newpass2")), Found("old\n", "0644", "root:root"))
    assert "newpass2" not in text


def test_a_changed_secret_alone_is_told_without_the_secret():
    before = Found(NEW.replace("newpass2", "oldpass1"), "0600", "root:root")
    text = diff(keepalived(), before)
    assert "secret" in text
    assert "newpass2" not in text
    assert "oldpass1" not in text
    assert "0600 root:root ->" not in text  # that is not what differs


def test_a_change_of_mode_or_owner_alone():
    assert diff(keepalived(), Found(NEW, "0644", "root:root")) == "/etc/keepalived.conf: 0644 root:root -> 0600 root:root\n"
    assert diff(keepalived(), Found(NEW, "0600", "ops:ops")) == "/etc/keepalived.conf: 0600 ops:ops -> 0600 root:root\n"


def test_a_change_of_content_does_not_hide_a_change_of_mode():
    text = diff(keepalived(), Found(OLD, "0644", "root:root"))
    assert "+    priority 101\n" in text
    assert "0644 root:root -> 0600 root:root" in text


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_differs_is_shown_in_whole_lines(old, new):
    assume(old != new)
    assert diff(File("/etc/x", new), Found(old, "0644", "root:root")).endswith("\n")


# ---- what is sent and shown


def test_contents_are_sent_but_not_shown():
    file = keepalived()
    for command in (files.place([file]),):
        assert b64encode(file.content.encode()).decode() in command.program
        assert "newpass2" not in command.program  # not in the clear even there
        assert "newpass2" not in repr(command)
        assert b64encode(file.content.encode()).decode() not in str(command)
        assert "/etc/keepalived.conf" in str(command)


def test_the_secret_of_a_file_is_not_in_its_representation():
    """It would end in a traceback, or in a log."""
    assert "newpass2" not in repr(keepalived())


# ---- parsing


@given(st.text(max_size=100) | st.lists(st.sampled_from(["644", "root:root", "YQ==", "x", "", "ü"]), max_size=6).map(" ".join))
@example("644 DOMAIN\\domain users:x YQ== YQ==")
def test_junk_is_a_value_error_and_nothing_else(stdout):
    with suppress(ValueError):
        files.parse_found(Answer(0, stdout))


@pytest.mark.parametrize(
    "line",
    [
        '  password = "horse"',
        "password='horse'",
        '  identitytoken = "horse"',
        'auth = "horse"',
        "\tauth_pass horse",
        'configs = { "r" = { auth = { username = "u", password = "horse" } } }',
        'configs = { "r" = { "auth" = { "password" = "horse" } } }',
        'auth.password = "horse"',
        'header = { authorization = "Basic horse" }',
        'header = { "X-Auth-Key" = ["horse"] }',
        'x = ["Basic horse"]',
        'Authorization = [\n  "a",\n  "horse",\n]',
        'password = """\nhorse"""',
        "    user b groups g1 password $5$horse",
        "    user b password $5$horse groups g1",
        "    user b insecure-password horse",
        "    stats auth admin:horse",
        '    http-request set-header Authorization "Bearer horse"',
        "    http-request set-header Authorization Basic\\ horse",
    ],
)
def test_an_old_secret_is_masked_as_well(line: str) -> None:
    text = diff(
        File("/etc/containerd/config.toml", 'password = "cow"\nroot = "/data"\n'), Found(f"{line}\n", "0644", "root:root")
    )
    assert "horse" not in text
    assert "cow" not in text
    assert '+root = "/data"' in text
    assert "horse" not in rules.masked("".join(f"-{each}\n" for each in line.split("\n")))


@pytest.mark.parametrize(
    "line", ["    user haproxy", "    http-request auth unless { http_auth(staff) }", "  mode http", "tokens"]
)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert files.hidden(line) == line
