"""HAProxy's servers against hosts.yaml and the members of the cluster."""

from dataclasses import replace

import pytest

from runbooks.commands.haproxy import Backend, parse_backends
from runbooks.rules import lb_servers
from tests.support import fakes, recorded
from tests.unit.rules.test_lb import HOLDER, LB1, LB2, STANDBY

pytestmark = pytest.mark.unit

SITE = fakes.site()


def known(*, without=(), **addresses):
    """What an LB has by hosts.yaml, without some servers, and others at another address."""
    return tuple(
        Backend(proxy=proxy, server=name, status="UP", since_s=1, check="", sessions=0, address=addresses.get(name, address))
        for proxy, servers in lb_servers.wanted(SITE).items()
        for name, address in servers.items()
        if f"{proxy}/{name}" not in without
    )


def more(proxy, name):
    return Backend(proxy=proxy, server=name, status="UP", since_s=1, check="", sessions=0, address="10.1.1.9:6443")


def rows(one, two, **given):
    seen = {LB1: (HOLDER, one), LB2: (STANDBY, two)}
    return [(each.severity, each.host, each.seen, each.fix) for each in lb_servers.findings(SITE, seen, **given)]


def test_as_hosts_yaml_has_it():
    assert rows(known(), known()) == []
    assert rows(tuple(replace(each, address="") for each in known()), None) == []


@pytest.mark.parametrize(("joined", "severity"), [((fakes.master(3),), "fail"), ((), "warn")], ids=["in the cluster", "not yet"])
def test_a_missing_api_server(joined, severity):
    less = known(without={"api/master3"})
    assert rows(less, less, joined=joined) == [(severity, "lb1, lb2", "api does not know master3", "inv lb.setup")]
    assert rows(known(), less, joined=joined) == [(severity, "lb2", "api does not know master3", "inv lb.setup")]


def test_a_missing_worker():
    less = known(without={"ingress-http/worker2"})
    assert rows(less, less) == [("warn", "lb1, lb2", "ingress-http does not know worker2", "inv lb.setup")]


def test_a_server_too_many():
    (only,) = rows((*known(), more("api", "master9")), known())
    assert only == ("warn", "lb1", "api has master9, which is not in hosts.yaml", "inv lb.setup removes it")
    (only,) = rows((*known(), more("api", "master9")), (*known(), more("api", "master9")), unlisted=("master9",))
    assert only[3] == "add master9 to hosts.yaml, or take it out of the cluster; then inv lb.setup"


def test_a_member_that_neither_hosts_yaml_nor_the_load_balancers_have():
    (only,) = rows(known(), known(), unlisted=("master9",))
    assert only[:2] == ("warn", "lb1, lb2")
    assert only[2].startswith("api does not know master9")
    assert only[3] == "add master9 to hosts.yaml; then inv lb.setup"


def test_a_server_at_another_address():
    (only,) = rows(known(master2="10.1.1.99:6443"), known())
    assert only == ("fail", "lb1", "api has master2 at 10.1.1.99:6443, hosts.yaml has 10.1.1.102:6443", "inv lb.setup")


def test_what_a_real_haproxy_says():
    """Of a test configuration with five masters, each at an address of its own."""
    said = parse_backends(recorded.recorded_answer("haproxy/2.6-show-stat").stdout)
    seen = [text for _, _, text, _ in rows(said, said)]
    assert "api has master1 at 127.0.0.1:18081, hosts.yaml has 10.1.1.101:6443" in seen
    assert "api has master5, which is not in hosts.yaml" in seen
