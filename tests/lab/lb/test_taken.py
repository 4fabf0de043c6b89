"""Load balancers that others use, too: what is refused before anything changes, what is put back, and what is given back.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.control import Lab
from tests.lab.lb.test_setup import CFG, LBS
from tests.support.operator import Operator, holders, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

CONF = "/etc/keepalived/keepalived.conf"
GENERATIONS = "/var/lib/ha-runbooks/lb/generations"
# Answers every request on 9100 with HTTP 200, as a metrics exporter would.
EXPORTER = 'systemd-run -q --unit=exporter socat TCP-LISTEN:9100,fork,reuseaddr SYSTEM:"echo HTTP/1.0 200 OK; echo"'
# Has the port 9200, but does not listen on it: no list of listeners shows it.
HIDDEN = (
    "systemd-run -q --unit=hidden perl -MSocket -e "
    "'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(9200, INADDR_ANY)) or die; mkdir \"/run/hidden\"; sleep 900'"
)
THEIR_CFG = """\
global
    log /dev/log local0
defaults
    mode tcp
    timeout connect 1s
    timeout client 1m
    timeout server 1m
frontend shop
    bind *:8443
    default_backend shop
backend shop
    server one 10.1.1.201:8443
listen database
    bind *:5432
    server one 10.1.1.201:5432
"""
THEIR_CONF = """\
vrrp_instance shop {
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority %d
    advert_int 1
    virtual_ipaddress {
        10.1.1.77
    }
}
"""


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose pair is set up. The LBs are reset afterwards."""
    made = Operator(lab, tmp_path_factory.mktemp("taken"))
    lab.on(*LBS)
    lab.heal(*LBS)
    made.good("lb.setup", "--new-password", timeout_s=300)
    yield made
    lab.reset(*LBS)


def shell(operator: Operator, host: str, text: str) -> str:
    return operator.lab.console(host, ["bash", "-c", text], check=True).stdout


def stats_port(number: int) -> Any:
    return lambda site: site["load_balancer"].update(stats_port=number)


def as_they_are(operator: Operator) -> dict[str, str]:
    """Files, processes and listeners of both LBs. Not the old workers of HAProxy: they end when their last connection does.

    Nor how many connections wait at a listener: on a busy machine some do.
    """
    listeners = "ss -Hltn | tr -s ' ' | cut -d' ' -f4 | sort"
    look = f"cat {CFG} {CONF}; find {GENERATIONS}; pgrep -n -x haproxy; pgrep -o -x keepalived; {listeners}"
    return {host: shell(operator, host, look) for host in LBS}


def runs_its_file(operator: Operator, host: str) -> bool:
    said = shell(
        operator, host, "echo 'show info' | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock | sed -n 's/^[Dd]escription: //p'"
    )
    return bool(said.strip()) and f"description {said.strip()}\n" in shell(operator, host, f"cat {CFG}")


def test_a_port_of_another_program_is_refused_before_anything_changes(operator: Operator) -> None:
    for host in LBS:
        shell(operator, host, EXPORTER)
        eventually(lambda host=host: ":9100" in shell(operator, host, "ss -Hltn"), True)
    operator.edit(stats_port(9100))
    before = as_they_are(operator)
    for words in (["lb.setup"], ["lb.setup", "--plan"]):
        done = operator.inv(*words)
        assert done.returncode == 3, done.stdout + done.stderr
        for host, address in (("lb1", "10.1.1.11"), ("lb2", "10.1.1.12")):
            assert f"{host}: TCP {address}:9100 (load_balancer.stats_port) is held by socat (pid " in done.stderr
    assert as_they_are(operator) == before
    for host in LBS:
        shell(operator, host, "systemctl stop exporter")


def test_what_fails_only_when_it_is_loaded_is_put_back(operator: Operator) -> None:
    shell(operator, "lb2", HIDDEN)
    eventually(lambda: operator.lab.console("lb2", ["test", "-d", "/run/hidden"]).returncode, 0)
    operator.edit(stats_port(9200))
    before = as_they_are(operator)["lb1"], shell(operator, "lb2", f"cat {CFG}")
    try:
        done = operator.inv("lb.setup")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "haproxy on lb2 could not load its new configuration: the old files are back on lb2, and loaded" in done.stderr
        assert "10.1.1.12:9200" in done.stderr.split("[ALERT]")[1]  # HAProxy's own words
        eventually(lambda: runs_its_file(operator, "lb2"))
        planned = operator.good("lb.setup", "--plan")
        assert "lb2: run haproxy with this configuration  [would change" in planned  # not "nothing to do"
        assert (as_they_are(operator)["lb1"], shell(operator, "lb2", f"cat {CFG}")) == before
    finally:
        shell(operator, "lb2", "systemctl restart haproxy")
        operator.edit(stats_port(9000))
    operator.idle("lb.setup")


def test_a_worker_that_was_left_behind_is_noticed(operator: Operator) -> None:
    """Somebody edits the file and reloads; the port is held, systemd says that all is well."""
    shell(operator, "lb2", f"sed -i s/:9000/:9200/ {CFG}; systemctl reload haproxy")
    done = operator.sees("lb.status", told="lb2: haproxy runs another configuration than its file has")
    assert done.returncode == 1
    operator.good("lb.setup")
    operator.well("lb.status")
    eventually(lambda: runs_its_file(operator, "lb2"))
    shell(operator, "lb2", "systemctl stop hidden")


def test_a_service_that_reads_another_file_is_refused(operator: Operator) -> None:
    shell(operator, "lb1", f"cp {CFG} /root/other.cfg; echo CONFIG=/root/other.cfg >>/etc/default/haproxy")
    done = operator.inv("lb.setup")
    assert done.returncode == 3
    assert f"lb1: haproxy is set to read /root/other.cfg, not {CFG}" in done.stderr
    shell(operator, "lb1", "sed -i /^CONFIG=/d /etc/default/haproxy")


def test_what_haproxy_reads_besides_its_file_is_named_and_checked_with_it(operator: Operator) -> None:
    """As the Red Hat family's unit does: -f haproxy.cfg -f conf.d."""
    extra = 'EXTRAOPTS="-S /run/haproxy-master.sock -f /etc/haproxy/conf.d"'
    shell(operator, "lb2", f"mkdir /etc/haproxy/conf.d; echo '{extra}' >>/etc/default/haproxy")
    shell(operator, "lb2", r"printf 'frontend shop\n bind 127.0.0.1:8443\n' >/etc/haproxy/conf.d/shop.cfg")
    said = operator.good("lb.setup")
    assert (
        "lb2: HAProxy also reads /etc/haproxy/conf.d/shop.cfg, which is not from lb.setup; it serves shop (127.0.0.1:8443)"
        in said
    )
    shell(operator, "lb2", "echo ' bund *:1' >>/etc/haproxy/conf.d/shop.cfg")
    operator.edit(stats_port(9300))
    done = operator.inv("lb.setup")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "lb2 refuses the new configuration; nothing was changed there" in done.stderr
    assert "[/etc/haproxy/conf.d/shop.cfg:3]" in done.stderr
    operator.edit(stats_port(9000))
    shell(operator, "lb2", "rm -r /etc/haproxy/conf.d; sed -i /^EXTRAOPTS=/d /etc/default/haproxy")


def test_what_others_serve_is_not_taken_over_without_a_word(operator: Operator) -> None:
    for host, priority in (("lb1", 150), ("lb2", 100)):
        theirs = THEIR_CONF % priority
        shell(
            operator,
            host,
            "rm -r /var/lib/ha-runbooks /etc/systemd/system/{haproxy,keepalived}.service.d; systemctl daemon-reload\n"
            f"cat >{CFG} <<'X'\n{THEIR_CFG}X\ncat >{CONF} <<'X'\n{theirs}X\nsystemctl restart haproxy keepalived\n"
            f"mkdir -p {GENERATIONS}/2099010{{1,2,3,4,5,6}}T000000.000000000Z",  # more changes than are kept
        )
    before = as_they_are(operator)
    for command in ("lb.setup", "recover.vip"):
        done = operator.inv(command)
        assert done.returncode == 3, done.stdout + done.stderr
        for host in LBS:
            assert f"{host}: {CFG} is not from lb.setup; it serves shop (*:8443), database (*:5432)" in done.stderr
            assert f"{host}: {CONF} is not from lb.setup; it serves the VRRP instance shop, the VIP 10.1.1.77" in done.stderr
        assert f"inv {command} --take-over" in done.stderr
    assert as_they_are(operator) == before


def test_a_take_over_is_undone_however_many_changes_later(operator: Operator) -> None:
    operator.good("lb.setup", "--take-over")
    vip_on(operator.lab, "lb1")
    operator.good("lb.rollback", "--original")
    for host in LBS:
        assert shell(operator, host, f"cat {CFG}") == THEIR_CFG
        listening = shell(operator, host, "ss -Hltn")
        assert ":8443" in listening
        assert ":5432" in listening
        assert ":6443" not in listening
        assert shell(operator, host, "find /etc/systemd/system -name 10-ha-runbooks.conf") == ""
    eventually(lambda: holders(operator.lab, "10.1.1.77"), ["lb1"])
    assert operator.inv("lb.setup", "--plan").returncode == 3  # theirs again
