"""Nothing connects to the addresses of the example, or of a twin, from the machine's own network."""

import inspect
import socket
from pathlib import Path

import msgspec
import pytest

from runbooks.commands.base import cmd
from runbooks.engine import namespace, ssh, trust
from runbooks.engine.namespace import enter, permit
from runbooks.engine.ssh import Ssh
from runbooks.errors import PrecheckError
from runbooks.inventory.model import LabTwin
from runbooks.inventory.settings import Gateway
from tests.support.fakes import example, site

pytestmark = pytest.mark.unit

LB1 = example().load_balancers[0]
GATEWAY = Gateway(address=LB1.address)


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch):
    """The test fails when anything tries to connect, or asks for a name."""
    tried = []

    def refuse(*args, **_):
        tried.append(args)
        raise OSError("this test connects to nothing")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """A twin whose namespace has a file at ``twin.path``, if somebody makes it."""
    monkeypatch.setattr(namespace, "NAMESPACES", tmp_path)
    return msgspec.structs.replace(example(), lab=LabTwin(namespace="ha-lab-x"))


def of_this_process(path):
    """Make ``path`` stand for the namespace that this test runs in."""
    path.symlink_to("/proc/thread-self/ns/net")


def machine_is(monkeypatch, tmp_path, status=None):
    """PID 1 in another namespace than this test's, or (``status`` an OSError) nobody may look at it."""
    real = namespace._identity

    def identity(path):
        if str(path) != "/proc/1/ns/net":
            return real(path)
        if status:
            raise status
        return (0, 0)

    monkeypatch.setattr(namespace, "_identity", identity)


# ---- permit


def test_the_example_is_refused_with_the_way_out():
    with pytest.raises(PrecheckError, match="is the example site: its addresses are not yours") as error:
        permit(example())
    assert error.value.exit_code == 3
    for way_out in ("inv lab.up", "RUNBOOKS_SITE=lab", "example: true", "hosts.yaml"):
        assert way_out in error.value.hint


def test_an_own_site_is_permitted():
    assert permit(site()) is None


def test_a_twin_is_refused_while_its_lab_is_down(twin):
    with pytest.raises(PrecheckError, match="outside the lab's network namespace"):
        permit(twin)


def test_a_twin_is_refused_from_the_machines_own_network_even_under_the_labs_name(twin, tmp_path, monkeypatch):
    """A leftover file, or one that was bound to the machine's own namespace by mistake."""
    of_this_process(tmp_path / "ha-lab-x")
    monkeypatch.setattr(namespace, "_identity", lambda path: (1, 1))
    with pytest.raises(PrecheckError):
        permit(twin)


def test_a_twin_is_refused_from_another_namespace(twin, tmp_path, monkeypatch):
    (tmp_path / "ha-lab-x").write_text("")
    machine_is(monkeypatch, tmp_path)
    with pytest.raises(PrecheckError):
        permit(twin)


@pytest.mark.parametrize("status", [None, PermissionError()], ids=["elsewhere", "PID 1 is out of sight"])
def test_a_twin_is_permitted_from_inside_its_own_namespace(status, twin, tmp_path, monkeypatch):
    of_this_process(tmp_path / "ha-lab-x")
    machine_is(monkeypatch, tmp_path, status)
    assert permit(twin) is None


def test_the_mark_of_the_example_does_not_matter_inside_the_lab(twin, tmp_path, monkeypatch):
    of_this_process(tmp_path / "ha-lab-x")
    machine_is(monkeypatch, tmp_path)
    assert twin.example
    permit(twin)


# ---- enter


def test_there_is_nothing_to_enter_for_a_site_without_a_lab():
    assert enter(site()) is None
    assert enter(example()) is None  # but permit refuses it


def test_a_lab_that_is_down_says_how_to_start_it(twin):
    with pytest.raises(PrecheckError, match="cannot be opened: No such file") as error:
        enter(twin)
    assert error.value.hint == "inv lab.up"


def test_what_is_no_namespace_cannot_be_entered(twin, tmp_path):
    (tmp_path / "ha-lab-x").write_text("")
    with pytest.raises(PrecheckError, match=r"cannot enter the lab's network namespace .*/ha-lab-x: \S+") as error:
        enter(twin)
    assert "root" in error.value.hint


def test_entering_leaves_no_open_file_behind(twin, tmp_path):
    (tmp_path / "ha-lab-x").write_text("")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(PrecheckError):
        enter(twin)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---- everything that can connect goes past the guard

CONNECTING = {
    "run": lambda one: one.run(LB1, cmd("true")),
    "stream": lambda one: one.stream(LB1, cmd("true"), bytearray().extend),
    "run_each": lambda one: one.run_each({LB1: cmd("true")}),
    "guard": lambda one: one.guard(),
    "through": lambda one: one.through((GATEWAY,), ("10.1.1.11", 22), 1),
}
HARMLESS = {"abort", "close", "interrupt"}  # they only end what is open


def public(thing) -> set[str]:
    return {name for name, value in inspect.getmembers(thing) if not name.startswith("_") and inspect.isroutine(value)}


def test_every_way_to_connect_is_known_here():
    """Somebody who adds one has to show below that it goes past the guard."""
    assert public(Ssh) == CONNECTING.keys() | HARMLESS
    functions = {name for name in public(trust) if getattr(trust, name).__module__ == trust.__name__}
    assert functions == {"behind", "gateway_servers", "host_keys", "host_servers", "record"}
    assert {name for name in public(ssh) if getattr(ssh, name).__module__ == ssh.__name__} == set()


@pytest.mark.parametrize("name", CONNECTING)
@pytest.mark.parametrize("known", [True, False], ids=["known_hosts", "no known_hosts"])
def test_the_example_is_never_connected_to(name, known, tmp_path):
    known_hosts = tmp_path / "known_hosts"
    if known:
        known_hosts.write_text("")
    there = msgspec.structs.replace(example(), ssh=msgspec.structs.replace(example().ssh, known_hosts=known_hosts))
    one = Ssh(there)
    with pytest.raises(PrecheckError, match="example site"):
        CONNECTING[name](one)
    one.abort()
    one.close()


@pytest.mark.parametrize("name", CONNECTING)
def test_a_twin_is_never_connected_to_from_outside(name, twin):
    with pytest.raises(PrecheckError, match="outside the lab's network namespace"):
        CONNECTING[name](Ssh(twin))


@pytest.mark.parametrize("through", [None, GATEWAY])
def test_host_keys_of_the_example_are_never_asked_for(through):
    there = msgspec.structs.replace(example(), ssh=msgspec.structs.replace(example().ssh, gateway=through))
    for servers in (trust.gateway_servers(there, there.hosts), trust.host_servers(there, there.hosts), []):
        with pytest.raises(PrecheckError, match="example site"):
            trust.host_keys(there, servers)
