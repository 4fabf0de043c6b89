"""What etcd says, recorded from etcd 3.5.16 with etcdctl on the host and as crictl hands it on, and what we make of it."""

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import etcd
from runbooks.commands.base import Answer
from runbooks.commands.etcd import Access, Alarm, Member, parse_look, parse_members, parse_status
from tests.support.fakes import bash
from tests.support.recorded import recorded_answer

pytestmark = pytest.mark.unit

MASTERS = ["master1", "master2", "master3"]


def recorded(name: str) -> str:
    return recorded_answer(f"etcd/3.5.16-{name}").stdout


def looked(text: str) -> etcd.Look:
    return parse_look(Answer(0, text))


def through_crictl(text: str) -> str:
    """The same answer as crictl prints it: what etcdctl logged comes after what it printed, and each is followed by a line break."""
    log = '{"level":"warn","ts":"2026-11-23T06:13:15.9Z","msg":"retrying of unary invoker failed"}'
    return text.replace("\n\n@@ ", f"\n\n{log}\n\n@@ ")


# ---- a look


@pytest.mark.parametrize("how", [str, through_crictl], ids=["host", "crictl"])
def test_a_leader(how):
    look = looked(how(recorded("leader")))
    status = look.status
    assert status
    assert (look.serves, look.why) == (True, "")
    assert (status.member, status.version, status.leads, status.learner) == ("6561a639310282a3", "3.5.16", True, False)
    assert (status.size, status.in_use, status.term) == (165150720, 2023424, 8)
    assert (status.alarms, status.errors, status.quota) == ((), (), None)
    assert [member.name for member in look.members] == MASTERS
    assert look.members[1] == Member(
        id="6561a639310282a3", name="master2", peer_urls=("https://10.1.1.102:2380",), client_urls=("https://10.1.1.102:2379",)
    )


def test_a_learner_that_never_started_comes_last():
    members = looked(recorded("learner")).members
    assert [member.name for member in members] == [*MASTERS, ""]
    assert members[-1] == Member(
        id="855790a90ab32c57", name="", peer_urls=("https://10.1.1.109:2380",), client_urls=(), learner=True
    )
    assert str(members[-1]) == "855790a90ab32c57 (never started)"


def test_an_alarm_is_no_lack_of_a_quorum():
    look = looked(recorded("nospace"))
    assert look.status
    assert look.status.alarms == (Alarm("6561a639310282a3", "NOSPACE"),)
    assert look.status.errors == ()
    assert look.serves
    assert '"health":false' in recorded("nospace")  # etcdctl's own verdict


def test_without_a_quorum_a_member_still_tells_of_itself():
    look = looked(recorded("no-quorum"))
    assert look.status
    assert (look.status.leader, look.status.leads, look.members, look.serves) == ("", False, (), False)
    assert look.status.errors == ("etcdserver: no leader",)
    assert look.why == "it cannot read with a quorum: no answer in time"


def test_no_etcd_here():
    look = parse_look(Answer(69, "", "etcd does not run here\n"))
    assert (look.status, look.members, look.serves, look.why) == (None, (), False, "etcd does not run here")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{"error":"dial tcp 127.0.0.1:2379: connect: connection refused"}\nFailed (context deadline exceeded)\n[]', "connection refused"),
        ("Failed to get the status of endpoint https://127.0.0.1:2379 (context deadline exceeded)\n[]", "no answer in time"),
        ("Error: open /etc/kubernetes/pki/etcd/server.crt: no such file or directory", "no such file or directory"),
        ("tls: failed to verify certificate: x509: certificate has expired or is not yet valid", "certificate has expired"),
        (r'level=fatal msg="execing command in container synchronously: ... {\"level\"}\nError: no endpoints\n"', "no endpoints"),
        ('Error: connection error: desc = "transport: authentication handshake failed: context deadline exceeded"',
         "transport: authentication handshake failed: no answer in time"),
        (r'"Error: rpc error: desc = connection error: desc = \"transport: handshake failed: EOF\"\n"', "transport: handshake failed: EOF"),
        ("", "etcdctl printed no reason"),
    ],
)  # fmt: skip
def test_why_a_member_does_not_answer(said, why):
    look = looked(f"{said}\n@@ status 1\n\n@@ members 1\n\n@@ health 1\n")
    assert (look.status, look.why) == (None, why)


@pytest.mark.parametrize("text", ["", "@@ status 0\n", recorded("leader").replace("@@ health 0", ""), "\n@@ status 0\n" * 3])
def test_half_an_answer_is_none(text):
    with pytest.raises(ValueError, match="etcdctl said only"):
        looked(text)


@given(st.text())
def test_any_text_is_a_look_or_a_value_error(text):
    for read in (looked, parse_members, parse_status):
        try:
            read(text)
        except ValueError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Status", "header", "members", "ID", "name", "version", "leader"]), inner),
)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused(value):
    for text in (json.dumps([{"Status": value}]), json.dumps({"header": {}, "members": value})):
        for read in (parse_members, parse_status):
            try:
                read(text)
            except ValueError:
                continue


@given(st.integers(min_value=0, max_value=2**64 - 1), st.integers(min_value=1, max_value=2**64 - 1))
def test_ids_of_64_bits_are_kept(member, leader):
    said = {"header": {"member_id": member, "cluster_id": 1}, "version": "3.6.1", "leader": leader, "dbSizeQuota": 2147483648}
    status = parse_status(json.dumps([{"Endpoint": "x", "Status": said}]))
    assert (int(status.member, 16), int(status.leader, 16), status.quota) == (member, leader, 2147483648)


def test_only_an_id_is_removed():
    assert etcd.remove("6561a639310282a3").shown == "etcdctl member remove 6561a639310282a3"
    for word in ("master1", "10.1.1.101", "", "6561A639", "1" * 17, "-h"):
        with pytest.raises(ValueError, match="not a member ID"):
            etcd.remove(word)


# ---- the program on the host, with programs that stand in for crictl and etcdctl

CRICTL = """#!/bin/bash
case $1 in
ps) [ "$2 $3 $4" = "-q --state running" ] && echo 0123abcd ;;
exec) echo "crictl $*" >>"$0.log"; shift 4; {said} ;;
esac
"""
ETCDCTL = """#!/bin/bash
echo "etcdctl $*" >>"$0.log"
{said}
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A directory that comes first in PATH; ``host(name, text)`` puts a program there and gives the log of its calls."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, text: str) -> Path:
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
        return tmp_path / f"{name}.log"

    put("pgrep", "#!/bin/bash\nexit 1\n")
    put("crictl", "#!/bin/bash\nexit 1\n")
    put("curl", "#!/bin/bash\nexit 7\n")
    return put


def test_a_running_container_is_asked(host):
    log = host("crictl", CRICTL.format(said="echo done"))
    assert bash(etcd.disarm().program) == Answer(0, "done\n")
    assert "exec -s 0123abcd etcdctl --endpoints=https://127.0.0.1:2379 " in log.read_text()
    assert " --command-timeout=10s alarm disarm" in log.read_text()
    assert "--cacert=/etc/kubernetes/pki/etcd/ca.crt" in log.read_text()
    assert log.read_text().endswith("alarm disarm\n")


def test_the_hosts_own_etcdctl_is_used_where_etcd_is_a_service(host):
    host("pgrep", "#!/bin/bash\nexit 0\n")
    log = host("etcdctl", ETCDCTL.format(said='[ -z "$ETCDCTL_ENDPOINTS" ] && [ "$ETCDCTL_API" = 3 ]'))
    answer = bash("export ETCDCTL_ENDPOINTS=elsewhere\n" + etcd.move_leader("ab").program)
    assert (answer.exited, log.read_text().endswith("move-leader ab\n")) == (0, True)


def test_external_etcd_is_asked_where_it_is(host):
    log = host("etcdctl", ETCDCTL.format(said="true"))
    access = Access(endpoint="https://10.9.9.9:2379", ca="/a/ca", cert="/a/crt", key="/a/key")
    assert bash(etcd.disarm(access).program).exited == 0
    flags = "--endpoints=https://10.9.9.9:2379 --cacert=/a/ca --cert=/a/crt --key=/a/key --command-timeout=10s"
    assert log.read_text() == f"etcdctl {flags} alarm disarm\n"


def test_no_etcd_on_this_host(host):
    host("etcdctl", ETCDCTL.format(said="true"))
    assert bash(etcd.disarm().program) == Answer(69, "", "etcd does not run here\n")
    assert parse_look(bash(etcd.look().command.program)).why == "etcd does not run here"


def test_a_commands_own_time_limit_wins(host):
    log = host("crictl", CRICTL.format(said="true"))
    bash(etcd.defragment().program)
    assert log.read_text().count("--command-timeout") == 1
    assert "--command-timeout=10m" in log.read_text()


@pytest.mark.parametrize(
    ("said", "exited", "words"),
    [
        ("Error: etcdserver: leader changed", 75, "etcdserver: leader changed"),
        ("Error: etcdserver: request timed out", 75, "etcdserver: request timed out"),
        ("Error: etcdserver: no leader", 75, "etcdserver: no leader"),
        ("Error: context deadline exceeded", 75, "context deadline exceeded"),
        ("Error: etcdserver: unhealthy cluster", 75, "etcdserver: unhealthy cluster"),
        ("Error: etcdserver: can only promote a learner member which is in sync with leader", 75, "in sync with leader"),
        ("Error: etcdserver: member not found", 1, "etcdserver: member not found"),
        ("Error: etcdserver: too many learner members in cluster", 1, "too many learner members"),
        ("Error: no leader endpoint given at [https://127.0.0.1:2379]", 1, "no leader endpoint given"),
        ("Error: etcdserver: mvcc: database space exceeded", 1, "database space exceeded"),
        ('{"level":"warn","error":"dial tcp 127.0.0.1:2379: connect: connection refused"}\nError: context deadline exceeded', 69,
         "context deadline exceeded"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["host", "crictl"])
def test_what_is_worth_another_try(host, said, exited, words, where):
    if where == "host":
        host("pgrep", "#!/bin/bash\nexit 0\n")
        host("etcdctl", ETCDCTL.format(said=f"cat >&2 <<'END'\n{said}\nEND\nexit 1"))
    else:  # as a line of crictl's log
        text = json.dumps(said)[1:-1]
        line = f'time="2026-11-23T06:13:15Z" level=fatal msg="execing command in container synchronously: {text}\\n"'
        host("crictl", CRICTL.format(said=f"cat >&2 <<'END'\n{line}\nEND\nexit 1"))
    answer = bash(etcd.promote("ab").program)
    assert answer.exited == exited
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert "\\n" not in answer.stderr


# ---- etcd's own API over HTTP, with a server that says what etcd has said


GATEWAY = {
    "/v3/maintenance/status": "status",
    "/v3/cluster/member/list": "members",
    "/v3/kv/range": "health",
}


@pytest.fixture
def member():
    """A member on loopback: ``said`` has its answers by part, each a status and a text; ``asked`` what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append((self.path, given))
            status, text = self.server.said[GATEWAY[self.path]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    text = recorded("gateway")
    parts = {name: (200, said.strip()) for said, name in re.findall(r"(?s)(.*?)\n@@ (\w+) 0\n", text)}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.said, server.asked = parts, []
        server.access = Access(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def etcdctl(host):
    host("curl", '#!/bin/bash\nexec /usr/bin/curl "$@"\n')
    return host("etcdctl", ETCDCTL.format(said="echo 'Error: etcdctl was asked'; exit 1"))


def test_a_member_that_is_well_is_asked_without_etcdctl(member, etcdctl):
    answer = bash(etcd.look(member.access).command.program)
    found = parse_look(answer)
    assert (found.serves, len(found.members), found.status.version) == (True, 3, "3.5.16")
    assert answer.stdout == recorded("gateway")
    assert [path for path, _ in member.asked] == list(GATEWAY)
    assert member.asked[1:] == [("/v3/cluster/member/list", {"linearizable": True}), ("/v3/kv/range", {"key": "aGVhbHRo"})]
    assert not etcdctl.exists()


def test_the_member_list_alone(member, etcdctl):
    assert [each.name for each in etcd.members(member.access).parse(bash(etcd.members(member.access).command.program))] == MASTERS
    assert len(member.asked) == 1
    assert not etcdctl.exists()


@pytest.mark.parametrize("part", ["status", "members", "health"])
@pytest.mark.parametrize(
    "answer",
    [(503, '{"error":"etcdserver: no leader"}'), (400, '{"error":"unknown field"}'), (404, "404 page not found"), (200, "<html>"), (200, "")],
)  # fmt: skip
def test_etcdctl_is_asked_where_any_answer_is_none(member, etcdctl, part, answer):
    member.said[part] = answer
    found = parse_look(bash(etcd.look(member.access).command.program))
    assert (found.status, found.why) == (None, "etcdctl was asked")
    assert etcdctl.read_text().count("\n") == 3


def test_without_curl_etcdctl_is_asked(member, host, etcdctl):
    host("curl", "#!/bin/bash\nexit 127\n")
    bash(etcd.look(member.access).command.program)
    assert (etcdctl.read_text().count("\n"), member.asked) == (3, [])
