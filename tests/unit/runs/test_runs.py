"""`inv runs.list`, `runs.show` and `runs.export`, on what real runs on hosts in memory have left."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest

from runbooks.commands.base import Secret
from runbooks.commands.files import File, Found
from runbooks.engine.journal import RunJournal
from runbooks.engine.loop import carry_out
from runbooks.engine.session import Options, Session
from runbooks.engine.steps import Procedure, Step, Together
from runbooks.errors import CommandError, DiskError, InventoryError
from runbooks.measure import record
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import NewConnections, Result
from runbooks.runs import look, tasks
from tests.support import ROOT
from tests.support.exposition import parse
from tests.support.fakes import FakeHosts, Fault, get, lb, put, run_on, setting
from tests.support.programs import program

pytestmark = pytest.mark.unit

PASSWORD = "s3cret-of-vrrp"
FIRST, SECOND, THIRD = (f"2026010{day}T101112345Z-a1b{day}" for day in (1, 2, 3))


@pytest.fixture
def session(tmp_path, monkeypatch):
    path = tmp_path / "hosts.yaml"
    path.write_text((ROOT / "hosts.yaml").read_text().replace("example: true\n", ""))
    monkeypatch.setenv("RUNBOOKS_SITE", str(path))
    monkeypatch.setenv("SUDO_USER", "kim")
    monkeypatch.setenv("SSH_CONNECTION", "10.9.9.9 50022 10.9.0.2 22")

    def session(**options) -> Session:
        return Session(Options(**options))

    return session


def placed() -> Step:
    """A step that writes a file with a secret in it."""
    content = f"vrrp_instance api {{\n  auth_pass {PASSWORD}\n  priority 101\n}}\n"
    wanted = File("/etc/keepalived/keepalived.conf", content, secret=Secret(PASSWORD))
    there = {wanted.path: Found(f"vrrp_instance api {{\n  auth_pass older-{PASSWORD}\n}}\n", "0644", "root:root")}

    def do(run):
        run.note(lb(1), "the VIP <stays> where it is")
        run.place(lb(1), [wanted], there, put("file"))

    return Step("install the configuration", lb(1), done=lambda run: run.read(lb(1), get("file")) == "on", do=do)


def carried_out(session, run=FIRST, key="lb.setup", hosts=None, end="ok") -> None:
    """One run of the engine: on lb1 a file, then both LBs at the same time, then a gate."""
    steps = [placed(), Together((setting(lb(1), "a"), setting(lb(2), "a"))), Step("both serve", check=lambda run: None)]
    procedure = Procedure(key, "Set up the load balancers", steps, flags="--take-over")
    journal = RunJournal(look.directory(session), run, procedure)
    try:
        carry_out(run_on(hosts or FakeHosts(), journal=journal), procedure)
    except CommandError as error:
        journal.end("failed", str(error))
    else:
        journal.end(end)


def broken() -> FakeHosts:
    return FakeHosts(faults=[Fault("lb2 put a", lambda: CommandError("lb2: it exited 1\n  no space", exited=1))])


def said(capsys) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    return out


# ---- the list


def test_the_newest_come_first_with_who_and_how_they_ended(session, capsys):
    carried_out(session(), FIRST)
    carried_out(session(), SECOND, hosts=broken())
    tasks.list_.body(session())
    header, second, first = said(capsys).splitlines()
    assert header.split() == ["run", "began", "(UTC)", "took", "who", "command", "outcome"]
    assert second.startswith(SECOND)
    assert "kim@" in second
    assert "(from 10.9.9.9)" in second
    assert "inv lb.setup --take-over  failed" in second
    assert second.endswith("lb2: it exited 1")
    assert first.endswith("ok       4 of 4 steps, 3 changed")


def test_the_list_for_machines(session, capsys):
    carried_out(session(), FIRST)
    carried_out(session(), SECOND, key="lb.failover")
    tasks.list_.body(session(json=True), command="lb.setup")
    found = json.loads(said(capsys))
    assert {
        key: found[key] for key in ("run", "procedure", "command", "outcome", "changed", "planned", "user", "client", "detail")
    } == {
        "run": FIRST,
        "procedure": "lb.setup",
        "command": "inv lb.setup --take-over",
        "outcome": "ok",
        "changed": 3,
        "planned": 4,
        "user": "kim",
        "client": "10.9.9.9",
        "detail": "4 of 4 steps, 3 changed",
    }


def test_as_many_as_wanted(session, capsys):
    for run in (FIRST, SECOND, THIRD):
        carried_out(session(), run)
    tasks.list_.body(session(), last=2)
    assert [line.split()[0] for line in said(capsys).splitlines()[1:]] == [THIRD, SECOND]
    tasks.list_.body(session(), last=0)
    assert len(said(capsys).splitlines()) == 4
    with pytest.raises(InventoryError, match="cannot be negative"):
        tasks.list_.body(session(), last=-1)


def test_nothing_to_list(session, capsys):
    tasks.list_.body(session())
    tasks.list_.body(session(), command="lb.setup")
    assert said(capsys) == "no runs yet\nno runs of lb.setup are kept\n"
    tasks.list_.body(session(json=True))
    assert said(capsys) == ""


# ---- one run


def test_everything_of_the_newest_run_step_by_step(session, capsys):
    carried_out(session(), FIRST)
    carried_out(session(), SECOND, hosts=broken())
    tasks.show.body(session(), id_="last")
    lines = said(capsys).splitlines()
    assert lines[0] == f"{SECOND}  inv lb.setup --take-over: Set up the load balancers"
    assert lines[1].startswith("failed: began 20")
    assert "by kim@" in lines[1]
    assert lines[1].endswith(", took 0 s, 2 of 4 steps changed something")
    assert lines[2:4] == ["error: lb2: it exited 1", "  no space"]
    assert lines[4].startswith("* 1/4 lb1: install the configuration  [changed, 0.0 s]  at +0:0")
    assert lines[5:7] == ["      | lb1: the VIP <stays> where it is", "      | --- /etc/keepalived/keepalived.conf"]
    assert "      | +  priority 101" in lines
    assert "      | ran on lb1: put file on" in lines
    (failed,) = [line for line in lines if line.startswith("! ")]
    assert failed.startswith("! 3/4 lb2: set a  [failed, ")
    assert not any("both serve" in line for line in lines), "it was not reached"


@pytest.mark.parametrize("part", [FIRST, "a1b1", "20260101"])
def test_a_run_can_be_named_by_a_part_of_its_id(session, capsys, part):
    for run in (FIRST, SECOND):
        carried_out(session(), run)
    tasks.show.body(session(), id_=part)
    assert said(capsys).startswith(FIRST)


def test_a_run_that_is_not_one_run_is_refused_with_the_way_out(session):
    with pytest.raises(InventoryError, match="there is no run yet"):
        tasks.show.body(session(), id_="last")
    for run in (FIRST, SECOND):
        carried_out(session(), run)
    for name in ("nonsense", "../../hosts", "/etc/passwd"):
        with pytest.raises(InventoryError, match=f"there is no run {name}") as error:
            tasks.show.body(session(), id_=name)
        assert error.value.hint == "inv runs.list lists them"
    with pytest.raises(InventoryError, match="is a part of the ids of 2 runs") as error:
        tasks.show.body(session(), id_="2026")
    assert FIRST in error.value.hint
    (look.directory(session()) / f"{THIRD}.jsonl").write_text("{}")
    with pytest.raises(InventoryError, match=f"the report of {THIRD} cannot be read"):
        tasks.show.body(session(), id_="a1b3")
    with pytest.raises(InventoryError, match="--to is the file of the page"):
        tasks.show.body(session(), id_="last", to="x.html")


def test_one_run_for_machines(session, capsys):
    carried_out(session(), FIRST)
    tasks.show.body(session(json=True), id_="last")
    found = json.loads(said(capsys))
    titles = [step["title"] for step in found["steps"]]
    assert titles == ["lb1: install the configuration", "lb1: set a", "lb2: set a", "both serve"]
    assert [line["kind"] for line in found["steps"][0]["lines"]] == ["note", "diff", "change"]
    assert PASSWORD not in json.dumps(found)


# ---- the page


def test_the_page_of_a_run_lies_beside_its_report_and_only_the_owner_may_read_it(session, capsys):
    carried_out(session(), FIRST, hosts=broken())
    tasks.show.body(session(), id_="last", html=True)
    path = look.directory(session()) / f"{FIRST}.html"
    assert said(capsys) == f"wrote {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    for part in (
        '<h1>inv lb.setup --take-over <strong class="badge bad">failed</strong></h1>',
        "<p>Set up the load balancers</p>",
        "(from 10.9.9.9), pid ",
        "<dt>error</dt><dd>lb2: it exited 1\n  no space</dd>",
        '<td><a href="#step-1">lb1: install the configuration</a></td><td><span class="badge changed">changed</span></td>',
        "<h2>What was changed and found on lb1</h2>",
        '<h3 id="step-1">lb1: install the configuration  [changed]</h3>',
        "the VIP &lt;stays&gt; where it is",
        '<span class="add">+  priority 101</span>',
        "<h3>Not reached</h3>\n<p>both serve</p>",
        f"from {FIRST}.jsonl",
    ):
        assert part in text
    tracks = [line.split(">")[1].split("<")[0] for line in text.splitlines() if line.startswith('<text x="4"')]
    assert tracks == ["lb1", "lb2"]


def test_the_secret_is_in_no_form_of_a_report(session, capsys, tmp_path):
    """Neither the new nor the older one: what the journal has masked stays masked."""
    carried_out(session(), FIRST)
    tasks.show.body(session(), id_="last", html=True)
    tasks.show.body(session(), id_="last")
    tasks.show.body(session(json=True), id_="last")
    tasks.list_.body(session(json=True))
    out = said(capsys)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and ".runbooks" in path.parts]
    assert {path.suffix for path in files} >= {".html", ".jsonl"}
    for text in (out, *(path.read_text() for path in files)):
        assert PASSWORD not in text
    assert "auth_pass ***" in out


def test_the_page_can_be_written_elsewhere(session, capsys, tmp_path):
    carried_out(session(), FIRST)
    tasks.show.body(session(json=True), id_="last", html=True, to=str(tmp_path / "ticket.html"))
    assert json.loads(said(capsys)) == {"run": FIRST, "file": str(tmp_path / "ticket.html")}
    assert (tmp_path / "ticket.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(InventoryError, match=r"--to: the directory .*/none does not exist"):
        tasks.show.body(session(), id_="last", html=True, to=str(tmp_path / "none" / "x.html"))
    with pytest.raises(DiskError, match="cannot be written"):
        tasks.show.body(session(), id_="last", html=True, to=str(tmp_path))


def test_what_clients_saw_is_in_the_page_of_the_run(session):
    carried_out(session(), FIRST)
    run = look.one(session(), "last")
    begun = next(each.begun for each in run.steps if each.title == "lb1: install the configuration").timestamp()
    gap = Gap(begin_s=begun - 0.5, ms=930, reason="refused")
    result = Result(
        began_s=begun,
        ended_s=begun + 1,
        every_ms=100,
        timeout_s=10,
        vip=NewConnections(requests=2400, failed=3, longest_gap_ms=930, gaps=(gap,)),
    )
    record.write(look.directory(session()) / f"{FIRST}.clients.json", result)
    tasks.show.body(session(), id_="last", html=True)
    text = (look.directory(session()) / f"{FIRST}.html").read_text()
    assert "<h2>What clients of the VIP saw</h2>" in text
    assert "<td>2400</td><td>3</td><td>930 ms</td>" in text
    assert ">new connections</text>" in text
    assert "during lb1: install the configuration" in text
    (look.directory(session()) / f"{FIRST}.clients.json").write_text("junk")
    tasks.show.body(session(), id_="last", html=True)
    assert "clients of the VIP" not in (look.directory(session()) / f"{FIRST}.html").read_text()


def test_a_run_of_hosts_that_are_no_longer_in_the_site(session):
    """Its page still names them."""
    journal = RunJournal(look.directory(session()), FIRST, Procedure("cluster.remove", "t", [Step("gone: take it out")]))
    journal.start("gone: take it out")
    journal.note("change", "gone", "kubeadm reset")
    journal.note("change", "here", "forget its key")
    journal.record("gone: take it out", "changed", 1)
    journal.end("ok")
    tasks.show.body(session(), id_="last", html=True)
    text = (look.directory(session()) / f"{FIRST}.html").read_text()
    assert "<h2>What was changed and found on gone</h2>" in text
    assert "<h2>What was changed and found on the operator&#39;s machine</h2>" in text
    assert text.count('id="step-1"') == 1


# ---- metrics


def metrics(text: str) -> dict[tuple[str, ...], float]:
    found = {}
    for name, samples in parse(text).items():
        for labels, value in samples.items():
            more = dict(labels)
            assert more.pop("site") == "ha-cluster"
            found[name.removeprefix("ha_runbooks_run"), *(more[key] for key in ("command", "outcome") if key in more)] = value
    return found


def test_the_metrics_of_every_command(session, capsys):
    carried_out(session(), FIRST)
    carried_out(session(), SECOND, hosts=broken())
    carried_out(session(), THIRD, key="lb.failover", end="interrupted")
    first, second, third = (look.one(session(), run) for run in (FIRST, SECOND, THIRD))
    tasks.export.body(session(), prometheus=True)
    found = metrics(said(capsys))
    assert {key: value for key, value in found.items() if key[0] == "_last_outcome" and value} == {
        ("_last_outcome", "lb.setup", "failed"): 1,
        ("_last_outcome", "lb.failover", "interrupted"): 1,
    }
    assert {key[1:]: value for key, value in found.items() if key[0] == "s" and value} == {
        ("lb.setup", "ok"): 1,
        ("lb.setup", "failed"): 1,
        ("lb.failover", "interrupted"): 1,
    }
    assert len([key for key in found if key[0] == "s"]) == 2 * 5
    assert found["_last_success_timestamp_seconds", "lb.setup"] == first.ended.timestamp()
    assert ("_last_success_timestamp_seconds", "lb.failover") not in found
    assert found["_last_begin_timestamp_seconds", "lb.setup"] == second.begun.timestamp()
    assert found["_last_duration_seconds", "lb.setup"] == second.seconds
    assert found["_last_changed_steps", "lb.failover"] == third.changed == 3


def test_the_file_is_replaced_in_one_piece_and_others_may_read_it(session, capsys, tmp_path):
    path = tmp_path / "runs.prom"
    path.write_text("old")
    before = path.open()  # as node_exporter has it open
    carried_out(session(), FIRST)
    tasks.export.body(session(), prometheus=True, to=str(path))
    assert said(capsys) == f"wrote {path}\n"
    assert before.read() == "old"
    assert metrics(path.read_text())["_last_outcome", "lb.setup", "ok"] == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir() if "prom" in each.name] == ["runs.prom"]


def test_wrong_flags_of_the_export(session, tmp_path):
    for flags, message in (
        ({}, "runs.export needs to know the format"),
        ({"prometheus": True, "to": str(tmp_path / "runs.txt")}, r"runs\.txt does not end in \.prom"),
        ({"prometheus": True, "to": str(tmp_path / "none" / "runs.prom")}, "--to: the directory .*/none does not exist"),
    ):
        with pytest.raises(InventoryError, match=message):
            tasks.export.body(session(), **flags)


def test_without_runs_there_are_no_metrics(session, capsys):
    tasks.export.body(session(), prometheus=True)
    assert said(capsys) == ""


def test_promtool_finds_nothing_wrong_with_the_metrics(session, capsys, request):
    carried_out(session(), FIRST)
    carried_out(session(), SECOND, "lb.rollback", broken())
    tasks.export.body(session(), prometheus=True)
    words = [program("promtool", request.config), "check", "metrics"]
    done = subprocess.run(words, input=said(capsys), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
