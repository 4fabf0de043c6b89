"""HAProxy or keepalived that is too old: one clear error before anything is configured."""

from types import SimpleNamespace

import pytest

from runbooks.commands import lb
from runbooks.commands.base import Answer, Probe, cmd
from runbooks.engine.loop import perform
from runbooks.errors import PrecheckError
from runbooks.lb.steps import install_packages
from runbooks.lb.wanted import Wanted
from runbooks.rules.lb import too_old
from tests.support.fakes import lb as load_balancer
from tests.support.fakes import run_on, site

pytestmark = pytest.mark.unit

GOOD = {"haproxy": "2.4.22-3.el9", "keepalived": "2.2.8-4.el9", "socat": "1.7.4.1-5.el9"}


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("1.8.27-5.el8", True),  # EL 8
        ("2.0.33-0ubuntu0.1", True),  # Ubuntu 20.04
        ("2.2.9-2+deb11u6", True),  # Debian 11
        ("2.4.22-3.el9", False),  # EL 9
        ("2.4.24-0ubuntu0.22.04.1", False),
        ("2.6.12-1+deb12u2", False),
        ("3.0.5-4.el10", False),
        ("1:2.6.1", False),  # an epoch is no version
        ("2:1.9", True),
        ("2.10.0", False),
        ("10.0", False),
        ("2.4", False),
        ("git20260101", False),  # a build without a version: haproxy -c decides
        ("", False),
    ],
)
def test_haproxy(version, old):
    said = too_old(GOOD | {"haproxy": version})
    assert said == (f"haproxy {version} is too old (2.4 or newer is needed)" if old else "")


@pytest.mark.parametrize(
    ("version", "old"), [("2.1.5-9.el8", True), ("1:2.0.19-2", True), ("1:2.2.7-1+b2", False), ("2.3.1", False)]
)
def test_keepalived(version, old):
    assert bool(too_old(GOOD | {"keepalived": version})) == old


def test_what_is_not_installed_is_not_too_old():
    assert too_old({}) == ""
    assert too_old({"socat": "1.0"}) == ""


def test_both_are_named():
    assert too_old({"haproxy": "1.8.27", "keepalived": "2.1.5"}) == (
        "haproxy 1.8.27 is too old (2.4 or newer is needed); keepalived 2.1.5 is too old (2.2 or newer is needed)"
    )


class Host:
    """A host with packages, and a package manager that offers the distribution's versions."""

    def __init__(self, installed: dict[str, str], offered: dict[str, str]) -> None:
        self.installed, self.offered, self.changes = installed, offered, 0

    def run(self, _, command):
        self.changes += 1
        self.installed = self.installed | self.offered
        return Answer(0, "")

    def run_each(self, commands):
        return dict.fromkeys(commands, Answer(0, "".join(f"{name} {version}\n" for name, version in self.installed.items())))


@pytest.fixture
def steps(monkeypatch):
    """The first step of lb.setup."""
    probe = Probe(cmd("packages"), lambda answer: SimpleNamespace(packages=lb.parse_installed(answer)))
    monkeypatch.setattr(Wanted, "look", probe)
    return lambda host: (install_packages(Wanted(site(), load_balancer(1), ())), run_on(host))


def test_an_old_one_that_is_installed_is_refused_before_anything_is_changed(steps):
    host = Host({"haproxy": "1.8.27-5.el8"}, GOOD)
    step, run = steps(host)
    with pytest.raises(PrecheckError, match=r"lb1: haproxy 1\.8\.27-5\.el8 is too old \(2\.4 or newer is needed\)") as refused:
        perform(run, step)
    assert host.changes == 0
    assert "newer" in refused.value.hint
    assert refused.value.exit_code == 3


def test_an_old_one_of_the_distribution_is_refused_after_its_installation(steps):
    host = Host({}, GOOD | {"keepalived": "2.1.5-9.el8"})
    step, run = steps(host)
    with pytest.raises(PrecheckError, match=r"keepalived 2\.1\.5-9\.el8 is too old"):
        perform(run, step)
    assert host.changes == 1


def test_recent_ones_are_installed_once(steps):
    host = Host({}, GOOD)
    step, run = steps(host)
    assert perform(run, step) == "changed"
    assert perform(run, step) == "nothing to do"
    assert host.changes == 1
