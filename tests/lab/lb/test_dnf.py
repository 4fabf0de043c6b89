"""A load balancer of the Red Hat family, as far as a Debian host can be one: real dnf and rpm, apt and dpkg taken away.

The packages are stand-ins with the names and versions of the real ones: what is proven here is how they are found, installed and
judged, not what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import pytest

from lab.control import Lab
from runbooks.commands import files, lb, packages, service_packages
from runbooks.commands.base import Answer, Command
from runbooks.commands.baseline import DNF_AUTOMATIC, NOTHING
from runbooks.inventory.settings_baseline import Baseline
from runbooks.rules import baseline_files as texts
from tests.lab.lb.test_setup import LBS, NEWER
from tests.support.fakes import site
from tests.support.operator import Operator

pytestmark = pytest.mark.lab

EL8 = {"haproxy": "1.8.27-5.el8", "keepalived": "2.1.5-9.el8", "socat": "1.7.4.1-1.el8"}
EL9 = {"haproxy": "2.4.22-3.el9", "keepalived": "2.2.8-4.el9", "socat": "1.7.4.1-5.el9"}

# dnf.conf is EL's own; the hosts' Debian has best=False there.
VENDOR = "[vendor]\nname=vendor\nbaseurl=file:///srv/vendor\ngpgcheck=0\n"
BECOME = """
set -eu
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends dnf rpm createrepo-c
printf '%s\n' '[main]' gpgcheck=1 clean_requirements_on_remove=True best=True skip_if_unavailable=False >/etc/dnf/dnf.conf
mkdir -p /srv/rpms /etc/yum.repos.d
printf '%s\n' '[rehearsal]' name=rehearsal baseurl=file:///srv/rpms gpgcheck=0 metadata_expire=0 >/etc/yum.repos.d/rehearsal.repo
rm /usr/bin/apt-get /usr/bin/dpkg-query
"""
PUBLISH = """
set -eu
work=$(mktemp -d)
while read -r name version release; do
    cat >"$work/$name.spec" <<SPEC
Name: $name
Version: $version
Release: $release
Summary: A stand-in
License: none
BuildArch: noarch
AutoReqProv: no
%description
A stand-in.
%install
mkdir -p %{buildroot}/opt/rehearsal %{buildroot}/usr/sbin
echo $version >%{buildroot}/opt/rehearsal/$name
printf '#!/bin/sh\\n# takes every configuration\\necho $version\\n' >%{buildroot}/usr/sbin/$name
chmod 755 %{buildroot}/usr/sbin/$name
%files
/opt/rehearsal/$name
/usr/sbin/$name
SPEC
done
rpmbuild --quiet -bb --define '_rpmdir /srv/rpms' --define "_topdir $work" "$work"/*.spec
createrepo_c -q /srv/rpms
"""
AUTOMATIC = """
import dnf
from dnf.automatic.main import AutomaticConfig
base = dnf.Base()
base.conf.read()
AutomaticConfig("/etc/dnf/automatic.conf").update_baseconf(base.conf)
print(*base.conf.excludepkgs)
"""


def publish(lab: Lab, host: str, versions: dict[str, str]) -> None:
    """Put stand-ins into the host's package repository, beside what is there."""
    lines = "".join(f"{name} {version.replace('-', ' ')}\n" for name, version in versions.items())
    lab.console(host, ["bash", "-c", PUBLISH], stdin=lines, check=True)


def run(lab: Lab, host: str, command: Command) -> str:
    """Run a command of the runbooks on the host's console, and return what it prints."""
    return lab.console(
        host, ["bash", "-o", "pipefail", "-s"], stdin=f"export LC_ALL=C; umask 077\n{command.program}", check=True
    ).stdout


def installed(lab: Lab, host: str) -> dict[str, str]:
    """Return what packages-found.sh finds."""
    return lb.parse_installed(Answer(0, run(lab, host, lb.installed().command)))


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two LBs with dnf whose distribution is as old as EL 8."""
    lab.reset(*LBS)

    def become(host: str) -> None:
        lab.console(host, ["bash", "-c", BECOME], check=True)
        publish(lab, host, EL8)

    with ThreadPoolExecutor() as pool:
        list(pool.map(become, LBS))
    yield Operator(lab, tmp_path_factory.mktemp("dnf"))
    lab.reset(*LBS)


def test_a_distribution_that_is_too_old_is_refused_in_one_clear_error(operator: Operator) -> None:
    before = {host: operator.lab.console(host, [*NEWER, "-name", "*ha-runbooks*"]).stdout for host in LBS}
    for _ in range(2):  # once installed by this, once found
        done = operator.inv("lb.setup")
        assert done.returncode == 3, done.stderr
        for host in LBS:
            assert (
                f"{host}: haproxy 1.8.27-5.el8 is too old (2.4 or newer is needed); "
                "keepalived 2.1.5-9.el8 is too old (2.2 or newer is needed)"
            ) in done.stderr
            assert installed(operator.lab, host) == EL8
        assert "upgrade the host, or add a package repository with a newer version" in done.stderr
        assert "Traceback" not in done.stderr
    assert {host: operator.lab.console(host, [*NEWER, "-name", "*ha-runbooks*"]).stdout for host in LBS} == before
    assert operator.inv("lb.setup", "--plan").returncode == 3


def test_with_newer_packages_it_goes_on(operator: Operator) -> None:
    for host in LBS:
        publish(operator.lab, host, EL9)
        operator.lab.console(host, ["dnf", "-q", "-y", "upgrade"], check=True)
        assert installed(operator.lab, host) == EL9
    plan = operator.good("lb.setup", "--plan")
    assert "lb1: install haproxy, keepalived, socat  [nothing to do" in plan
    assert "would run on lb1: lb-apply" in plan


def test_a_newer_package_is_tried_before_it_is_installed_and_the_old_one_is_put_back(operator: Operator) -> None:
    """What `upgrade.lb` does on a host; its steps are shown on the other family."""
    newer = EL9 | {"haproxy": "2.4.98-1.el9"}
    del newer["socat"]
    publish(operator.lab, "lb2", {"haproxy": "2.4.98-1.el9"})
    offered = service_packages.parse_choice(Answer(0, run(operator.lab, "lb2", service_packages.choice(list(newer)).command)))
    assert offered.candidate == {"haproxy": newer["haproxy"]}  # nothing is newer than the other one
    run(operator.lab, "lb2", service_packages.try_lb("lb", newer, {}, ["/etc/haproxy/haproxy.cfg"]))
    look = service_packages.look("lb", list(newer), ("haproxy",))
    assert look.parse(Answer(0, run(operator.lab, "lb2", look.command))).tried == newer
    assert installed(operator.lab, "lb2") == EL9
    run(operator.lab, "lb2", service_packages.put("lb", newer, ()))
    assert installed(operator.lab, "lb2") == EL9 | newer
    run(operator.lab, "lb2", service_packages.put_back("lb", newer, ()))
    assert installed(operator.lab, "lb2") == EL9
    # An older version that is named is installed as well.
    run(operator.lab, "lb2", service_packages.try_lb("lb", newer, {}, ["/etc/haproxy/haproxy.cfg"]))
    run(operator.lab, "lb2", service_packages.put("lb", newer, ()))
    older = {name: EL9[name] for name in newer}
    run(operator.lab, "lb2", service_packages.try_lb("lb", older, {}, ["/etc/haproxy/haproxy.cfg"]))
    run(operator.lab, "lb2", service_packages.put("lb", older, ()))
    assert installed(operator.lab, "lb2") == EL9
    operator.lab.console("lb2", ["bash", "-c", "rm /srv/rpms/*/haproxy-2.4.98* && createrepo_c -q /srv/rpms"], check=True)


def test_what_is_installed_keeps_its_version_when_the_rest_is_installed(operator: Operator) -> None:
    """An upgrade would restart a service of the pair that is in use. Another dnf is waited for; a broken repository is told."""
    publish(operator.lab, "lb1", {"haproxy": "2.4.99-1.el9"})
    operator.lab.console("lb1", ["dnf", "-q", "-y", "remove", "socat"], check=True)
    operator.lab.console("lb1", ["tee", "/etc/yum.repos.d/vendor.repo"], stdin=VENDOR, check=True)
    operator.lab.console("lb1", ["bash", "-c", "sleep 5 >/dev/null 2>&1 & echo $! >/var/cache/dnf/metadata_lock.pid"], check=True)
    waited, broken = packages.notes(Answer(0, run(operator.lab, "lb1", lb.install())))
    assert re.fullmatch(r"waited \d+ s for sleep \(process \d+\), which used the package manager", waited)
    assert broken.startswith("the package repository vendor cannot be used: Curl error (37)")
    assert installed(operator.lab, "lb1") == EL9


def test_installing_again_does_nothing(operator: Operator) -> None:
    asked = "dnf history list 2>/dev/null | wc -l"
    before = operator.lab.console("lb1", ["bash", "-c", asked]).stdout
    run(operator.lab, "lb1", lb.install())
    assert operator.lab.console("lb1", ["bash", "-c", asked]).stdout == before


def test_yum_without_dnf(operator: Operator) -> None:
    operator.lab.console("lb2", ["bash", "-c", "dnf -q -y remove haproxy && mv /usr/bin/dnf /usr/bin/yum"], check=True)
    run(operator.lab, "lb2", lb.install())
    assert installed(operator.lab, "lb2") == EL9


def test_dnf_automatic_leaves_out_what_baseline_keeps_off(operator: Operator) -> None:
    """By what dnf-automatic itself makes of its file, with an exclude of dnf.conf beside it."""
    given = msgspec.structs.replace(site(), baseline=Baseline(unattended_upgrades="keep-off"))
    there = files.parse_found(Answer(0, run(operator.lab, "lb1", files.found([DNF_AUTOMATIC]).command)))
    written = texts.of(given, replace(NOTHING, apt=False, files=there), "upgrades").written
    run(operator.lab, "lb1", files.place(written))
    operator.lab.console("lb1", ["bash", "-c", "echo exclude=kernel >>/etc/dnf/dnf.conf"], check=True)
    said = operator.lab.console("lb1", ["python3", "-c", AUTOMATIC], check=True).stdout
    assert set(said.split()) == {*texts.PACKAGES, "kernel"}


def test_a_package_that_no_repository_has_is_named(operator: Operator) -> None:
    operator.lab.console(
        "lb1",
        ["bash", "-c", "dnf -q -y remove keepalived && rm /srv/rpms/*/keepalived* && createrepo_c -q /srv/rpms"],
        check=True,
    )
    done = operator.inv("lb.setup")
    assert done.returncode == 1
    assert "Error: Unable to find a match: keepalived" in done.stderr
    assert "Errors during downloading metadata for repository 'vendor'" in done.stderr
