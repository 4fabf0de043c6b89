"""Unattended backups, started by real daemons: cron on the operator's machine, cron and systemd on a host of the site.

The operator's machine has a cron of its own, perhaps. So ours gets a mount namespace in which crontabs, cron's PID file and its
directories are private and empty: nothing else of the machine's ever runs in it.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from lab.process import Done
from runbooks.backup.rules import times as rules_times
from tests.support import ROOT
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

HOST = "lb2"
THERE = "/srv/backup"  # on that host: the site file, its key, its sets
FOREIGN = b"# somebody's own \xff\x85\x0b\nMAILTO=nobody\n5 4 * * sun true # 100\\%\n"  # none of our business, byte for byte
PRIVATE = r"""
set -e
mount --make-rprivate /
mkdir -p "$1/run"
mount --rbind /run "$1/run"
mount -t tmpfs -o mode=755 private /run
for name in netns ha-lab; do mkdir "/run/$name" && mount --rbind "$1/run/$name" "/run/$name"; done
umount -l "$1/run"
mkdir -p /var/spool/cron /etc/cron.d /etc/systemd/system
mount -t tmpfs -o mode=755 private /var/spool/cron
install -d -m 1730 -g crontab /var/spool/cron/crontabs
mount -t tmpfs -o mode=755 private /etc/cron.d
mount -t tmpfs -o mode=755 private /etc/systemd/system
[ ! -e /etc/crontab ] || mount --bind /dev/null /etc/crontab
echo ready
read -r _
exec cron -f
"""


@dataclass
class Machine:
    """The operator's machine with a cron of its own. `start` lets the daemon run; until then only its files are there."""

    operator: Operator
    process: subprocess.Popen[str]

    def start(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        eventually(lambda: self.run("cat", "/run/crond.pid").returncode, 0)

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        inside = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", f"--wd={ROOT}", "--"]
        return subprocess.run(
            [*inside, *words], input=stdin, capture_output=True, check=False, env=self.operator.env(), timeout=120
        )

    def inv(self, *words: str) -> Done:
        done = self.run(sys.executable, "-m", "invoke", *words)
        return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def good(self, *words: str) -> str:
        done = self.inv(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def crontab(self) -> bytes:
        return self.run("crontab", "-l").stdout

    @property
    def log(self) -> str:
        path = self.operator.directory / ".runbooks" / "site.yaml.backup.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def machine(saved: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    process = subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", PRIVATE, "private", str(tmp_path_factory.mktemp("private"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield Machine(saved, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def console(operator: Operator, *words: str, stdin: str = "") -> str:
    return operator.lab.console(HOST, list(words), stdin=stdin, check=True).stdout


def shell(operator: Operator, text: str) -> Done:
    return operator.lab.console(HOST, ["bash", "-c", text])


# ---- the operator's crontab, before any daemon runs


def test_without_a_schedule_and_without_a_set(machine: Machine) -> None:
    done = machine.inv("backup.status", "--json")
    state = json.loads(done.stdout.splitlines()[0])
    assert (done.returncode, state["problems"], state["schedules"]) == (1, ["there is no good set"], [])


def test_a_plan_leaves_the_crontab_alone(machine: Machine) -> None:
    assert machine.run("crontab", "-", stdin=FOREIGN).returncode == 0
    assert "1 of 4 steps would change something" in machine.good("backup.schedule", "--at", "17 2 * * *", "--plan")
    assert machine.crontab() == FOREIGN


def test_an_entry_is_written_replaced_and_taken_out(machine: Machine) -> None:
    said = machine.good("backup.schedule", "--at", "17 2 * * *")
    assert re.search(r"next run: \d{4}-\d\d-\d\d 02:17 ", said)
    first = machine.crontab()
    assert first.startswith(FOREIGN)
    assert "nothing to do: " in machine.good("backup.schedule", "--at", "17  2 * * *")
    assert machine.crontab() == first
    machine.good("backup.schedule", "--at", "@daily", "--timeout", "90m")
    marker, line = machine.crontab().removeprefix(FOREIGN).decode().splitlines()
    assert marker.startswith("# ha-runbooks: backups of ha-cluster")
    assert line == f"@daily env HA_BACKUP_BY=cron HA_BACKUP_TIMEOUT=90m {ROOT}/scripts/ha-backup {machine.operator.site}"
    machine.good("backup.unschedule")
    assert machine.crontab() == FOREIGN
    assert "nothing to do: " in machine.good("backup.unschedule")


def test_wrong_words_are_refused(machine: Machine) -> None:
    done = machine.inv("backup.schedule", "--at", "0 24 * * *")
    assert (done.returncode, "hour '24'" in done.stderr) == (2, True)
    done = machine.inv("backup.schedule", "--at", "@daily", "--timer")
    assert (done.returncode, "systemd does not run this machine" in done.stderr) == (3, True)
    assert machine.crontab() == FOREIGN


def test_nobody_reads_the_crontab(machine: Machine) -> None:
    done = machine.inv("backup.schedule", "--at", "@daily")
    assert (done.returncode, "no cron daemon runs on this machine" in done.stderr) == (0, True)
    done = machine.inv("backup.status")
    assert (done.returncode, "no cron daemon runs on this machine" in done.stdout) == (1, True)


# ---- the checkout on a host


@pytest.fixture(scope="module")
def checkout(saved: Operator) -> Iterator[Operator]:
    """An operator who has put this checkout on a host as well, with its Python (hosts of the lab have none), a key and a site file."""
    host_site = yaml.safe_load(saved.site.read_text())
    del host_site["lab"], host_site["example"]  # there it is a site like any other: that host is in the lab's network
    host_site["ssh"] |= {"key": f"{THERE}/key", "known_hosts": f"{THERE}/known_hosts"}
    host_site["backup"] = {"directory": f"{THERE}/sets"}
    paths = python_of(ROOT)
    try:
        console(saved, "install", "-d", "-m", "700", THERE)
        console(saved, "touch", f"{THERE}/began")
        send(saved, paths)
        for name, text in {
            "hosts.yaml": yaml.safe_dump(host_site),
            "key": saved.lab.instance.key.read_text(),
            "known_hosts": saved.lab.instance.known_hosts.read_text(),
        }.items():
            console(saved, "bash", "-c", f"umask 077; cat >{THERE}/{name}", stdin=text)
        yield saved
    finally:
        saved.inv("backup.unschedule", "--host", HOST)
        parents = shlex.join(sorted({str(Path(path).parent) for path in paths}, reverse=True))
        shell(saved, f"find {shlex.join(paths)} -depth -cnewer {THERE}/began -delete; rm -rf {THERE}; rmdir -p {parents}")


def python_of(checkout: Path) -> list[str]:
    """Return all that the Python of a checkout consists of: interpreter, standard library, shared libraries, the checkout itself."""
    stdlib, python = Path(sysconfig.get_path("stdlib")), Path(sys.executable).resolve()
    modules = [
        path for name in ("_ctypes", "_ssl", "_bz2", "zlib", "_lzma", "_uuid") for path in stdlib.glob(f"lib-dynload/{name}.*")
    ]
    said = subprocess.run(["ldd", python, *modules], capture_output=True, text=True, check=True).stdout
    code = (".venv", "runbooks", "scripts", "templates", "lab", "rehearse", "tasks.py", "hosts.yaml")
    return [str(python), str(stdlib), *sorted(set(re.findall(r"=> (/\S+)", said))), *(str(checkout / name) for name in code)]


def send(operator: Operator, paths: list[str]) -> None:
    """Copy files to the same paths on the host; what is there stays."""
    heavy = ("mypy*", "*mypyc*", "ruff*", "pip", "hypothesis", "pygments", "test", "idlelib", "config-3*", "__pycache__", "tk*")
    packages = sysconfig.get_path("stdlib") + "/*-packages"  # those that are not the checkout's
    without = [f"--exclude={name}" for name in (*heavy, packages)]
    linked = [path for path in paths if not Path(path).is_symlink()]
    prefix = ["nsenter", f"--target={operator.lab.leader(HOST)}", "--mount", "--"]
    for words in (["-c", "-P", *without, *linked], ["-c", "-P", "--dereference", *(set(paths) - set(linked))]):
        with subprocess.Popen(["tar", *words], stdout=subprocess.PIPE) as source:
            subprocess.run([*prefix, "tar", "-x", "-P", "--skip-old-files"], stdin=source.stdout, check=True, timeout=120)
        assert source.returncode == 0


def test_a_host_without_a_checkout_is_refused(saved: Operator) -> None:
    done = saved.inv("backup.schedule", "--at", "@daily", "--host", HOST, "--checkout", "/srv/nowhere")
    assert (done.returncode, f"{HOST}: there is no checkout in /srv/nowhere" in done.stderr) == (3, True)
    done = saved.inv("backup.schedule", "--at", "@daily", "--host", HOST)
    assert (done.returncode, "--host and --checkout go together" in done.stderr) == (2, True)
    saved.idle("backup.unschedule", "--host", HOST)


def on_host(operator: Operator, *words: str) -> Done:
    return operator.inv("backup.schedule", "--host", HOST, "--checkout", str(ROOT), "--site", f"{THERE}/hosts.yaml", *words)


def test_what_would_fail_there_is_refused(checkout: Operator) -> None:
    console(checkout, "chmod", "644", f"{THERE}/key")
    try:
        done = on_host(checkout, "--at", "@daily")
    finally:
        console(checkout, "chmod", "600", f"{THERE}/key")
    assert (done.returncode, f"the key {THERE}/key has a passphrase" in done.stderr) == (3, True)


def test_both_daemons_make_a_set(machine: Machine, checkout: Operator) -> None:
    """cron on the operator's machine and a timer on a host, in the same minute."""
    done = on_host(checkout, "--at", "* * * * *", "--timeout", "5m", "--timer")
    assert done.returncode == 0, done.stdout + done.stderr
    machine.start()
    before = machine.log.count(" exit 0 in ")
    machine.good("backup.schedule", "--at", "* * * * *", "--timeout", "5m")
    assert "alive" in machine.inv("backup.status").stdout
    eventually(lambda: machine.log.count(" exit 0 in ") > before, expected=True, seconds=150)
    eventually(lambda: " exit 0 in " in shell(checkout, f"cat {THERE}/.runbooks/hosts.yaml.backup.log").stdout, True, seconds=60)
    machine.good("backup.unschedule")
    assert machine.crontab() == FOREIGN
    last = json.loads((machine.operator.directory / "sets" / ".records" / "last-attempt.json").read_text())
    assert (last["exit"], last["by"]) == (0, "cron")
    state = json.loads(checkout.good("backup.status", "--host", HOST, "--json"))
    assert (state["ok"], state["newest_good"]["state"], state["last_attempt"]["by"]) == (True, "good", "timer")
    (planned,) = state["schedules"]
    assert (planned["alive"], planned["at"], planned["missed"]) == (True, "* * * * *", None)


def test_the_units_are_sound(checkout: Operator) -> None:
    """systemd has nothing to say against them, and names the same next time."""
    assert on_host(checkout, "--at", "17 2 1,15 * mon", "--timer").returncode == 0
    unit = "ha-runbooks-backup-ha-cluster"
    done = shell(checkout, f"systemd-analyze verify {unit}.timer {unit}.service")
    assert (done.returncode, done.stderr) == (0, "")
    due = console(checkout, "systemctl", "show", "-P", "NextElapseUSecRealtime", f"{unit}.timer").split()
    now = datetime.fromisoformat(console(checkout, "date", "+%Y-%m-%dT%H:%M:%S").strip())
    assert due[1:3] == f"{rules_times.next_after(rules_times.parse('17 2 1,15 * mon'), now):%Y-%m-%d %H:%M:%S}".split()


def test_a_run_that_systemd_stops_says_so(checkout: Operator) -> None:
    log = f"{THERE}/.runbooks/hosts.yaml.backup.log"
    before = shell(checkout, f"cat {log}").stdout
    console(checkout, "systemctl", "start", "--no-block", "ha-runbooks-backup-ha-cluster.service")
    eventually(lambda: "check what can be saved" in shell(checkout, f"cat {log}").stdout.removeprefix(before), expected=True)
    console(checkout, "systemctl", "stop", "ha-runbooks-backup-ha-cluster.service")
    said = shell(checkout, f"cat {log}").stdout.removeprefix(before)
    assert "interrupted; run the same command again to continue" in said
    assert said.splitlines()[-1].endswith(" s: it was interrupted")


def test_cron_takes_the_place_of_the_timer(checkout: Operator) -> None:
    done = on_host(checkout, "--at", "30 3 * * *")
    assert (done.returncode, "next run on lb2: " in done.stdout) == (0, True)
    assert "nothing to do" in on_host(checkout, "--at", "30 3 * * *").stdout
    assert shell(checkout, "ls /etc/systemd/system | grep ha-runbooks-backup").stdout == ""
    (line,) = [line for line in console(checkout, "cat", "/etc/cron.d/ha-runbooks-ha-cluster").splitlines() if " root " in line]
    assert line == f"30 3 * * * root env HA_BACKUP_BY=cron HA_BACKUP_TIMEOUT=3h {ROOT}/scripts/ha-backup {THERE}/hosts.yaml"
    assert "/etc/cron.d/ha-runbooks-ha-cluster: alive" in checkout.good("backup.status", "--host", HOST)
    checkout.good("backup.unschedule", "--host", HOST)
    assert shell(checkout, "ls /etc/cron.d | grep ha-runbooks").stdout == ""
    done = checkout.inv("backup.status", "--host", HOST)
    assert (done.returncode, "no backups of ha-cluster are scheduled there" in done.stderr) == (1, True)


@pytest.mark.long
def test_a_machine_with_systemd_can_have_either(checkout: Operator) -> None:
    """That host as an operator's own machine: the timer takes the place of the entry, which takes the place of the timer."""
    begin = f"cd {ROOT} && RUNBOOKS_SITE={THERE}/hosts.yaml .venv/bin/inv"
    timer = "ha-runbooks-backup-ha-cluster.timer"
    try:
        for words, alive in (
            ("--at '1 2 * * *'", "crontab of root"),
            ("--at '1 2 * * *' --timer", timer),
            ("--at @daily", "crontab of root"),
        ):
            done = shell(checkout, f"{begin} backup.schedule {words}")
            assert (done.returncode, "done: " in done.stdout) == (0, True), done.stdout + done.stderr
            assert "nothing to do" in shell(checkout, f"{begin} backup.schedule {words}").stdout
            state = json.loads(shell(checkout, f"{begin} backup.status --json").stdout.splitlines()[0])
            (planned,) = state["schedules"]
            assert (alive in planned["where"], planned["alive"]) == (True, True)
        assert shell(checkout, f"systemctl is-enabled {timer}").stdout.strip() != "enabled"
        shell(checkout, f"{begin} backup.schedule --at '1 2 * * *' --timer")
        console(checkout, "systemctl", "stop", timer)
        done = shell(checkout, f"{begin} backup.status")
        assert (done.returncode, "systemd does not run the timer: enabled inactive" in done.stdout) == (1, True)
    finally:
        done = shell(checkout, f"{begin} backup.unschedule")
    assert done.returncode == 0
    assert shell(checkout, "crontab -l; ls /etc/systemd/system | grep ha-runbooks-backup").stdout == ""


WORDS = (
    "17 2 * * *", "* * * * *", "*/7 */5 * * *", "0 0 31 * *", "0 4 1,15 * mon", "5 5 */2 * tue-fri", "0 0 29 2 *", "@weekly",
    "59 23 1-7 jan,jul 7", "0 12 13 * fri", "30 6 * 2-4 0,6", "1-59/2 9-17 * * 1-5", "0 0 * * 0-7", "0 3 1-31 * 2",
)  # fmt: skip


def test_systemd_means_the_same_as_cron(saved: Operator) -> None:
    """The next five times of each, as systemd itself tells them."""
    now = datetime.fromisoformat(console(saved, "date", "+%Y-%m-%dT%H:%M:%S").strip())
    for words in WORDS:
        times = rules_times.parse(words)
        text = console(
            saved,
            "env",
            "TZ=UTC",
            "systemd-analyze",
            "calendar",
            "--iterations=5",
            f"--base-time={now}",
            *rules_times.calendar(times),
        )
        seen = {
            datetime.fromisoformat(found)
            for found in re.findall(r"(?:Next elapse|Iter. #\d|Iteration #\d): \w+ ([-\d]+ [:\d]+)", text)
        }
        due, expected = now, []
        for _ in range(5):
            due = rules_times.next_after(times, due)
            expected.append(due)
        assert sorted(seen)[:5] == expected, words
