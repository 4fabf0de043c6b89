"""A command's session: journal, lock and display around a procedure, and how it ends when it is interrupted."""

import errno
import json
import os
import signal
import stat

import pytest

from runbooks.engine.journal import RunJournal
from runbooks.engine.session import Options, Session, session
from runbooks.engine.steps import Step
from runbooks.errors import CommandError, DiskError, InventoryError, PrecheckError, RunbookError
from tests.support import ROOT
from tests.support.fakes import FakeHosts, FakeLease, Fault, get, lb, run_on, setting, toy

pytestmark = pytest.mark.unit

PROCEDURE = toy(setting(lb(1), "a"), setting(lb(2), "a"))


class FakeLock(FakeLease):
    """The site's lock as a session sees it: named, held, given back."""

    def __init__(self) -> None:
        super().__init__()
        self.named: tuple[str, str] | None = None
        self.released: list[bool] = []
        self.trouble: RunbookError | None = None

    def name(self, run: str, what: str) -> None:
        self.named = run, what

    def release(self, *, interrupted: bool = False) -> None:
        self.released.append(interrupted)
        if self.trouble:
            raise self.trouble


class Closing(FakeHosts):
    closed = 0

    def interrupt(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def site_file(tmp_path, monkeypatch):
    path = tmp_path / "hosts.yaml"
    path.write_text((ROOT / "hosts.yaml").read_text().replace("example: true\n", ""))
    monkeypatch.setenv("RUNBOOKS_SITE", str(path))
    return path


@pytest.fixture
def make(site_file):
    """Sessions whose hosts are in memory."""

    def make(hosts: FakeHosts | None = None, **options) -> Session:
        one = Session(Options(**options))
        one._ssh = hosts or Closing()
        one._lock = FakeLock()
        one._run = run_on(one._ssh, lease=one._lock, plan=one.options.plan)
        return one

    return make


def journals(site_file) -> list[list[dict]]:
    paths = sorted((site_file.parent / ".runbooks" / "ha-cluster" / "runs").glob("*.jsonl"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]


def broken() -> Closing:
    return Closing(faults=[Fault("lb2 put a", lambda: CommandError("lb2: it exited 1", exited=1))])


# ---- carrying out


def test_a_run_is_recorded_and_summed_up(make, site_file):
    one = make()
    one.carry_out(PROCEDURE)
    (events,) = journals(site_file)
    assert [each["event"] for each in events if each["event"] in {"begin", "step", "end"}] == ["begin", "step", "step", "end"]
    assert events[-1]["outcome"] == "ok"
    assert one.run.listener.events[-1] == ("finish",)


def test_the_lock_says_which_run_and_which_command(make, site_file):
    one = make()
    one.carry_out(PROCEDURE)
    ((begin, *_),) = journals(site_file)
    assert one._lock.named == (begin["run"], "inv toy.run")


def test_a_plan_leaves_no_trace(make, site_file):
    one = make(plan=True)
    one.carry_out(PROCEDURE)
    assert one._ssh.sent == []
    assert one._lock.named is None
    assert not (site_file.parent / ".runbooks").exists()


def test_a_failure_is_recorded_and_says_where_the_report_is_and_how_to_go_on(make, site_file):
    with pytest.raises(CommandError) as error:
        make(broken()).carry_out(PROCEDURE)
    (events,) = journals(site_file)
    assert (events[-1]["outcome"], events[-1]["error"]) == ("failed", "lb2: it exited 1")
    where, report = error.value.__notes__
    assert where == "stopped at step 2 of 2: lb2: set a"
    assert report.startswith(f"report: {site_file.parent}/.runbooks/ha-cluster/runs/")
    assert "`inv toy.run` again" in error.value.hint


def test_a_way_out_that_the_error_names_itself_is_kept(make):
    def refuse(run):
        raise PrecheckError("no", hint="do that first")

    with pytest.raises(PrecheckError) as error:
        make().carry_out(toy(Step("look", check=refuse)))
    assert error.value.hint == "do that first"


def test_resume_goes_on_after_the_last_finished_step(make, site_file):
    hosts = broken()
    with pytest.raises(CommandError):
        make(hosts).carry_out(PROCEDURE)
    hosts.asked.clear()
    again = make(hosts, resume="")
    again.carry_out(PROCEDURE)
    assert again.run.listener.outcomes == {"lb1: set a": "done before", "lb2: set a": "changed"}
    assert not any(line.startswith("lb1") for line in hosts.asked)
    assert [events[-1]["outcome"] for events in journals(site_file)].count("ok") == 1


def test_without_resume_every_step_is_looked_at_again(make):
    hosts = broken()
    with pytest.raises(CommandError):
        make(hosts).carry_out(PROCEDURE)
    again = make(hosts)
    again.carry_out(PROCEDURE)
    assert again.run.listener.outcomes == {"lb1: set a": "nothing to do", "lb2: set a": "changed"}


def test_there_must_be_something_to_resume(make, site_file):
    one = make(resume="")
    with pytest.raises(InventoryError, match=r"no interrupted run of toy\.run"):
        one.carry_out(PROCEDURE)
    assert one._ssh.asked == []
    assert journals(site_file) == []


def test_ctrl_c_is_recorded_and_breaks_the_sessions_off(make, site_file):
    hosts = Closing(faults=[Fault("lb2 put a", KeyboardInterrupt)])
    with pytest.raises(KeyboardInterrupt):
        make(hosts).carry_out(PROCEDURE)
    assert hosts.aborted
    assert journals(site_file)[0][-1]["outcome"] == "interrupted"


@pytest.mark.parametrize(
    ("error", "outcome"), [(lambda: CommandError("no", exited=1), "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_what_is_done_after_an_error_stands_in_the_report_too(error, outcome, make, site_file):
    one = make(Closing(faults=[Fault("lb2 put a", error)]))
    seen = []

    def failed(why):
        seen.append(type(why))
        one.run.journal.note("note", "lb2", "undone")

    with pytest.raises((CommandError, KeyboardInterrupt)):
        one.carry_out(PROCEDURE, failed=failed)
    last, end = journals(site_file)[0][-2:]
    assert (last["text"], end["outcome"]) == ("undone", outcome)
    assert seen == [type(error())]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_would_end_us_is_like_ctrl_c(number, make, site_file):
    before = signal.getsignal(number)
    step = Step("wait for the signal", check=lambda run: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        make().carry_out(toy(step, setting(lb(1), "a")))
    assert journals(site_file)[0][-1]["outcome"] == "interrupted"
    assert signal.getsignal(number) is before


def test_a_bug_leaves_a_journal_without_an_end(make, site_file):
    def wrong(run):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make().carry_out(toy(Step("divide", check=wrong)))
    assert [each["event"] for each in journals(site_file)[0]] == ["begin", "start"]


def test_a_report_that_cannot_be_written_any_more_ends_the_run_after_the_step_and_says_what_is_missing(make, monkeypatch):
    def fill(run):
        def full(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(RunJournal, "_append", full)

    one = make()
    with pytest.raises(DiskError) as error:
        one.carry_out(toy(Step("fill the disk", check=fill), setting(lb(1), "a")))
    assert one._ssh.values == {}
    stopped, report = error.value.__notes__
    assert stopped == "stopped after step 1 of 2, which has ended: fill the disk"
    assert report.endswith(".jsonl, without its last 2 lines: the disk is full")
    assert "make room on the disk of" in error.value.hint
    assert one.run.listener.outcomes == {"fill the disk": "ok"}


# ---- closing


@pytest.mark.parametrize("interrupted", [False, True])
def test_closing_gives_the_lock_back_then_closes_the_connections(interrupted, make):
    one = make()
    one.close(interrupted=interrupted)
    assert one._lock.released == [interrupted]
    assert one._ssh.closed == 1
    assert one._ssh.aborted is interrupted


def test_closing_what_was_never_used_is_no_error(site_file):
    Session(Options()).close()


def test_trouble_with_the_lock_does_not_keep_the_connections_open(make):
    one = make()
    one._lock.trouble = PrecheckError("gone")
    one.close()
    assert one._ssh.closed == 1


@pytest.mark.parametrize(
    ("error", "interrupted"),
    [(None, False), (PrecheckError("no"), False), (ZeroDivisionError(), False), (KeyboardInterrupt(), True)],
)
def test_a_session_is_closed_whatever_happens(error, interrupted, site_file, monkeypatch):
    closed = []
    monkeypatch.setattr(Session, "close", lambda self, *, interrupted=False: closed.append(interrupted))

    def use():
        with session(Options()):
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            use()
    else:
        use()
    assert closed == [interrupted]


# ---- the site


def test_a_session_opens_nothing_by_itself(site_file):
    one = Session(Options())
    assert one.site.name == "ha-cluster"
    assert one._ssh is None
    assert not (site_file.parent / ".runbooks").exists()


def test_its_state_is_private(make, site_file):
    one = make()
    one.carry_out(PROCEDURE)
    for path in (one.state, one.state / "runs"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (one.state / "runs").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_warnings_go_to_standard_error(site_file, capsys):
    site_file.write_text("\n".join(line for line in site_file.read_text().splitlines() if "name: master3" not in line))
    Session(Options())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: ")
    assert "hosts.yaml" in err


def test_the_example_can_be_read_but_not_run(monkeypatch):
    monkeypatch.delenv("RUNBOOKS_SITE", raising=False)
    one = Session(Options())
    assert one.site.example
    with pytest.raises(PrecheckError, match="is the example site"):
        one.run.read(one.site.load_balancers[0], get("a"))


def test_a_procedure_that_resume_is_not_about_begins_at_its_first_step(make):
    with pytest.raises(CommandError):
        make(broken()).carry_out(PROCEDURE)
    one = make(resume="")
    one.carry_out(PROCEDURE, resume=False)
    assert "done before" not in one.run.listener.outcomes.values()
    one = make(plan=True, resume="")
    one.carry_out(PROCEDURE, resume=False)


def test_a_plan_cannot_be_resumed(make):
    one = make(plan=True, resume="")
    with pytest.raises(InventoryError, match="a plan looks at every step"):
        one.carry_out(PROCEDURE)
    assert one._ssh.asked == []


def test_the_place_of_a_key_is_that_of_its_line_in_the_file(make, site_file):
    lines = site_file.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.strip().startswith("version:"))
    assert make().place("kubernetes.version") == f"{site_file}:{line}"
