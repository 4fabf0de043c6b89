"""inv lb.maintenance: which servers are meant, what is refused, and what the scripts keep, run for real with a stand-in for HAProxy's socket."""

from dataclasses import replace

import pytest

from runbooks.commands import haproxy
from runbooks.commands.base import Answer, Command, script
from runbooks.commands.haproxy import Backend, Maintenance, parse_backends
from runbooks.commands.lb_paths import HAPROXY_CFG, MAINTENANCE, TAKEN_OUT
from runbooks.errors import PrecheckError
from runbooks.lb import traffic
from runbooks.lb.rules.maintenance import Server, chosen, not_so, refusal, refuse_words
from runbooks.rules.lb_servers import backends_of
from tests.support.fakes import FakeHosts, bash, master, run_on
from tests.support.fakes import lb as balancer

pytestmark = pytest.mark.unit

NOTE = Maintenance(1_700_000_000, "ops@bastion", "a new disk")


def server(name: str, proxy: str = "api", status: str = "UP", **more) -> Backend:
    return Backend(proxy=proxy, server=name, status=status, since_s=1, check="", sessions=0, **more)


TABLE = (
    server("master1"),
    server("master2"),
    server("master3", status="DOWN"),
    server("worker1", "ingress-http"),
    server("worker1", "ingress-https"),
    server("worker2", "ingress-http"),
)
BOTH = {balancer(1): TABLE, balancer(2): TABLE}


@pytest.mark.parametrize(
    ("name", "backend", "found"),
    [
        ("worker1", "", ["ingress-http/worker1", "ingress-https/worker1"]),
        ("worker1", "ingress-https", ["ingress-https/worker1"]),
        ("", "ingress-http", ["ingress-http/worker1", "ingress-http/worker2"]),
        ("master2", "", ["api/master2"]),
    ],
)
def test_which_servers_are_meant(name, backend, found):
    assert list(map(str, chosen(BOTH, name, backend))) == found


def test_a_server_that_no_lb_has_is_refused_with_those_that_there_are():
    with pytest.raises(PrecheckError, match=r"no server ingress-https/worker2: they have api/master1, .*ingress-http/worker2"):
        chosen(BOTH, "worker2", "ingress-https")
    assert chosen({balancer(1): TABLE[:1], balancer(2): TABLE}, "worker2", "") == (Server("ingress-http", "worker2"),)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("maybe", "master1", "", "why"), "'maybe' is neither on nor off"),
        (("on", "", "", "why"), "it is not said what"),
        (("on", "master1", "", " "), "--reason is missing"),
        (("on", "master1", "", "two\nlines"), "one line of at most 200"),
        (("on", "master1", "", "x" * 201), "one line of at most 200"),
        (("off", "master1", "", "why"), "--reason goes with on"),
        (("on", "", "api", "why"), "nobody would reach the API"),
    ],
)
def test_words_that_make_no_sense_are_refused_with_an_example(words, why):
    with pytest.raises(PrecheckError, match=why) as raised:
        refuse_words(*words)
    assert "inv lb.maintenance on --server" in raised.value.hint


@pytest.mark.parametrize(
    "words", [("on", "master1", "", "x" * 200), ("off", "master1", "api", ""), ("off", "", "ingress-http", "")]
)
def test_others_are_not(words):
    refuse_words(*words)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["api/master1"], ""),
        (["api/master3"], ""),
        (["api/master1", "api/master2"], "lb1: master1, master2 would be taken out, and no other API server is up"),
        (["ingress-http/worker1", "ingress-http/worker2"], ""),
    ],
)
def test_the_last_api_server_that_is_up_is_not_taken_out(names, why):
    assert refusal("lb1", TABLE, [Server(*each.split("/")) for each in names]) == why


def test_where_no_api_server_is_up_there_is_none_to_lose():
    assert refusal("lb1", (server("master1", status="DOWN"),), [Server("api", "master1")]) == ""


@pytest.mark.parametrize(
    ("seen", "note", "said"),
    [
        (server("master1"), NOTE, "api/master1 is UP"),
        (server("master1", status="MAINT"), NOTE, "api/master1 is MAINT"),
        (server("master1", status="MAINT", maintenance=replace(NOTE, reason="else")), NOTE, "api/master1 is MAINT (else)"),
        (server("master1", status="MAINT", maintenance=replace(NOTE, since=1, who="another")), NOTE, ""),
        (server("master1", maintenance=NOTE), NOTE, "api/master1 is UP (a new disk)"),
        (server("master1", status="DOWN"), None, ""),
        (server("master1", status="MAINT"), None, "api/master1 is MAINT"),
        (server("master1", maintenance=NOTE), None, "api/master1 is UP"),
        (server("another"), NOTE, ""),
    ],
)
def test_when_it_is_done(seen, note, said):
    assert not_so((seen,), [Server("api", "master1")], note) == said


def test_the_state_of_an_api_server_is_set_last_where_it_is_looked_at():
    assert backends_of("api") == ("api-unchecked", "api")
    assert backends_of("ingress-http") == ("ingress-http",)


# ---- what is kept on the load balancer

STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
2 api 1 master1 10.1.1.101 2 0 100
2 api 2 master2 10.1.1.102 0 1 100
3 api-unchecked 2 master2 10.1.1.102 0 1 1
4 ingress-http 1 worker1 10.1.1.201 0 8 1
5 ingress-http 2 worker2 10.1.1.202 0 9 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Runs a program with HAProxy's socket replaced by a script that notes what it is asked."""
    stub = tmp_path / "bin/socat"
    stub.parent.mkdir()
    stub.write_text(
        f'#!/bin/bash\nread -r line; echo "$line" >>{tmp_path}/asked\n'
        f"case $line in 'show servers state') cat {tmp_path}/states ;; 'show stat') echo '# pxname,svname' ;; esac\n"
    )
    stub.chmod(0o755)
    (tmp_path / "states").write_text(STATES)
    monkeypatch.setenv("PATH", f"{stub.parent}:/usr/bin:/bin")

    def run(command):
        program = command.program.replace(TAKEN_OUT, f"{tmp_path}/servers").replace(MAINTENANCE, f"{tmp_path}/lib/maintenance")
        return bash(program.replace(HAPROXY_CFG, f"{tmp_path}/haproxy.cfg"))

    return run


def test_haproxy_reads_at_its_start_who_was_taken_out_by_hand(here, tmp_path):
    answer = here(haproxy.set_servers(["api-unchecked/master2", "api/master2"], "maint"))
    assert (answer.exited, answer.stdout, answer.stderr) == (0, "", "")
    assert (tmp_path / "asked").read_text().splitlines() == [
        "set server api-unchecked/master2 state maint",
        "set server api/master2 state maint",
        "show servers state",
    ]
    kept = [line.split()[1::2][:2] for line in (tmp_path / "servers").read_text().splitlines()[2:]]
    assert kept == [["api", "master2"], ["api-unchecked", "master2"], ["ingress-http", "worker2"]]
    assert (tmp_path / "servers").read_text().startswith("1\n# be_id")
    assert (tmp_path / "servers").stat().st_mode & 0o777 == 0o644


CONFIGURATION = """\
listen api
    server master1 10.1.1.101:6443 weight 100
    server master2 10.1.1.102:6443 weight 100

backend api-unchecked
    server master2 10.1.1.102:6443
listen ingress-http
    # server worker1 10.1.1.201:1
    server worker1 [fd00::1]:31080 weight 100
frontend stats
    bind 10.1.1.11:9000
"""
LINE = "{0} 0 0 0 0 0 0 0 0 - {1} - 0 0 - - 0"


def test_what_haproxy_reads_has_the_ports_of_its_configuration(here, tmp_path):
    """Or it would go on with the old ones: findings/haproxy-state-file-port.sh."""
    (tmp_path / "haproxy.cfg").write_text(CONFIGURATION)
    lines = [
        LINE.format("2 api 2 master2 10.1.1.102 0 1 100 100", 6443),
        LINE.format("9 ingress-http 1 worker1 fd00::1 0 1 1 1", 30080),
        LINE.format("4 ingress-http 2 worker2 10.1.1.202 0 1 1 1", 30080),
        LINE.format("5 gone 1 master2 10.1.1.102 0 1 1 1", 6443),
    ]
    (tmp_path / "servers").write_text("1\n# head\n" + "".join(f"{line}\n" for line in lines))
    program = script("lb-taken-out", {"HAPROXY_CFG": HAPROXY_CFG, "TAKEN_OUT": TAKEN_OUT}).program + "fit_taken_out\n"
    answer = here(Command(program, "fit"))
    assert (answer.exited, answer.stdout, answer.stderr) == (0, "", "")
    assert (tmp_path / "servers").read_text().splitlines() == ["1", "# head", lines[0], lines[1].replace("30080", "31080")]


def test_without_a_configuration_or_such_servers_nothing_happens(here, tmp_path):
    program = script("lb-taken-out", {"HAPROXY_CFG": HAPROXY_CFG, "TAKEN_OUT": TAKEN_OUT}).program + "fit_taken_out\n"
    assert here(Command(program, "fit")).exited == 0
    assert not (tmp_path / "servers").exists()
    (tmp_path / "servers").write_text("1\n# head\n")
    assert here(Command(program, "fit")).exited == 0
    assert (tmp_path / "servers").read_text() == "1\n# head\n"


def test_who_took_them_out_is_kept_until_they_are_let_in(here, tmp_path):
    nasty = replace(NOTE, reason='it\'s "$HOME" 100 % `x` \\n *')
    assert here(haproxy.maintain(["api-unchecked/master2", "api/master2"], NOTE)).exited == 0
    assert here(haproxy.maintain(["ingress-http/worker1"], nasty)).exited == 0
    file = tmp_path / "lib/maintenance"
    assert file.read_text().splitlines() == [
        "api-unchecked/master2 1700000000 ops@bastion a new disk",
        "api/master2 1700000000 ops@bastion a new disk",
        f"ingress-http/worker1 1700000000 ops@bastion {nasty.reason}",
    ]
    assert here(haproxy.backends().command).stdout.splitlines()[1:] == [f"@@ {line}" for line in file.read_text().splitlines()]
    assert here(haproxy.maintain(["api-unchecked/master2", "api/master2"], None)).exited == 0
    assert file.read_text() == f"ingress-http/worker1 1700000000 ops@bastion {nasty.reason}\n"
    assert "set server api/master2 state ready" in (tmp_path / "asked").read_text()


def test_an_haproxy_that_does_not_answer_is_an_error(here, tmp_path):
    (tmp_path / "bin/socat").write_text("#!/bin/bash\necho refused >&2; exit 1\n")
    answer = here(haproxy.set_servers(["api/master2"], "maint"))
    assert (answer.exited, answer.stderr) == (69, "HAProxy does not answer on its socket: refused\n")
    assert not (tmp_path / "servers").exists()


def test_the_notes_are_read_with_the_servers():
    text = "# pxname,svname,status,lastchg,check_status,check_code,scur\napi,m1,MAINT,3,,,0\napi,m2,UP,3,L7OK,200,1\n"
    first, second = parse_backends(f"{text}@@ api/m1 1700000000 ops@bastion a new, big disk\n@@ api/gone 1 x y\n")
    assert first.maintenance == Maintenance(1_700_000_000, "ops@bastion", "a new, big disk")
    assert second.maintenance is None
    assert (first.out, second.out) == (True, False)


# ---- other commands


class Lbs(FakeHosts):
    """Load balancers that answer with master1 in ``states``, and note what is set."""

    def __init__(self, *states: str, noted: bool):
        super().__init__()
        self.states, self.noted = dict(zip(("lb1", "lb2"), states, strict=True)), noted

    def run(self, host, command):
        if command.shown == "lb-backends":
            head = "# pxname,svname,status,lastchg,check_status,check_code,scur\n"
            note = "@@ api/master1 1700000000 ops@bastion a new disk\n" if self.noted else ""
            return Answer(0, f"{head}api,master1,{self.states[host.name]},3,,,0\n{note}")
        self.sent.append(f"{host} {command}")
        self.states[host.name] = "MAINT" if command.shown.endswith("maint") else "UP"
        return Answer(0, "")


def test_no_other_command_lets_in_what_was_taken_out_by_this_one():
    hosts = Lbs("MAINT", "MAINT", noted=True)
    run, step = run_on(hosts), traffic.let_in(master(1))
    step.check(run)
    assert step.done(run)
    assert hosts.sent == []
    assert ("note", "master1", "stays out of lb1: ops@bastion took it out (a new disk)") in run.listener.events


@pytest.mark.parametrize("noted", [True, False])
def test_it_takes_out_what_only_is_noted(noted):
    hosts = Lbs("UP", "MAINT", noted=noted)
    run, step = run_on(hosts), traffic.take_out(master(1))
    assert not step.done(run)
    step.do(run)
    assert hosts.sent == ["lb1 lb-server api/master1 maint"]
    assert step.done(run)


def test_and_lets_in_what_it_took_out_itself():
    hosts = Lbs("UP", "MAINT", noted=False)
    run, step = run_on(hosts), traffic.let_in(master(1))
    assert not step.done(run)
    step.do(run)
    assert hosts.sent == ["lb2 lb-server api/master1 ready"]
    assert step.done(run)
