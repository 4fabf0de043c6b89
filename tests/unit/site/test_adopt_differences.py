"""What differs from a site that this tool has set up, each with its risk."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.site.adopt.rules import differences, differences_lb, vrrp
from runbooks.site.adopt.rules.differences_lb import fails_over
from tests.unit.site import adopted
from tests.unit.site.adopted import CONFIGURATION, HAPROXY, KEEPALIVED


def told(seen):
    return [(each.severity, each.host, each.seen) for each in differences.findings(seen)]


def one(seen, words):
    return [each for each in differences.findings(seen) if words in each.seen]


def instance(priority, weight, scripts=1):
    checks = "".join(f'vrrp_script c{n} {{\n script "x"\n weight {weight}\n}}\n' for n in range(scripts))
    names = "\n".join(f"  c{n}" for n in range(scripts))
    return vrrp.instances(f"{checks}vrrp_instance A {{\n priority {priority}\n track_script {{\n{names}\n }}\n}}\n")[0]


def test_the_documents_check_never_moves_the_vip():
    found = one(adopted.seen(), "never moves the VIP")
    assert [(each.severity, each.host) for each in found] == [("fail", "lb1")]
    assert found[0].seen == "a failed check never moves the VIP: priority 110 with chk_haproxy +2, lb2 has 100"
    assert "--take-over" in found[0].fix


@pytest.mark.parametrize(
    ("high", "low", "weight", "moves"),
    [
        (110, 100, 2, False),  # the document: 110 against 102
        (110, 100, -2, False),  # kubeadm's guide with these priorities: 108 against 100
        (101, 100, -2, True),
        (101, 100, 2, True),  # 101 against 102
        (110, 100, 0, True),  # a check without a weight ends the instance
        (102, 100, -2, False),  # equal: the higher address wins
    ],
)
def test_when_a_failed_check_moves_the_vip(high, low, weight, moves):
    assert fails_over(instance(high, weight), instance(low, weight)) is moves


@given(st.integers(1, 254), st.integers(1, 254), st.integers(-253, 253))
def test_a_vip_moves_when_what_is_left_is_less_than_the_other_has(high, low, weight):
    mine, other = high + min(weight, 0), low + max(weight, 0)
    assert fails_over(instance(high, weight), instance(low, weight)) is (weight == 0 or mine < other)


def test_the_documents_haproxy_checks_only_the_port():
    found = told(adopted.seen())
    assert ("warn", "lb2, lb1", "HAProxy checks only whether the port of the API servers is open") in found
    assert ("note", "lb2, lb1", "timeout client 1m, timeout server 1m") in found


def test_a_check_of_health_is_no_difference():
    better = HAPROXY.replace("option tcp-check", "option httpchk GET /readyz")
    both = tuple(
        replace(each, claims=adopted.balancer(each.name, str(each.address), haproxy=better).claims)
        for each in adopted.seen().balancers
    )
    assert one(adopted.seen(balancers=both), "HAProxy checks only") == []


def test_a_server_without_a_check_is_worse():
    worse = HAPROXY.replace("10.1.1.103:6443 check", "10.1.1.103:6443")
    seen = adopted.seen(balancers=(adopted.balancer("lb1", "10.1.1.11", haproxy=worse), adopted.seen().balancers[0]))
    assert [each.seen for each in one(seen, "does not check")] == ["HAProxy does not check master3"]


def test_a_control_plane_host_that_is_not_behind_the_vip_is_named():
    less = HAPROXY.replace("    server master3 10.1.1.103:6443 check\n", "    server old 10.1.1.109:6443 check\n")
    seen = adopted.seen(balancers=(adopted.balancer("lb1", "10.1.1.11", haproxy=less), adopted.seen().balancers[0]))
    said = [each.seen for each in differences.findings(seen) if each.topic == "lb" and each.host == "lb1"]
    assert "master3 is not behind the VIP" in said
    assert "old (10.1.1.109): no control plane host" in said


def test_what_is_not_ours_on_the_load_balancers_is_named():
    more = HAPROXY + "frontend shop\n bind *:8080\n default_backend shop-servers\nbackend shop-servers\n server s 10.1.1.9:80\n"
    second = KEEPALIVED % {"state": "BACKUP", "priority": 90} + "vrrp_instance SHOP {\n virtual_ipaddress {\n  10.1.1.99\n }\n}\n"
    lb = adopted.balancer("lb1", "10.1.1.11", haproxy=more, keepalived=second)
    found = one(adopted.seen(balancers=(lb, adopted.seen().balancers[0])), "front end shop")
    assert [each.seen for each in found] == [
        "haproxy.cfg and keepalived.conf are not from lb.setup; they also have front end shop (*:8080), VRRP instance SHOP (10.1.1.99)"
    ]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("mypassword", "geheim42", "password"),
        ("router_id 51", "router_id 52", "VRRP id"),
        ("advert_int 1", "advert_int 1\n version 3", "version"),
        ("mypassword", "mypasswo", ""),  # keepalived uses eight characters
    ],
)
def test_load_balancers_that_do_not_hear_each_other(old, new, word):
    other = KEEPALIVED.replace(old, new) % {"state": "MASTER", "priority": 110}
    seen = adopted.seen(balancers=(adopted.balancer("lb1", "10.1.1.11", keepalived=other), adopted.seen().balancers[0]))
    found = one(seen, "do not hear each other")
    assert [(each.severity, each.host, each.seen.rpartition("the same ")[2]) for each in found] == [
        ("fail", "lb1, lb2", word)
    ] * bool(word)
    assert [each for each in ("geheim42", "mypasswo") if each in str(differences.findings(seen))] == []


def test_multicast_without_a_password_is_said():
    open_ = KEEPALIVED.replace("    authentication {\n        auth_type PASS\n        auth_pass mypassword\n    }\n", "")
    text = open_ % {"state": "MASTER", "priority": 110}
    lb = adopted.balancer("lb1", "10.1.1.11", keepalived=text)
    assert one(adopted.seen(balancers=(lb, adopted.seen().balancers[0])), "by multicast, without a password")


def test_a_keepalived_that_watches_nothing_is_said():
    text = KEEPALIVED % {"state": "MASTER", "priority": 110}
    blind = text.replace("    track_script {\n        chk_haproxy\n    }\n", "")
    lb = adopted.balancer("lb1", "10.1.1.11", keepalived=blind)
    assert one(adopted.seen(balancers=(lb, adopted.seen().balancers[0])), "does not watch HAProxy")


def test_one_load_balancer_is_a_failure():
    assert ("fail", "", "only lb2 was found behind 10.1.1.100") in told(adopted.seen(balancers=adopted.seen().balancers[:1]))


def test_snapshots_without_certificates_and_hosts_that_do_not_answer():
    nodes = dict(adopted.seen().nodes)
    nodes["master1"] = adopted.on_node("master1", "10.1.1.101", "snapshot /etc/cron.d/etcd alone")
    nodes["worker1"] = "no answer"
    found = told(adopted.seen(nodes=nodes))
    assert ("warn", "master1", "/etc/cron.d/etcd makes snapshots of etcd, and copies no certificates") in found
    assert ("warn", "worker1", "no answer") in found


def test_no_audit_log_external_etcd_and_another_runtime():
    external = copy.deepcopy(CONFIGURATION) | {"etcd": {"external": {"endpoints": ["https://10.1.1.5:2379"]}}}
    members = [adopted.node("master1", "10.1.1.101", master=True, runtime="cri-o://1.28.0")]
    seen = replace(adopted.seen(external), cluster=adopted.cluster(external, members))
    found = told(seen)
    assert ("fail", "", "etcd is external: https://10.1.1.5:2379") in found
    assert ("fail", "master1", "the container runtime is cri-o") in found
    assert ("warn", "", "the API server keeps no audit log") in found
    assert ("warn", "", "1 control plane host") in found


@pytest.mark.parametrize(("text", "length"), [("50000", 50), ("1m", 60), ("0", 0), ("often", None), ("", None)])
def test_durations_of_haproxy(text, length):
    assert differences_lb.seconds(text) == length
