"""scripts/host/session.sh, run for real: what every command on a host goes through."""

import hashlib
import os
import re
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runbooks.engine.start import INCOMPLETE, MARK, session_line, session_script
from tests.support import ROOT
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit

SCRIPT = (ROOT / "scripts" / "host" / "session.sh").read_text()
IMPATIENT = re.sub(r"\bgrace=10$", "grace=1", SCRIPT, flags=re.MULTILINE)


class Session:
    """What sshd starts, and the operator's end of it. Output goes to files, so that nothing waits for a pipe's reader."""

    def __init__(self, directory: Path, script: str = SCRIPT, shell: str = "bash") -> None:
        self.out, self.err = directory / "out", directory / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen([shell, "-c", script], stdin=subprocess.PIPE, stdout=out, stderr=err)
        self.pids: list[int] = []

    def send(self, program: str | bytes, seconds: float = 30, given: int | None = None) -> "Session":
        data = program.encode() if isinstance(program, str) else program
        more = "" if given is None else f" {given}"
        return self.raw(f"{len(data)} {seconds:g}{more}\n".encode() + data)

    def raw(self, data: bytes) -> "Session":
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()
        return self

    def hang_up(self) -> "Session":
        assert self.process.stdin
        self.process.stdin.close()
        return self

    def exited(self) -> int:
        return self.process.wait(timeout=30)

    @property
    def stdout(self) -> str:
        text = self.out.read_text()
        assert text.startswith(MARK)
        return text.removeprefix(MARK)

    @property
    def stderr(self) -> str:
        text = self.err.read_text()
        assert text.startswith(MARK)
        return text.removeprefix(MARK)

    def said(self, words: int) -> list[int]:
        """Process ids that the program has printed, once there are so many."""
        eventually(lambda: len(self.out.read_text().split()) > words)
        self.pids = [int(word) for word in self.stdout.split()]
        return self.pids


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def opened(directory: Path, script: str = SCRIPT, shell: str = "bash"):
    session = Session(directory, script, shell)
    try:
        yield session
    finally:
        session.hang_up()
        for pid in session.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        session.process.wait(timeout=30)


def test_the_grace_can_be_shortened_for_these_tests():
    assert IMPATIENT != SCRIPT


@pytest.fixture
def session(tmp_path):
    with opened(tmp_path) as one:
        yield one


# ---- answers


@pytest.mark.parametrize("code", [0, 1, 7, 65, 75, 255])
def test_exit_status(code, session):
    assert session.send(f"exit {code}").exited() == code


def test_the_mark_comes_first_and_the_streams_stay_apart(session):
    assert session.send("echo out; echo err >&2").exited() == 0
    assert session.stdout == "out\n"
    assert session.stderr == "err\n"


def test_a_program_ended_by_a_signal(session):
    assert session.send("kill -TERM $$").exited() == 128 + signal.SIGTERM


def test_a_syntax_error_is_an_error(session):
    assert session.send("if true\n").exited() == 2
    assert "syntax error" in session.stderr


@pytest.mark.parametrize(
    "program",
    ["printf x", "printf x\n", "\n\nprintf x\n\n\n", "printf x # no line break at the end", "if true; then\n  printf x\nfi"],
)
def test_line_breaks_around_the_program_do_not_matter(program, session):
    assert session.send(program).exited() == 0
    assert session.stdout == "x"


def test_bytes_are_counted_not_characters(session):
    assert session.send("printf '%s|' 'ü €' 한국어 '\U0001f680'; printf end").exited() == 0
    assert session.stdout == "ü €|한국어|\U0001f680|end"


def test_control_characters_of_a_program_arrive(session):
    assert session.send("printf %s 'a\x01b\x7fc\x1bd\te\\f\r\n'").exited() == 0
    assert session.out.read_bytes().removeprefix(MARK.encode()) == b"a\x01b\x7fc\x1bd\te\\f\r\n"


def test_binary_output_comes_back_as_it_is(session):
    assert session.send(r"printf 'a\0b\377\n'").exited() == 0
    assert session.out.read_bytes().removeprefix(MARK.encode()) == b"a\0b\xff\n"


def test_a_program_of_a_megabyte(session):
    text = "x" * 1_000_000
    assert session.send(f"text='{text}'\necho ${{#text}}\n").exited() == 0
    assert session.stdout == "1000000\n"


def test_a_long_program_runs_to_its_last_line(session):
    assert session.send("x=$((x + 1))\n" * 20_000 + "echo $x\n").exited() == 0
    assert session.stdout == "20000\n"


# ---- surroundings


def test_what_a_program_finds(session):
    program = 'umask; echo "$LC_ALL"; false | true; echo $?; cat | wc -c; [ -e /proc/$$/fd/4 ] && echo "holds the lifeline"; true'
    assert session.send(program).exited() == 0
    assert session.stdout.split("\n") == ["0077", "C", "1", "0", ""]


def test_a_secret_is_in_no_process_list(session, tmp_path):
    os.mkfifo(tmp_path / "go")
    secret = "hunter2-" + "0a1b2c3d"
    session.send(f"password={secret}\necho $$\ncat {tmp_path}/go\necho $password | wc -c\n")
    session.said(1)
    seen = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    seen += [entry.name] if secret.encode() in (entry / name).read_bytes() else []
    (tmp_path / "go").write_text("now\n")
    assert session.exited() == 0
    assert seen == []
    assert session.stdout.endswith("now\n17\n")


@pytest.mark.parametrize("root", [True, False])
def test_every_login_shell_passes_the_line_on_unchanged(root):
    """tcsh replaces ! in single quotes and ends at a line break; fish takes a backslash there for an escape."""
    line = session_line(root=root)
    assert line.startswith("exec sudo -n -- bash " if root else "exec bash ")
    assert not set(line) & set("!\\\n")
    assert line.count("'") == 2
    assert line.endswith("'")
    assert len(line) < 250


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_line_that_sshd_gets_works(shell, tmp_path):
    with opened(tmp_path, session_line(root=False), shell) as session:
        session.raw(session_script())
        assert session.send("echo it works; exit 5").exited() == 5
        assert session.stdout == "it works\n"


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_session_script_that_did_not_arrive_whole_is_not_run(missing, tmp_path):
    with opened(tmp_path, session_line(root=False)) as session:
        session.raw(session_script()[:-missing]).hang_up()
        assert session.exited() == INCOMPLETE
        assert session.out.read_text() == ""


def test_the_hosts_environment_does_not_reach_the_program(tmp_path, monkeypatch):
    """Start-up files are not read a second time, and neither proxies nor settings of other programs change what ours do."""
    (tmp_path / "startup").write_text("echo from the start-up file\n")
    proxies = {"http_proxy": "http://u:it's @proxy:3128", "NO_PROXY": "localhost,*.example.com"}
    others = {"KUBECONFIG": "/nowhere", "ETCDCTL_ENDPOINTS": "http://nowhere", "CDPATH": "/", "POSIXLY_CORRECT": "1"}
    for name, value in {"BASH_ENV": str(tmp_path / "startup"), **proxies, **others}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "")
    with opened(tmp_path, session_line(root=False)) as session:
        session.raw(session_script())
        session.send("compgen -e; echo; printf '%s\\n' \"${proxies[@]}\"")
        assert session.exited() == 0
        names, given = session.stdout.split("\n\n")
    allowed = {"HOME", "LC_ALL", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "USER", "_"}
    assert set(names.split("\n")) <= allowed
    assert given.splitlines() == [f"{name}={value}" for name, value in proxies.items()]


# ---- time


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(session):
    session.send("sleep 1000 & echo $! $$\nwait\n", seconds=0.5)
    assert session.exited() == 124
    child, itself = session.said(2)
    eventually(lambda: not alive(child) and not alive(itself))


def test_a_program_that_does_not_listen_is_killed(tmp_path):
    with opened(tmp_path, IMPATIENT) as session:
        session.send("trap '' TERM\necho $$\nwhile true; do sleep 0.1; done\n", seconds=0.3)
        assert session.exited() == 137
        (program,) = session.said(1)
        eventually(lambda: not alive(program))  # who killed it does not wait for it


# ---- what is given to a program


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_program_reads_what_it_is_given_to_the_last_byte(size, session):
    content = bytes(index * 7 % 256 for index in range(1000)) * (size // 1000 + 1)
    session.send("sha256sum; cat | wc -c", given=size).raw(content[:size])
    assert session.exited() == 0
    digest, _, left = session.stdout.split()
    assert (digest, left) == (hashlib.sha256(content[:size]).hexdigest(), "0")


def test_a_program_need_not_read_what_it_is_given(session):
    """It says why at once; the rest of what was sent is nobody's."""
    session.send("echo no room >&2; exit 3", given=3_000_000)
    with suppress(BrokenPipeError):
        session.raw(b"\n" * 3_000_000)
    assert session.exited() == 3
    assert session.stderr == "no room\n"


def test_hanging_up_in_the_middle_of_what_is_given_ends_the_program(session):
    session.send("sleep 1000 & echo $! $$; cat >/dev/null; echo short; wait", given=1000).raw(b"\n" * 999)
    pids = session.said(2)
    session.hang_up()
    assert session.exited() != 0
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_hanging_up_after_all_was_given_ends_the_program(session):
    session.send("cat | wc -l; sleep 1000 & echo $! $$; wait", given=1000).raw(b"\n" * 1000)
    lines, *pids = session.said(3)
    assert (lines, all(alive(pid) for pid in pids)) == (1000, True)
    session.pids = pids
    session.hang_up()
    assert session.exited() != 0
    eventually(lambda: not any(alive(pid) for pid in pids))


# ---- the operator's side goes away


def test_hanging_up_ends_the_program_and_all_that_it_started(session):
    session.send("sleep 1000 & echo $!\n(sleep 1000; true) & echo $!\nsleep 1000 | cat & echo $! $$\nwait\n")
    pids = session.said(4)
    assert all(alive(pid) for pid in pids)
    session.hang_up()
    assert session.exited() != 0
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_hanging_up_also_ends_a_child_that_does_not_listen(tmp_path):
    with opened(tmp_path, IMPATIENT) as session:
        session.send("(trap '' TERM; while true; do sleep 0.1; done) & echo $! $$\nwait\n")
        pids = session.said(2)
        session.hang_up()
        assert session.exited() != 0
        eventually(lambda: not any(alive(pid) for pid in pids))


def test_hanging_up_right_after_sending_ends_it_too(session, tmp_path):
    """Ctrl-C may come before the program has even started: it must not run on for seconds."""
    session.send(f"sleep 3\ntouch {tmp_path}/ran-to-its-end\n").hang_up()
    session.exited()
    assert not (tmp_path / "ran-to-its-end").exists()


@pytest.mark.parametrize("missing", [1, 10, 40])
def test_a_program_that_did_not_arrive_whole_is_not_run(missing, session, tmp_path):
    """`rm -rf /srv/old.2026` cut off after `/srv/old` would be another command."""
    program = f"touch {tmp_path}/begun\nsleep 0.2\ntouch {tmp_path}/half-a-word\n".encode()
    session.raw(f"{len(program)} 30\n".encode() + program[:-missing]).hang_up()
    assert session.exited() != 0
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"out", "err"}] == []


def test_nothing_but_a_hung_up_line_is_an_error(session):
    assert session.hang_up().exited() != 0


def test_what_a_program_leaves_running_is_ended_with_it(session):
    """Its child would hold the answer back for as long as it lives; what must live on belongs to systemd."""
    session.send("sleep 30 & echo $!\n")
    (child,) = session.said(1)
    assert session.exited() == 0
    eventually(lambda: not alive(child))
