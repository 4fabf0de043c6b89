"""What HAProxy, systemd and the kernel say about a load balancer, and what we make of it."""

import os
import socket
import subprocess
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbooks.commands import haproxy, lb
from runbooks.commands.base import Answer
from runbooks.commands.haproxy import Backend, parse_backends
from runbooks.commands.lb import Unit, parse_installed, parse_state
from runbooks.commands.lb_paths import UNCHECKED
from runbooks.commands.lock import HELD, parse_held
from tests.support.fakes import bash, site
from tests.support.fakes import lb as load_balancer
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

RECORDED = recorded_answer("haproxy/2.6-show-stat").stdout
BY_NAME = {f"{each.proxy}/{each.server}": each for each in parse_backends(RECORDED)}

SEEN = """\
haproxy.ActiveState active
haproxy.SubState running
haproxy.ActiveEnterTimestamp Wed 2026-01-07 10:11:12 UTC
haproxy.UnitFileState enabled
keepalived.ActiveState active
keepalived.SubState running
keepalived.ActiveEnterTimestamp Wed 2026-01-07 10:11:13 UTC
keepalived.UnitFileState enabled
holds 1
nonlocal_bind 1
haproxy_down 0
drain 0
vrrp_state MASTER 1767780700
haproxy.cfg.loaded 0123abcd 77
process.haproxy 77
process.keepalived 78
runs ha-runbooks 0a1b
haproxy.cfg.file 0123abcd
keepalived.conf.file 4567cdef
file_mark ha-runbooks 0a1b
keepalived.conf.loaded 4567cdef 78
clock 1767780800
api open
stats 200
metrics 200
"""


def state(text: str = SEEN, **lines: str | None):
    """The state when some lines say something else, or (None) are not there."""
    kept = [line for line in text.splitlines() if line.split()[0].replace(".", "_") not in lines]
    added = [f"{key} {value}" for key, value in lines.items() if value is not None]
    return parse_state(Answer(0, "\n".join([*kept, *added]) + "\n"))


# ---- HAProxy's own table, recorded from HAProxy 2.6


def test_every_server_and_nothing_else():
    assert list(BY_NAME) == [
        "api/master1",
        "api/master2",
        "api/master3",
        "api/master4",
        "api/master5",
        "wrong/worker1",
        "wrong/worker2",
    ]


@pytest.mark.parametrize(
    ("server", "status", "up"),
    [
        ("api/master1", "UP", True),
        ("api/master2", "DOWN", False),
        ("api/master3", "DRAIN", False),
        ("api/master4", "no check", True),  # HAProxy uses a server that it does not check
        ("api/master5", "MAINT", False),
        ("wrong/worker1", "DOWN", False),
    ],
)
def test_which_servers_get_connections(server, status, up):
    assert (BY_NAME[server].status, BY_NAME[server].up) == (status, up)


@pytest.mark.parametrize("status", ["UP 1/2", "UP 2/3"])
def test_a_server_that_begins_to_fail_is_still_in_use(status):
    assert replace(BY_NAME["api/master1"], status=status).up


@pytest.mark.parametrize("status", ["DOWN 1/2", "NOLB", "MAINT (via api/master1)", "MAINT (resolution)", "", "STOPPING"])
def test_what_gets_no_new_connections(status):
    assert not replace(BY_NAME["api/master1"], status=status).up


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("api/master1", ["L7OK", "200"]),
        ("api/master2", ["L4CON", "Connection refused"]),
        ("wrong/worker1", ["L7STS", "404", "File not found"]),
        ("api/master4", []),
    ],
)
def test_why(server, words):
    assert BY_NAME[server].check == " ".join(words)


def test_since_when_and_how_many_sessions():
    assert BY_NAME["api/master2"] == Backend(
        proxy="api",
        server="master2",
        status="DOWN",
        since_s=3,
        check="L4CON Connection refused",
        sessions=0,
        address="127.0.0.1:18099",
    )


def test_a_reason_with_commas_and_quotes():
    header, first = RECORDED.splitlines()[0], RECORDED.splitlines()[2]
    cells = first.split(",")
    cells[header.removeprefix("# ").split(",").index("last_chk")] = '"connect() failed, ""refused"""'
    (one,) = parse_backends("\n".join([header, ",".join(cells)]))
    assert one.check == 'L7OK 200 connect() failed, "refused"'


def test_the_columns_may_be_in_any_order_and_more_of_them():
    """Newer versions of HAProxy add columns."""
    text = "# svname,brand_new,pxname,lastchg,status,scur,check_status,check_code,\nmaster1,x,api,17,UP,3,L7OK,200,\n"
    assert parse_backends(text) == (
        Backend(proxy="api", server="master1", status="UP", since_s=17, check="L7OK 200", sessions=3),
    )


def test_servers_without_checks_say_nothing():
    text = f"# pxname,svname,status,lastchg,scur,check_status,check_code\n{UNCHECKED},master1,no check,1,0,,\napi,master1,DOWN,1,0,,\n"
    assert [(each.proxy, each.up) for each in parse_backends(text)] == [("api", False)]


def test_an_haproxy_that_does_not_answer_is_an_answer():
    probe = haproxy.backends()
    assert probe.command.expect == {0, 69}
    assert probe.parse(Answer(69, "")) is None
    assert probe.parse(Answer(0, RECORDED)) == parse_backends(RECORDED)


# ---- the state of one LB


def test_a_master_in_order():
    seen = state()
    assert seen.haproxy == Unit("active", "running", "enabled", "Wed 2026-01-07 10:11:12 UTC")
    assert seen.keepalived == Unit("active", "running", "enabled", "Wed 2026-01-07 10:11:13 UTC")
    assert (seen.holds_vip, seen.nonlocal_bind, seen.haproxy_down, seen.drained) == (True, True, False, False)
    assert (seen.vrrp, seen.vrrp_for_s) == ("MASTER", 100)
    assert (seen.haproxy_loaded, seen.keepalived_loaded) == ("0123abcd", "4567cdef")
    assert (seen.haproxy_file, seen.keepalived_file) == ("0123abcd", "4567cdef")
    assert (seen.haproxy_runs, seen.haproxy_mark) == ("ha-runbooks 0a1b", "ha-runbooks 0a1b")
    assert (seen.api, seen.stats, seen.metrics) == ("open", "200", "200")


@pytest.mark.parametrize(
    ("record", "worker", "loaded"),
    [
        ("0123abcd 77", "77", "0123abcd"),
        ("0123abcd 77", "78", ""),  # reloaded by somebody: nobody has proved what the new worker runs
        ("0123abcd 77", "", ""),
        ("0123abcd", "78", ""),  # recorded by an earlier build
        ("", "78", ""),
    ],
)
def test_a_record_is_about_one_worker(record, worker, loaded):
    text = "\n".join(line for line in SEEN.splitlines() if line.split()[0] not in {"haproxy.cfg.loaded", "process.haproxy"})
    assert state(f"{text}\nhaproxy.cfg.loaded {record}\nprocess.haproxy {worker}\n").haproxy_loaded == loaded


def test_an_haproxy_that_does_not_say_what_it_runs():
    assert state(runs=None).haproxy_runs is None
    assert state(runs="").haproxy_runs == ""


def test_a_host_on_which_nothing_is_installed():
    text = SEEN.replace("ActiveState active", "ActiveState inactive").replace("SubState running", "SubState dead")
    nothing = {"haproxy_down": "", "drain": "", "vrrp_state": "", "nonlocal_bind": "0", "holds": "0", "api": "refused"}
    seen = state(text, **nothing, stats=None, metrics=None, haproxy_UnitFileState=None, keepalived_UnitFileState=None)
    assert seen.haproxy.enabled == ""
    assert (seen.holds_vip, seen.nonlocal_bind, seen.haproxy_down, seen.drained) == (False, False, False, False)
    assert (seen.vrrp, seen.vrrp_for_s, seen.stats, seen.metrics) == ("", 0, "", "")


def test_the_last_word_of_a_keepalived_that_is_gone_counts_for_nothing():
    assert state(SEEN.replace("keepalived.ActiveState active", "keepalived.ActiveState failed")).vrrp == ""


@pytest.mark.parametrize(("word", "expected"), [("open", "open"), ("refused", "refused"), ("silent", "silent"), ("", "silent")])
def test_what_answers_on_the_vip(word, expected):
    assert state(api=word).api == expected


# stats and metrics are only asked when HAProxy runs, and old versions of systemd say nothing about a unit that is not there.
OPTIONAL = {"stats", "metrics", "runs", "haproxy.UnitFileState", "keepalived.UnitFileState"}


@pytest.mark.parametrize("line", [line.split()[0] for line in SEEN.splitlines() if line.split()[0] not in OPTIONAL])
def test_a_line_that_is_missing_is_named(line):
    text = "".join(f"{each}\n" for each in SEEN.splitlines() if not each.startswith(f"{line} "))
    with pytest.raises(ValueError, match=line.replace(".", r"\.")):
        parse_state(Answer(0, text))


@pytest.mark.parametrize(
    ("haproxy", "keepalived", "foreign"),
    [
        (
            "# lb1 of one: written by `inv lb.setup` from hosts.yaml.",
            "# lb1 of one: written by `inv lb.setup` from hosts.yaml.",
            False,
        ),
        ("global", "vrrp_script chk {", True),
        ("", "", True),
        ("global", "# lb1 of one: written by `inv lb.setup` from hosts.yaml.", False),  # half of it is ours: judged as ours
        (None, None, False),  # an answer of an earlier version
    ],
)
def test_whose_files_they_are(haproxy, keepalived, foreign):
    assert state(**{"haproxy.cfg.head": haproxy, "keepalived.conf.head": keepalived}).foreign is foreign
    no_file = {"haproxy.cfg.head": "", "keepalived.conf.head": "", "haproxy_cfg_file": None, "haproxy.cfg.file": ""}
    assert not state(**no_file).foreign


def test_the_script_says_everything_that_is_read(tmp_path):
    """lb-look.sh for real, with a systemctl of our own, on this machine's loopback address."""
    programs, flags = tmp_path / "bin", tmp_path / "flags"
    programs.mkdir()
    flags.mkdir()
    systemctl = programs / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\n"
        "printf 'Id=haproxy.service\\nActiveState=active\\nSubState=running\\nActiveEnterTimestamp=Wed 2026\\nUnitFileState=\\n\\n'\n"
        "printf 'ActiveState=inactive\\nSubState=dead\\nId=keepalived.service\\nActiveEnterTimestamp=\\nUnitFileState=enabled\\n'\n"
    )
    systemctl.chmod(0o755)
    (flags / "vrrp_state").write_text("BACKUP 1000\n")
    (flags / "drain").write_text("1\n")
    (tmp_path / "haproxy.cfg").write_text("# a\nglobal\n    description ha-runbooks 0a1b\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = lb.state(site(), load_balancer(1)).command.program
        for name, value in (
            ("VIP", "127.0.0.1"),
            ("ADDRESS", "127.0.0.1"),
            ("API_PORT", str(server.getsockname()[1])),
            ("HAPROXY_CFG", str(tmp_path / "haproxy.cfg")),
        ):
            program = "\n".join(f"{name}={value}" if line.startswith(f"{name}=") else line for line in program.splitlines())
        program = program.replace("/run/ha-runbooks", str(flags))
        answer = bash(f"PATH={programs}:{os.environ['PATH']}\n{program}")
    seen = parse_state(answer)
    assert answer.exited == 0
    assert (seen.haproxy, seen.drained, seen.api) == (
        Unit("active", "running", "", "Wed 2026"),
        True,
        "open",
    )
    assert seen.keepalived == Unit("inactive", "dead", "enabled", "")
    assert (seen.haproxy_mark, len(seen.haproxy_file), seen.keepalived_file) == ("ha-runbooks 0a1b", 64, "")
    assert seen.holds_vip  # 127.0.0.1 is here
    assert seen.vrrp_for_s > 10**9


# ---- a service that could not load its file


@pytest.mark.parametrize(
    ("text", "said", "after"),
    [
        ("[ALERT] x\n[ALERT] y\n@@\nback\n", "[ALERT] x\n[ALERT] y", "back"),
        ("@@\nbroken\n", "", "broken"),
        ("a\n@@\nnone\n", "a", "none"),
        ("", "", "none"),
    ],
)
def test_what_lb_run_says(text, said, after):
    assert lb.parse_not_loaded(text) == (said, after)


# ---- packages


def test_installed_packages():
    answer = Answer(0, "haproxy 2.6.12-1+deb12u4\nsocat 1.7.4.4-2\n")
    assert parse_installed(answer) == {"haproxy": "2.6.12-1+deb12u4", "socat": "1.7.4.4-2"}
    assert parse_installed(Answer(0, "")) == {}


@pytest.mark.parametrize("family", ["dpkg-query", "rpm"])
def test_only_wholly_installed_packages_are_found(family, tmp_path):
    """packages-found.sh for real, with a package manager of our own that knows one whole package."""
    told = {
        "dpkg-query": "installed haproxy 2.6.12-1+deb12u4\nconfig-files socat 1.7.4\nhalf-configured keepalived 2.2.7\n",
        "rpm": "haproxy 2.4.22-3.el9\npackage keepalived is not installed\npackage socat is not installed\n",
    }[family]
    (tmp_path / "told").write_text(told)
    program = tmp_path / family
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/told\nexit 1\n")
    program.chmod(0o755)
    for name in ("cat", "sed", "grep"):
        (tmp_path / name).symlink_to(subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip())
    answer = bash(f"PATH={tmp_path}\n{lb.installed().command.program}")
    assert answer.exited == 0
    assert lb.installed().parse(answer).keys() == {"haproxy"}


# ---- junk

TOKENS = st.sampled_from([*SEEN.split(), *RECORDED.split(",")[:80], "", " ", "\n", "\0", '"', ",", "\u2028", "\r", "x" * 200_000])
JUNK = st.text(max_size=200) | st.lists(TOKENS, max_size=40).map(" ".join) | st.lists(TOKENS, max_size=40).map(",".join)


@pytest.mark.parametrize(
    "parse",
    [
        parse_state,
        parse_installed,
        haproxy.backends().parse,
        lb.previous([]).parse,
        lb.probe_vip(site(), 1).parse,
        lambda answer: parse_held(replace(answer, exited=HELD)),
    ],
    ids=["state", "installed", "backends", "previous", "probe_vip", "held"],
)
@given(JUNK)
@example("")
@example("\n")
@example("# pxname,svname\napi,master1\n")
@example('# pxname,svname,status,lastchg,check_status,check_code,scur\napi,"mas\0ter1')
@example(RECORDED[: len(RECORDED) // 2])
@example("1\nx\n2\n{}\n")
@example("1\nx\n2\n[]\n")
@example('1\nx\n2\n{"run": "r", "user": "u", "machine": "m", "pid": 1, "what": "w", "since": "s", "added-later": 1}\n')
def test_junk_is_a_value_error_and_nothing_else(parse, text):
    with suppress(ValueError):
        parse(Answer(0, text))


def test_a_holder_written_by_a_later_version_is_still_read():
    text = '1000\nrun-1\n1060\n{"run": "run-1", "user": "u", "machine": "m", "pid": 1, "what": "w", "since": "s", "later": 1}\n'
    held = parse_held(Answer(HELD, text))
    assert (held.holder.user, held.holder.pid, held.expires_in_s) == ("u", 1, 60)
