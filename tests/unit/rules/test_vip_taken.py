"""Whether somebody else has a VIP before keepalived takes it, and what a host says of it. The script runs for real, with a network that is made up."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from runbooks.commands import vip_asked
from runbooks.commands.vip_asked import Asked
from runbooks.rules.vip_taken import Taken, taken
from tests.support.fakes import bash, lb, site

pytestmark = pytest.mark.unit

VIP, OTHER = ip_address("10.1.1.100"), ip_address("10.1.1.110")
VIPS = {"api": VIP, "ingress": OTHER}
ONE, TWO, THREE = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"


def seen(first: Asked, second: Asked) -> list[Taken]:
    return taken(VIPS, {lb(1): first, lb(2): second})


def test_a_stranger_is_named_with_the_load_balancer_that_sees_it() -> None:
    (found,) = seen(Asked(ONE, answers={str(OTHER): THREE}), Asked(TWO))
    assert (found.name, found.address, found.mac, found.seen_by) == ("ingress", OTHER, THREE, lb(1))
    assert found.key == "load_balancer.vips, ingress"
    (found,) = seen(Asked(ONE), Asked(TWO, answers={str(VIP): THREE}))
    assert (found.key, found.seen_by) == ("endpoint.vip", lb(2))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Asked(ONE), Asked(TWO)),  # nobody has them yet
        (Asked(ONE, frozenset({str(VIP)})), Asked(TWO, answers={str(VIP): ONE})),  # the peer serves it
        (Asked(ONE, frozenset({str(VIP)})), Asked(TWO, answers={str(VIP): THREE})),  # a second holder: inv recover.vip
        (Asked(ONE, answers={str(VIP): TWO}), Asked(TWO)),  # the peer gave it up a moment ago
    ],
)
def test_the_pair_itself_is_no_stranger(first: Asked, second: Asked) -> None:
    assert seen(first, second) == []


def asked(tmp_path: Path, fake: str) -> Asked:
    tree = tmp_path / "sys/class/net/eth0"
    tree.mkdir(parents=True)
    (tree / "address").write_text(f"{ONE}\n")
    probe = vip_asked.look(site(), lb(1), [VIP, OTHER])
    return probe.parse(bash(fake + probe.command.program.replace("/sys/", f"{tmp_path}/sys/")))


def test_an_answer_counts_also_when_the_machine_does_not_answer_a_ping(tmp_path: Path) -> None:
    fake = (
        "ping() { return 1; }\n"
        f'ip() {{ case "$*" in "-o -4 address show to {VIP}") echo "2: eth0 inet {VIP}/32" ;;\n'
        f'"neighbour show to {OTHER} dev eth0") echo "{OTHER} lladdr {THREE.upper()} REACHABLE" ;; esac; }}\n'
    )
    assert asked(tmp_path, fake) == Asked(ONE, frozenset({str(VIP)}), {str(OTHER): THREE})


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE", f"lladdr {THREE} FAILED", ""])
def test_a_neighbour_that_has_not_answered_is_none(tmp_path: Path, state: str) -> None:
    fake = f'ping() {{ return 1; }}\nip() {{ case "$*" in "neighbour show"*) echo "{OTHER} {state}" ;; esac; }}\n'
    assert asked(tmp_path, fake) == Asked(ONE)
