"""cron's words, against a count of every minute; entries in crontabs, byte for byte; scripts/ha-backup with a stand-in for inv."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.backup.rules import times as rules_times
from runbooks.backup.rules.schedules import Entry, cron_file, in_crontab, in_file, line, units, with_entry, without
from runbooks.commands.base import Answer
from runbooks.commands.schedule import parse_daemons
from runbooks.errors import InventoryError
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
ENTRY = Entry("here", "/etc/it's 100%/hosts.yaml", "17 2 * * *", "3h", "2026-11-23T09:00:00+00:00", "/opt/a b")


# ---- words


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * frd", "day of week 'frd'"),
        ("mon * * * *", "minute 'mon'"),
        ("5/15 * * * *", "minute '5/15': a step needs a range"),
        ("*/0 * * * *", "minute '*/0'"),
        ("9-5 * * * *", "minute '9-5': the range ends before"),
        ("1,,2 * * * *", "minute ''"),
        ("-1 * * * *", "minute '-1'"),
        ("٣ * * * *", "minute '٣'"),
        ("0 0 31 2,4 *", "no such day"),
        ("0 0 * *", "4 fields instead of five"),
        ("0 0 * * * root", "6 fields"),
        ("", "0 fields"),
        ("@reboot", "@daily"),
    ],
)
def test_wrong_words_name_their_field(words: str, field: str) -> None:
    with pytest.raises(InventoryError) as caught:
        rules_times.parse(words)
    assert field in str(caught.value)


@given(st.text(alphabet="0123456789*/,-@ monfrijanD\n", max_size=30))
def test_any_text_is_read_or_refused(words: str) -> None:
    try:
        times = rules_times.parse(words)
    except InventoryError:
        return
    assert rules_times.next_after(times, datetime(2026, 1, 1)) > datetime(2026, 1, 1)


def part(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """Return a part of a field, with what it means."""
    numbers = st.integers(low, high)

    def named(number: int) -> str:
        return names[number - low].upper() if names and number - low < len(names) and number % 2 else str(number)

    def between(values: tuple[int, int, int]) -> tuple[str, frozenset[int]]:
        first, last, step = min(values[:2]), max(values[:2]), values[2]
        return f"{named(first)}-{named(last)}" + (f"/{step}" if step > 1 else ""), frozenset(range(first, last + 1, step))

    return st.one_of(
        numbers.map(lambda number: (named(number), frozenset({number}))),
        st.tuples(numbers, numbers, st.integers(1, 20)).map(between),
        st.integers(1, 20).map(lambda step: (f"*/{step}" if step > 1 else "*", frozenset(range(low, high + 1, step)))),
    )


def field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    parts = st.lists(part(low, high, names), min_size=1, max_size=3)
    return parts.map(lambda found: (",".join(text for text, _ in found), frozenset().union(*(each for _, each in found))))


FIELDS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12, rules_times.MONTHS), field(0, 7, rules_times.WEEKDAYS))
Fields = tuple[tuple[str, frozenset[int]], ...]


def by_hand(fields: Fields, moment: datetime) -> bool:
    """Whether cron starts something in this minute, as crontab(5) puts it."""
    (_, minutes), (_, hours), (day_text, days), (_, months), (weekday_text, weekdays) = fields
    if moment.minute not in minutes or moment.hour not in hours or moment.month not in months:
        return False
    dated = moment.day in days
    weekly = bool({moment.isoweekday() % 7, moment.isoweekday()} & weekdays)
    if day_text.startswith("*") or weekday_text.startswith("*"):
        return dated and weekly
    return dated or weekly


@given(FIELDS, st.datetimes(datetime(2023, 12, 1), datetime(2032, 3, 31)))
@settings(max_examples=150, deadline=None)
def test_the_next_and_the_last_time_are_the_ones_that_counting_finds(fields: Fields, moment: datetime) -> None:
    words = " ".join(text for text, _ in fields)
    try:
        times = rules_times.parse(words)
    except InventoryError:
        assert min(fields[2][1]) > 29
        assert fields[3][1] <= {2, 4, 6, 9, 11}
        return
    ahead = moment.replace(second=0, microsecond=0)
    due, last = rules_times.next_after(times, moment), rules_times.last_until(times, moment)
    assert last <= moment < due
    assert by_hand(fields, due)
    assert by_hand(fields, last)
    for minutes in range(1, 60 * 24 * 2):  # none between, for two days to both sides
        later, earlier = ahead + timedelta(minutes=minutes), ahead - timedelta(minutes=minutes - 1)
        assert later >= due or not by_hand(fields, later)
        assert earlier <= last or not by_hand(fields, earlier)


def test_the_very_next_minute_counts() -> None:
    every = rules_times.parse("* * * * *")
    assert rules_times.next_after(every, datetime(2026, 11, 23, 10, 0)) == datetime(2026, 11, 23, 10, 1)
    assert rules_times.next_after(every, datetime(2026, 11, 23, 23, 59, 59)) == datetime(2026, 11, 24)
    assert rules_times.last_until(every, datetime(2026, 11, 23, 10, 0, 30)) == datetime(2026, 11, 23, 10, 0)


def test_sunday_has_two_numbers() -> None:
    assert rules_times.parse("0 0 * * 7") == rules_times.parse("0 0 * * 0") == rules_times.parse("@weekly")


def test_rare_days_are_found() -> None:
    assert rules_times.next_after(rules_times.parse("0 0 29 2 *"), datetime(2097, 1, 1)) == datetime(2104, 2, 29)
    assert rules_times.next_after(rules_times.parse("0 0 13 * fri"), datetime(2026, 11, 23)) == datetime(2026, 11, 27)


@pytest.mark.parametrize("text", ["", "3", "59s", "8d", "1h30m", "-1h", "0", "inf", "99999999h"])
def test_durations_that_make_no_sense(text: str) -> None:
    with pytest.raises(InventoryError):
        rules_times.duration_s(text)


def test_durations() -> None:
    assert [rules_times.duration_s(text) for text in ("60", "90m", "3h", "7d")] == [60, 5400, 10800, 604800]


@pytest.mark.parametrize(
    ("now", "attempt", "missed"),
    [
        ("23 02:17", None, ""),  # installed on the 22nd at noon; the first run may still be under way
        ("23 05:18", None, ""),
        ("23 05:20", None, "23 02:17"),
        ("23 05:20", "23 02:17", ""),
        ("24 05:20", "23 02:17", "24 02:17"),
        ("24 05:20", "24 04:00", ""),  # by hand, later
    ],
)
def test_a_run_that_did_not_come(now: str, attempt: str | None, missed: str) -> None:
    def on(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-{text}")

    found = rules_times.missed(
        rules_times.parse("17 2 * * *"),
        since=on("22 12:00"),
        attempt=on(attempt) if attempt else None,
        now=on(now),
        longest=timedelta(hours=3),
    )
    assert found == (on(missed) if missed else None)


# ---- entries


@given(st.binary(max_size=300).filter(lambda text: b"\0" not in text), st.binary(max_size=100))
def test_everything_else_in_a_crontab_stays(before: bytes, after: bytes) -> None:
    above = before.decode("latin-1") + ("\n" if before and not before.endswith(b"\n") else "")
    below = after.decode("latin-1")
    text = with_entry(above, ENTRY) + below
    assert in_crontab(text, ENTRY.site, ENTRY.file) == ENTRY
    assert without(text, ENTRY.site, ENTRY.file) == above + below
    other = replace(ENTRY, at="@daily")
    changed = with_entry(text, other)
    assert in_crontab(changed, ENTRY.site, ENTRY.file) == other
    assert without(changed, ENTRY.site, ENTRY.file) == above + below
    assert without(text, ENTRY.site, "/another/hosts.yaml") == text


def test_what_somebody_did_to_the_line_is_seen() -> None:
    text = with_entry("", ENTRY)
    head, _, command = text.partition("\n")
    edited = f"{head}\n{command.replace('17 2', '30 4')}"
    assert in_crontab(edited, ENTRY.site, ENTRY.file) == replace(ENTRY, at="30 4 * * *")
    commented = in_crontab(f"{head}\n# {command}", ENTRY.site, ENTRY.file)
    assert commented
    assert commented.off
    alone = in_crontab(f"{head}\n0 0 * * * true\n", ENTRY.site, ENTRY.file)
    assert alone
    assert alone.off
    assert without(f"{head}\n0 0 * * * true\n", ENTRY.site, ENTRY.file) == "0 0 * * * true\n"
    assert with_entry(f"a\n{head}\n# {command}", ENTRY) == "a\n" + text


def test_a_marker_is_a_line_of_its_own() -> None:
    """Python knows a dozen bytes that end a line; cron knows one."""
    assert in_crontab(f"0 0 * * * true \x85{with_entry('', ENTRY)}", ENTRY.site, ENTRY.file) is None


def test_an_entry_keeps_its_date_while_nothing_else_changes() -> None:
    later = replace(ENTRY, since="2027-01-01T00:00:00+00:00")
    assert later.as_before(ENTRY) == ENTRY
    assert later.as_before(None) == later
    for other in (replace(later, at="@daily"), replace(later, timeout="1h"), replace(later, checkout="/elsewhere")):
        assert other.as_before(ENTRY) == other


@pytest.mark.parametrize("path", ["/a\nb", "/a\\b", "/" + "x" * 1000])
def test_paths_that_cron_cannot_carry(path: str) -> None:
    with pytest.raises(InventoryError):
        line(replace(ENTRY, file=path))


def test_what_cron_hands_to_the_shell(tmp_path: Path) -> None:
    """A percent sign ends a command of cron's unless there is a backslash before it, which cron takes away."""
    program = tmp_path / "a b" / "scripts" / "ha-backup"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$HA_BACKUP_BY $HA_BACKUP_TIMEOUT $1"\n')
    program.chmod(0o755)
    command = line(replace(ENTRY, checkout=str(tmp_path / "a b"))).removeprefix("17 2 * * * ")
    assert command.count("%") == command.count("\\%")
    said = subprocess.run(["sh", "-c", command.replace("\\%", "%")], capture_output=True, text=True, check=True).stdout
    assert said == "cron 3h /etc/it's 100%/hosts.yaml\n"


def test_files_for_a_host_say_whose_they_are() -> None:
    entry = replace(ENTRY, at="0 4 1 * sun")
    files = [cron_file(entry), *units(entry)]
    assert [in_file(file.content) for file in files] == [entry] * 3
    assert [file.path.rsplit("/", 1)[1] for file in files] == [
        "ha-runbooks-here",
        "ha-runbooks-backup-here.service",
        "ha-runbooks-backup-here.timer",
    ]
    assert 'ExecStart=/bin/bash "/opt/a b/scripts/ha-backup" "/etc/it\'s 100%%/hosts.yaml"\n' in files[1].content
    assert "OnCalendar=*-*-1 4:0:00\nOnCalendar=Sun *-*-* 4:0:00\n" in files[2].content


@pytest.mark.parametrize("text", ["", "# ha-runbooks: backups of x, by `inv backup.schedule`: {}", "# ha-runbooks: backups of"])
def test_other_files_are_nobodys(text: str) -> None:
    assert in_file(text) is None


def test_what_a_host_says() -> None:
    said = "cron alive\nenabled enabled\nactive active\nstale no\nnow 2026-11-23T10:00:00+01:00\nchecked 3\nerror: a\nchecked b\n"
    found = parse_daemons(Answer(0, said))
    assert (found.cron, found.timer, found.checked, found.said) == (True, True, 3, "error: a\nchecked b")
    assert parse_daemons(Answer(0, said.replace("active active", "active failed"))).timer is False
    found = parse_daemons(Answer(0, "cron dead\nnow 2026-11-23T10:00:00+00:00\n"))
    assert (found.cron, found.timer, found.checked) == (False, None, None)


# ---- scripts/ha-backup


class Checkout:
    """A checkout whose inv is a shell script: what ha-backup makes of whatever inv does."""

    def __init__(self, top: Path, inv: str) -> None:
        self.top = top / "check out"
        (self.top / "scripts").mkdir(parents=True)
        (self.top / ".venv" / "bin").mkdir(parents=True)
        self.program = self.top / "scripts" / "ha-backup"
        self.program.write_bytes((ROOT / "scripts" / "ha-backup").read_bytes())
        self.program.chmod(0o755)
        self.inv = self.top / ".venv" / "bin" / "inv"
        self.inv.write_text(f"#!/bin/bash\n{inv}\n")
        self.inv.chmod(0o755)
        self.site = top / "site file.yaml"
        self.log = top / ".runbooks" / "site file.yaml.backup.log"

    def start(self, **environ: str) -> subprocess.Popen[str]:
        bare = {"PATH": "/usr/bin:/bin", "HOME": "/", **environ}  # as cron has it
        return subprocess.Popen(
            [self.program, self.site], env=bare, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, **environ: str) -> tuple[int, str, str]:
        process = self.start(**environ)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err


Make = Callable[[str], Checkout]


@pytest.fixture
def checkout(tmp_path: Path) -> Make:
    return lambda inv: Checkout(tmp_path, inv)


def test_a_good_run_says_nothing(checkout: Make) -> None:
    it = checkout('echo "$* $RUNBOOKS_SITE $HA_BACKUP_BY $PWD"; echo oops >&2; type -P true; read -r line || echo no input')
    assert it.run(HA_BACKUP_BY="cron") == (0, "", "")
    log = it.log.read_text()
    assert f"backup.run {it.site} cron {it.top}" in log
    assert " oops\n" in log
    assert " no input\n" in log
    assert log.splitlines()[-1].endswith(" s: a good set was made")
    assert (it.log.stat().st_mode & 0o777, it.log.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_bad_run_shows_its_end_and_its_log(checkout: Make) -> None:
    it = checkout("seq 100; printf 'no line break'; exit 5")
    code, out, err = it.run()
    assert (code, out) == (5, "")
    assert "exit 5 in " in err
    assert "something is missing" in err
    assert err.splitlines()[1:-1] == [*map(str, range(82, 101)), "no line break"]
    assert err.splitlines()[-1] == f"log: {it.log}"


def test_a_run_that_takes_too_long_is_ended(checkout: Make) -> None:
    it = checkout("exec sleep 1000")
    code, _, err = it.run(HA_BACKUP_TIMEOUT="0.3")
    assert code == 124
    assert "it took longer than 0.3 and was ended" in err
    assert "exit 124 in " in it.log.read_text().splitlines()[-1]


def test_whoever_ends_it_ends_the_run_which_tidies_up_first(checkout: Make, tmp_path: Path) -> None:
    it = checkout("trap 'echo tidied up; exit 130' TERM; echo ready; while :; do sleep 0.05; done")
    process = it.start()
    eventually(lambda: it.log.exists() and "ready" in it.log.read_text(), seconds=20)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "tidied up" in err
    assert "exit 130" in it.log.read_text()


def test_two_runs_write_whole_lines(checkout: Make) -> None:
    it = checkout("for i in {1..40}; do printf '%06000d\\n' $$; done")
    processes = [it.start() for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    lines = [each.split("] ", 1)[1] for each in it.log.read_text().splitlines()]
    long = [each for each in lines if each.startswith("000")]
    assert len(long) == 120
    assert {len(each) for each in long} == {6000}


def test_a_log_of_one_mebibyte_is_begun_anew(checkout: Make) -> None:
    it = checkout("true")
    it.log.parent.mkdir(mode=0o700)
    it.log.write_text("x" * (1 << 20))
    assert it.run()[0] == 0
    assert it.log.with_name(it.log.name + ".1").stat().st_size == 1 << 20
    assert len(it.log.read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_no_secret(checkout: Make) -> None:
    code, _, err = checkout("echo done").run(HA_BACKUP_LOG="/dev/full")
    assert code == 1
    assert "the log cannot be written: /dev/full" in err


def test_without_an_environment_set_up(checkout: Make) -> None:
    it = checkout("true")
    it.inv.unlink()
    code, _, err = it.run()
    assert (code, "there is no .venv/bin/inv" in err) == (2, True)


def test_the_check_runs_as_bare_as_cron(checkout: Make) -> None:
    it = checkout('echo "$*"; env')
    environ = {"SSH_AUTH_SOCK": "/agent", "LANG": "de_DE.UTF-8", "PATH": os.environ["PATH"], "RUNBOOKS_SITE": str(it.site)}
    done = subprocess.run([it.program, "--check"], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("backup.check\n")
    assert f"RUNBOOKS_SITE={it.site}\n" in done.stdout
    assert "SSH_AUTH_SOCK" not in done.stdout
    assert "LANG" not in done.stdout


# ---- what an unattended run needs


def test_everything_that_would_fail_is_named(tmp_path: Path) -> None:
    """A site file whose backups cannot work: the directory is open, a key has a passphrase, restic's password is open, no host key."""
    site = tmp_path / "hosts.yaml"
    text = (ROOT / "hosts.yaml").read_text()
    head, _, _ = text.partition("backup:")
    tail = text[text.index("\nhosts:") :]
    (tmp_path / "sets").mkdir(mode=0o755)
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o644)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", tmp_path / "key"], check=True)
    backup = f"backup:\n  directory: {tmp_path}/sets\n  metrics: {tmp_path}/none/x.prom\n"
    backup += f"  restic: {{repository: {tmp_path}/repository, password_file: {tmp_path}/password}}\n"
    site.write_text(head + backup + tail)
    lines = [
        f"  key: {tmp_path}/key" if "key:" in each and each.startswith("  ") else each for each in site.read_text().splitlines()
    ]
    site.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [ROOT / "scripts" / "ha-backup", "--check", site],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/"},
    )
    assert done.returncode == 3, done.stdout + done.stderr
    for words in (
        f"other users may read {tmp_path}/sets",
        f"backup.metrics: {tmp_path}/none is not a directory",
        f"other users may read {tmp_path}/password",
        f"the key {tmp_path}/key has a passphrase",
        "no host key is known",
    ):
        assert words in done.stderr
    assert "secret words" not in done.stderr
    assert json.dumps(done.stderr).isascii()
