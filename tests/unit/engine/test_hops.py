"""Gateways: who is to blame when a connection fails on its way to a host, and how often a dead gateway is tried."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from socket import gaierror
from types import SimpleNamespace

import msgspec
import paramiko
import pytest

from runbooks.engine.hops import BeyondError, Hop, HopError, beyond
from runbooks.engine.ssh_errors import explained
from runbooks.errors import GatewayError, HostErrors, NotLetIn, UnreachableError
from runbooks.inventory.settings import Gateway, HostSsh
from tests.support.fakes import lb, site

pytestmark = pytest.mark.unit

BASTION, SECOND = Gateway(address=ip_address("10.9.9.9"), user="jump"), Gateway(address="inner.example.org", port=2222)
SITE = msgspec.structs.replace(site(), ssh=msgspec.structs.replace(site().ssh, gateway=(BASTION, SECOND)))


class Door:
    """A connection to a gateway: ``error`` is raised at the login, ``beyond`` when a channel is opened."""

    def __init__(self, *, error: Exception | None = None, beyond: Exception | None = None, alive: bool = True) -> None:
        self.error, self.beyond, self.alive = error, beyond, alive
        self.tried = 0

    def connected(self):
        self.tried += 1
        if self.error:
            raise self.error
        return SimpleNamespace(open_channel=self.open_channel, is_active=lambda: self.alive)

    def open_channel(self, *_, **__):
        if self.beyond:
            raise self.beyond
        return "a channel"


def fails(door: Door, way: tuple[Gateway, ...] = (BASTION,)) -> paramiko.SSHException:
    with pytest.raises((HopError, BeyondError)) as caught:
        Hop(way, door).channel(("10.1.1.11", 22), 5)
    return caught.value


def test_a_gateway_that_works_gives_a_channel() -> None:
    assert Hop((BASTION,), Door()).channel(("10.1.1.11", 22), 5) == "a channel"


class Forgetful(Door):
    """paramiko tells only one of two threads why the gateway refused; the other one gets an error without a reason, once."""

    def open_channel(self, *words, **more):
        if not self.told:
            self.told = True
            raise paramiko.SSHException("Unable to open channel.")
        return super().open_channel(*words, **more)

    told = False


def test_a_refusal_whose_reason_was_lost_is_asked_for_again() -> None:
    error = fails(Forgetful(beyond=paramiko.ChannelException(1, "Administratively prohibited")))
    assert "forwards no connection" in str(explained(SITE, lb(1), error))
    assert Hop((BASTION,), Forgetful()).channel(("10.1.1.11", 22), 5) == "a channel"


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (TimeoutError(), "no answer", "check that the gateway is switched on"),
        (OSError(113, "No route to host"), "No route to host", "check that the gateway is switched on"),
        (gaierror(-2, "Name or service not known"), "Name or service not known", "check the address of the gateway"),
        (paramiko.AuthenticationException(), "login as jump was refused", "check user and key of ssh.gateway"),
        (paramiko.PasswordRequiredException("x"), "has a passphrase", "ssh-add"),
        (paramiko.SSHException("Server '[x]' not found in known_hosts"), "host key is not in", "inv site.trust --gateways"),
    ],
)
def test_an_error_of_the_gateway_is_told_of_the_gateway(error: Exception, said: str, hint: str) -> None:
    told = explained(SITE, lb(1), fails(Door(error=error)))
    assert isinstance(told, GatewayError)
    assert isinstance(told, NotLetIn)  # no command may take the hosts behind it for dead
    assert str(told).startswith("gateway 10.9.9.9: ")
    assert said in str(told)
    assert str(told).endswith("; every host is behind it")
    assert told.everywhere
    assert hint in told.hint


def test_a_new_key_of_the_gateway_is_not_a_new_key_of_the_host() -> None:
    key = paramiko.ECDSAKey.generate()
    told = explained(SITE, lb(1), fails(Door(error=paramiko.BadHostKeyException("10.9.9.9", key, key))))
    assert str(told).startswith("gateway 10.9.9.9: its host key is not the one in")
    assert told.hint.endswith("inv site.trust --gateways --replace")


def test_a_gateway_that_may_not_forward() -> None:
    told = explained(SITE, lb(1), fails(Door(beyond=paramiko.ChannelException(1, "Administratively prohibited"))))
    assert isinstance(told, GatewayError)
    assert "forwards no connection" in str(told)
    assert "AllowTcpForwarding" in told.hint


class Choosy(Door):
    """A gateway whose PermitOpen has the addresses of ``answers`` only, each with what is raised there; "" is a connection."""

    def __init__(self, answers: dict[str, Exception | None]) -> None:
        super().__init__()
        self.answers, self.asked = answers, []

    def open_channel(self, _kind, address, *_, **__):
        self.asked.append(address[0])
        if error := self.answers.get(address[0], paramiko.ChannelException(1, "Administratively prohibited")):
            raise error
        return SimpleNamespace(close=lambda: None)


BEHIND = [("10.1.1.11", 22), ("10.1.1.12", 22), ("10.1.1.101", 22)]


@pytest.mark.parametrize(
    "other", [None, paramiko.ChannelException(2, "Connect failed"), paramiko.SSHException("Timeout opening channel.")]
)
def test_a_host_that_permitopen_lacks_is_the_hosts_error(other: Exception | None) -> None:
    door = Choosy({"10.1.1.101": other})
    hop = Hop((BASTION,), door, BEHIND)
    for _ in range(2):
        with pytest.raises(BeyondError) as caught:
            hop.channel(("10.1.1.11", 22), 5)
        told = explained(SITE, lb(1), caught.value)
        assert type(told) is NotLetIn  # the host is not gone, and the gateway is not all of the hosts' error
        assert str(told).startswith("lb1 (10.1.1.11): gateway 10.9.9.9 does not allow connections to lb1 port 22")
        assert "PermitOpen" in told.hint
    assert door.asked == ["10.1.1.11", "10.1.1.12", "10.1.1.101", "10.1.1.11"]  # that it forwards is asked once


def test_a_gateway_that_forwards_to_none_of_the_hosts() -> None:
    with pytest.raises(HopError) as caught:
        Hop((BASTION,), Choosy({}), BEHIND).channel(("10.1.1.11", 22), 5)
    assert "forwards no connection" in str(explained(SITE, lb(1), caught.value))


def test_a_gateway_that_another_does_not_allow() -> None:
    forbidden = BeyondError(BASTION, "administratively prohibited", forbidden=True)
    told = explained(SITE, lb(1), fails(Door(error=forbidden), (BASTION, SECOND)))
    assert isinstance(told, GatewayError)
    said = "gateway inner.example.org port 2222: gateway 10.9.9.9 does not allow connections to inner.example.org port 2222"
    assert str(told).startswith(said)


def test_what_is_right_behind_a_gateway() -> None:
    hosts = [msgspec.structs.replace(host, ssh=HostSsh(gateway=(BASTION,) if host.is_lb else None)) for host in site().hosts]
    mixed = msgspec.structs.replace(SITE, hosts=tuple(hosts))
    addresses = {(str(host.address), 22) for host in hosts}
    lbs = {(str(host.address), 22) for host in hosts if host.is_lb}
    assert beyond(mixed, (BASTION,)) == {*lbs, ("inner.example.org", 2222)}
    assert beyond(mixed, (BASTION, SECOND)) == addresses - lbs


@pytest.mark.parametrize(
    "beyond", [paramiko.ChannelException(2, "Connect failed"), paramiko.SSHException("Timeout opening channel.")]
)
def test_a_host_that_is_off_behind_a_gateway_is_the_hosts_error(beyond: Exception) -> None:
    told = explained(SITE, lb(1), fails(Door(beyond=beyond)))
    assert type(told) is UnreachableError
    assert str(told).startswith("lb1 (10.1.1.11): gateway 10.9.9.9 works, but cannot connect to lb1 port 22: ")
    assert "port 22" in told.hint


def test_a_gateway_that_dies_meanwhile() -> None:
    told = explained(SITE, lb(1), fails(Door(beyond=EOFError(), alive=False)))
    assert isinstance(told, GatewayError)


def test_of_two_gateways_the_one_that_failed_is_named() -> None:
    off = fails(Door(beyond=paramiko.ChannelException(2, "Connect failed")))
    told = explained(SITE, lb(1), fails(Door(error=off), (BASTION, SECOND)))
    assert str(told).startswith(
        "gateway inner.example.org port 2222: gateway 10.9.9.9 works, but cannot connect to inner.example.org port 2222: "
    )
    first = fails(Door(error=TimeoutError()))
    assert str(explained(SITE, lb(1), fails(Door(error=first), (BASTION, SECOND)))).startswith("gateway 10.9.9.9: no answer")


def test_the_hosts_behind_a_gateway_are_named_when_these_are_not_all() -> None:
    hosts = tuple(msgspec.structs.replace(host, ssh=HostSsh(gateway=BASTION if host.is_lb else ())) for host in site().hosts)
    told = explained(msgspec.structs.replace(SITE, hosts=hosts), hosts[0], fails(Door(error=TimeoutError())))
    assert isinstance(told, GatewayError)
    assert str(told) == "gateway 10.9.9.9: no answer; lb1, lb2 are behind it"
    assert not told.everywhere
    together = HostErrors({"lb1": told, "lb2": told, "master1": UnreachableError("master1: off")}, 3)
    assert str(together).splitlines()[1:] == ["  gateway 10.9.9.9: no answer; lb1, lb2 are behind it", "  master1: off"]


def test_many_hosts_try_a_dead_gateway_once() -> None:
    door = Door(error=TimeoutError())
    hop = Hop((BASTION,), door)

    def ask() -> None:
        with pytest.raises(HopError):
            hop.channel(("10.1.1.11", 22), 5)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert door.tried == 1
