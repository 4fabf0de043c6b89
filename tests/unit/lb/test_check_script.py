"""scripts/lb/check-haproxy.sh, run for real, with a stand-in for socat: what it tells keepalived, and when it gives the VIP away."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.unit

# Answers the runtime socket and another LB by files; without the file it is silent for as long as it may be.
SOCAT = """\
#!/bin/sh
for word; do :; done
case $word in UNIX-CONNECT:*) what=own ;; *) what=peer ;; esac
[ -e "$LB/$what" ] || { : >"$LB/silent" && exec sleep 60; }
cat "$LB/$what"
"""
PEER = "10.1.1.12:9000"
TABLE = "# pxname,svname,status\napi,BACKEND,0,{},\napi-unchecked,BACKEND,0,UP,\n"


class Host:
    """An LB whose HAProxy answers and whose peer answers, in a directory."""

    def __init__(self, top: Path) -> None:
        self.run = top / "run"
        self.run.mkdir()
        self.own, self.peer, self.yields = top / "own", top / "peer", self.run / "yield"
        self.own.write_text("Name: HAProxy\n")
        self.peer.write_text("HTTP/1.1 200 OK\n")
        (self.run / "vrrp_state").write_text("MASTER 1\n")
        (top / "bin").mkdir()
        self.endless, self.silent = top / "bin/timeout", top / "silent"
        (top / "bin/socat").write_text(SOCAT)
        (top / "bin/socat").chmod(0o755)
        text = (ROOT / "scripts/lb/check-haproxy.sh").read_text()
        (top / "check").write_text(text.replace("/run/ha-runbooks", str(self.run)))
        self.words = ["sh", str(top / "check")]
        self.environ = {"PATH": f"{top}/bin:{os.environ['PATH']}", "LB": str(top)}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.words, *words], env=self.environ, start_new_session=True)

    def check(self, *words: str) -> int:
        return self.start(*words).wait(60)

    def terminated(self, *words: str) -> int:
        """As keepalived ends a run that has taken too long."""
        self.endless.write_text('#!/bin/sh\nshift\nexec "$@"\n')  # the run is not to end by itself before
        self.endless.chmod(0o755)
        self.silent.unlink(missing_ok=True)
        running = self.start(*words)
        deadline = time.monotonic() + 60
        while not self.silent.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.endless.unlink()
        os.killpg(running.pid, signal.SIGTERM)
        return running.wait(60)

    def gave_the_vip_away(self) -> bool:
        """Whether the flag is raised, and taken back."""
        if not self.yields.exists() or self.yields.read_text() != "1\n":
            return False
        deadline = time.monotonic() + 60
        while self.yields.read_text() != "0\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return True


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_haproxy_answers(host):
    assert host.check("answers", PEER) == 0
    assert not host.gave_the_vip_away()


def test_a_hung_haproxy_gives_the_vip_away_once(host):
    host.own.unlink()
    assert host.check("answers", PEER) == 1
    assert host.gave_the_vip_away()
    assert host.check("answers", PEER) == 1
    assert not host.gave_the_vip_away()  # the other LB has not kept it
    host.own.write_text("Name: HAProxy\n")
    assert host.check("answers", PEER) == 0
    host.own.unlink()
    assert host.check("answers", PEER) == 1
    assert host.gave_the_vip_away()


@pytest.mark.parametrize(
    "why", ["the other one hangs, too", "it answers with an error", "this is the standby", "there is no other"]
)
def test_the_vip_stays_while_nobody_can_take_it(why, host):
    host.own.unlink()
    peers = [PEER]
    match why:
        case "the other one hangs, too":
            host.peer.unlink()
        case "it answers with an error":
            host.peer.write_text("HTTP/1.1 503 Service Unavailable\n")
        case "this is the standby":
            (host.run / "vrrp_state").write_text("BACKUP 1\n")
        case _:
            peers = []
    assert host.check("answers", *peers) == 1
    assert not host.gave_the_vip_away()


def test_a_flag_that_a_killed_run_left_is_taken_back(host):
    host.yields.write_text("1\n")
    assert host.check("answers", PEER) == 0
    assert host.yields.read_text() == "0\n"


def test_a_run_that_is_late_says_nothing_until_the_fifth(host):
    """On a starved host HAProxy may be slow and well; and it may hang."""
    host.own.unlink()
    assert [host.terminated("answers", PEER) for _ in range(6)] == [0, 0, 0, 0, 1, 1]
    assert not host.gave_the_vip_away()
    host.own.write_text("Name: HAProxy\n")
    assert host.check("answers", PEER) == 0
    host.own.unlink()
    assert host.terminated("answers", PEER) == 0


def test_api_servers_are_seen_or_not_and_in_doubt_it_is_as_it_was(host):
    def silent() -> int:
        host.own.unlink()
        return host.check("masters")

    assert silent() == 0
    for state, seen in (("DOWN", 1), ("UP", 0)):
        host.own.write_text(TABLE.format(state))
        assert host.check("masters") == seen
        assert silent() == seen
        assert host.terminated("masters") == seen


@pytest.mark.parametrize("before", [0, 1])
def test_only_the_row_of_the_api_counts(host, before):
    host.own.write_text(TABLE.format("DOWN" if before else "UP"))
    assert host.check("masters") == before
    host.own.write_text(TABLE.format("UP").replace("unchecked,BACKEND,0,UP", "unchecked,BACKEND,0,DOWN"))
    assert host.check("masters") == 0
    host.own.write_text(TABLE.format("DOWN" if before else "UP"))
    assert host.check("masters") == before
    host.own.write_text(TABLE.format("UP").replace("\napi,", "\nweb,"))  # a table without it says nothing
    assert host.check("masters") == before
