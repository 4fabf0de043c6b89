"""firewalld on a load balancer: what must be open, what is, and the words that open the rest."""

import contextlib
import json
from ipaddress import IPv6Address
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import firewall
from runbooks.commands.base import Answer
from runbooks.commands.firewall import Firewall, Openings
from runbooks.inventory.settings_lb import Ingress
from runbooks.rules.firewall import missing, wanted
from tests.support.fakes import bash, lb, site

pytestmark = pytest.mark.unit

VRRP = 'rule family="ipv4" source address="10.1.1.12" protocol value="vrrp" accept'
# firewalld 1.3 on a lab host, as busctl prints it.
RECORDED = (
    '{"type":"a{sv}","data":[{"short":{"type":"s","data":"Public"},"target":{"type":"s","data":"default"},'
    '"services":{"type":"as","data":["ssh","dhcpv6-client"]},"masquerade":{"type":"b","data":false},'
    '"ports":{"type":"a(ss)","data":[["7000-7010","tcp"],["53","udp"]]},'
    '"rules_str":{"type":"as","data":["rule family=\\"ipv4\\" source address=\\"10.1.1.12\\" protocol value=\\"vrrp\\" accept"]}}]}'
)
BARE = '{"type":"a{sv}","data":[{"short":{"type":"s","data":"Work"},"target":{"type":"s","data":"default"}}]}'


# ---- what must be open


def test_an_lb_needs_its_front_ends_for_all_and_vrrp_from_its_peers_only():
    assert wanted(site(), lb(1)) == Openings(ports=("6443/tcp", "9000/tcp", "8405/tcp", "80/tcp", "443/tcp"), rules=(VRRP,))
    (rule,) = wanted(site(), lb(2)).rules
    assert "10.1.1.11" in rule


@pytest.mark.parametrize(
    ("ingress", "ports"),
    [(Ingress(), set()), (Ingress(http=True), {"80/tcp"}), (Ingress(https=True), {"443/tcp"})],
)
def test_ingress_ports_only_where_it_is_on(ingress, ports):
    other = msgspec.structs.replace(site(), load_balancer=msgspec.structs.replace(site().load_balancer, ingress=ingress))
    assert set(wanted(other, lb(1)).ports) - {"6443/tcp", "9000/tcp", "8405/tcp"} == ports


def test_an_endpoint_on_an_ingress_port_is_named_once():
    other = msgspec.structs.replace(site(), endpoint=msgspec.structs.replace(site().endpoint, port=443))
    assert wanted(other, lb(1)).ports.count("443/tcp") == 1


def test_peers_with_ipv6_addresses():
    hosts = tuple(
        msgspec.structs.replace(host, address=IPv6Address(f"fd00::{n}")) for n, host in enumerate(site().hosts, start=11)
    )
    six = msgspec.structs.replace(site(), hosts=hosts)
    assert wanted(six, six.load_balancers[0]).rules == (
        'rule family="ipv6" source address="fd00::12" protocol value="vrrp" accept',
    )


# ---- what is missing


@pytest.mark.parametrize(
    ("there", "lacks"),
    [
        ((), True),
        (("6443/tcp",), False),
        (("6443/udp",), True),
        (("6000-6500/tcp",), False),
        (("6000-6442/tcp",), True),
        (("6443-6443/tcp",), False),
        (("https/tcp",), True),
        (("16443/tcp", "643/tcp"), True),
        (("80/tcp", "6443/tcp"), False),
    ],
)
def test_a_port_is_missing_unless_it_or_a_range_with_it_is_open(there, lacks):
    assert missing(Openings(ports=("6443/tcp",)), Openings(ports=there)) == Openings(ports=("6443/tcp",) if lacks else ())


def test_a_rule_is_missing_unless_it_is_there_itself():
    needed = Openings(rules=(VRRP,))
    assert missing(needed, Openings(rules=(VRRP.replace(".12", ".13"),))) == needed
    assert not missing(needed, Openings(rules=("rule accept", VRRP)))


@given(st.integers(1, 65535), st.integers(1, 65535), st.integers(1, 65535))
def test_any_range(port, one, other):
    first, last = sorted((one, other))
    lacks = missing(Openings(ports=(f"{port}/tcp",)), Openings(ports=(f"{first}-{last}/tcp",)))
    assert bool(lacks) == (not first <= port <= last)


@given(st.lists(st.sampled_from(["1/tcp", "2/tcp", "3/tcp"])), st.lists(st.sampled_from(["1/tcp", "2/tcp", "3/tcp"])))
def test_with_what_was_missing_nothing_is_missing(needed, there):
    lacks = missing(Openings(ports=tuple(needed)), Openings(ports=tuple(there)))
    assert not missing(Openings(ports=tuple(needed)), Openings(ports=(*there, *lacks.ports)))


# ---- what firewalld says


def test_what_firewalld_says():
    seen = firewall.parse(Answer(0, f"public\n{RECORDED}\n{BARE}\n"))
    assert seen == Firewall("public", Openings(("7000-7010/tcp", "53/udp"), (VRRP,)), Openings())


def test_no_firewalld():
    assert firewall.parse(Answer(0, "")) is None


@pytest.mark.parametrize(
    "text",
    ["public\n", f"public\n{BARE}\n", f"public\n{BARE}\n\n", "public\n[]\n[]\n", 'p\n{"data":[{"ports":1}]}\n{}\n', "p\n1\n2\n"],
)
def test_half_of_it_is_an_error(text):
    with pytest.raises(ValueError):
        firewall.parse(Answer(0, text))


@given(
    st.text(), st.recursive(st.none() | st.integers() | st.text(), lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids))
)
def test_junk_is_a_value_error_and_nothing_else(zone, settings):
    with contextlib.suppress(ValueError):
        firewall.parse(Answer(0, f"{zone}\n{json.dumps({'data': settings})}\n{BARE}\n"))


# ---- the words


def test_a_plan_names_every_opening():
    both = Openings(("6443/tcp",), (VRRP,))
    assert str(firewall.allow("public", both, both)) == (
        f"firewall-allow in zone public, now and after a restart: 6443/tcp, {VRRP}"
    )
    assert str(firewall.allow("public", Openings(("80/tcp",)), both)).endswith(f"now: 80/tcp; after a restart: 6443/tcp, {VRRP}")
    assert str(firewall.allow("dmz", Openings(), Openings(("80/tcp",)))) == "firewall-allow in zone dmz, after a restart: 80/tcp"


def stand_in(directory: Path, name: str, text: str) -> None:
    """Put a program of our own in front of the machine's."""
    program = directory / name
    program.write_text(f"#!/bin/bash\n{text}\n")
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path):
    """A firewalld that runs; firewall-cmd writes down its words, one call a line."""
    stand_in(
        tmp_path, "firewall-cmd", f'for word in "$@"; do printf "<%s> " "$word"; done >>{tmp_path}/calls\necho >>{tmp_path}/calls'
    )
    stand_in(tmp_path, "systemctl", "exit 0")
    return tmp_path


def on(programs: Path, program: str) -> Answer:
    return bash(f"PATH={programs}:/usr/bin:/bin\n{program}")


def test_every_kind_is_added_in_one_call_each_now_and_for_good(programs):
    now, kept = Openings(("6443/tcp", "80/tcp"), (VRRP,)), Openings(("80/tcp",), (VRRP,))
    assert on(programs, firewall.allow("public", now, kept).program) == Answer(0, "", "")
    assert (programs / "calls").read_text().splitlines() == [
        "<-q> <--zone=public> <--add-port=6443/tcp> <--add-port=80/tcp> ",
        f"<-q> <--zone=public> <--add-rich-rule={VRRP}> ",
        "<-q> <--permanent> <--zone=public> <--add-port=80/tcp> ",
        f"<-q> <--permanent> <--zone=public> <--add-rich-rule={VRRP}> ",
    ]


def test_nothing_is_called_for_nothing(programs):
    assert on(programs, firewall.allow("public", Openings(), Openings(("80/tcp",))).program).exited == 0
    assert len((programs / "calls").read_text().splitlines()) == 1


def test_what_firewalld_refuses_is_an_error(programs):
    stand_in(programs, "firewall-cmd", "echo INVALID_ZONE >&2; exit 112")
    assert on(programs, firewall.allow("nosuch", Openings(("80/tcp",)), Openings()).program) == Answer(112, "", "INVALID_ZONE\n")


BUSCTL = f"""case "$*" in
*getZoneOfInterface*) echo '{{"type":"s","data":["ZONE"]}}' ;;
*getDefaultZone*) echo '{{"type":"s","data":["public"]}}' ;;
*getZoneByName*) echo '{{"type":"o","data":["/org/fedoraproject/FirewallD1/config/zone/7"]}}' ;;
*"getZoneSettings2 s dmz"* | *"getZoneSettings2 s public"*) echo '{RECORDED}' ;;
*/FirewallD1/config/zone/7\\ org.fedoraproject.FirewallD1.config.zone\\ getSettings2) echo '{BARE}' ;;
*) echo "what is $*?" >&2; exit 1 ;;
esac"""


@pytest.mark.parametrize(("bound", "zone"), [("dmz", "dmz"), ("", "public")])
def test_the_zone_is_the_one_of_the_interface_or_the_default(bound, zone, programs):
    stand_in(programs, "busctl", BUSCTL.replace("ZONE", bound))
    answer = on(programs, firewall.look("eth0").command.program)
    assert answer.exited == 0, answer
    assert firewall.look("eth0").parse(answer) == Firewall(zone, Openings(("7000-7010/tcp", "53/udp"), (VRRP,)), Openings())


@pytest.mark.parametrize("missing_program", ["firewall-cmd", "running"])
def test_where_firewalld_does_not_run_nothing_is_asked(missing_program, programs):
    stand_in(programs, "busctl", "echo asked; exit 1")
    if missing_program == "running":
        stand_in(programs, "systemctl", "exit 3")
    else:
        (programs / "firewall-cmd").unlink()
    answer = bash(f"PATH={programs}\n{firewall.look('eth0').command.program}")  # this machine may have a firewalld itself
    assert answer == Answer(0, "", "")
    assert firewall.look("eth0").parse(answer) is None


def test_a_firewalld_that_does_not_answer_is_an_error(programs):
    stand_in(programs, "busctl", "echo 'Call failed: timed out' >&2; exit 1")
    answer = on(programs, firewall.look("eth0").command.program)
    assert answer.exited != 0
    assert "timed out" in answer.stderr
