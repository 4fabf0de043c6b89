"""Packages of the target: which repositories are switched, what is missing, asked by the real apt."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import prepare, upgrade_packages
from runbooks.commands.base import Answer
from runbooks.commands.files import File, Found
from runbooks.commands.packages import Broken
from runbooks.commands.upgrade_packages import Offers
from runbooks.errors import CommandError
from runbooks.rules.finding import at_least
from runbooks.upgrade import packages
from runbooks.upgrade.rules import packages as rules
from runbooks.upgrade.rules.packages import HostPackages
from tests.support.fakes import bash, lost, master
from tests.unit.upgrade.test_status import host

pytestmark = pytest.mark.unit

B = (1, 36, 3)
M1, M2 = master(1), master(2)
LIST, REPO = "/etc/apt/sources.list.d/kubernetes.list", "/etc/yum.repos.d/kubernetes.repo"
APT = (
    "deb [signed-by=/etc/apt/keyrings/k.gpg] https://a.example/core:/stable:/v1.35/deb/ /\n# deb https://a.example/v1.34/deb/ /\n"
)
DNF = """[kubernetes]
baseurl=https://a.example/core:/stable:/v1.35/rpm/
gpgkey=https://a.example/core:/stable:/v1.35/rpm/repodata/repomd.xml.key
exclude=kubelet kubeadm kubectl
"""
NEW = tuple((name, "1.36.3-1.1") for name in ("kubeadm", "kubelet", "kubectl"))


def found(**files):
    return {{"apt": LIST, "dnf": REPO}[name]: Found(content, "0644", "root:root") for name, content in files.items()}


def seen(where=M1, version="1.35.6", offered=NEW, broken=(), files=None, **facts):
    files = found(apt=APT) if files is None else files
    return HostPackages(
        versions=host(where, version, **facts), found=files, switch=rules.switch(files, B), offers=Offers(offered, broken)
    )


def said(each):
    return [f"{one.severity} {one.host}: {one.seen}" for one in each]


# ---- repositories


def test_a_repository_is_switched_in_apt_and_in_dnf():
    (apt, dnf) = rules.switch(found(apt=APT, dnf=DNF), B)
    assert apt == File(LIST, APT.replace("v1.35", "v1.36"), mode="0644", owner="root:root")
    assert dnf.content == DNF.replace("v1.35", "v1.36")
    assert "v1.34" in apt.content  # a comment stays


@pytest.mark.parametrize(
    "files",
    [
        found(apt=APT.replace("v1.35", "v1.36")),
        found(apt=APT, dnf=DNF.replace("v1.35", "v1.36")),  # another file has it
        found(apt="deb https://a.example/debian bookworm main\n"),
        found(apt="# deb https://a.example/v1.35/deb/ /\n"),
        found(apt="deb https://a.example/v1.35/ubuntu/ /\n"),
        {},
    ],
)
def test_nothing_to_switch(files):
    assert rules.switch(files, B) == ()


def test_of_several_minors_the_newest_is_replaced():
    files = found(apt=APT.replace("# ", ""), dnf=DNF.replace("v1.35", "v1.33"))
    (file,) = rules.switch(files, B)
    assert file.content == APT.replace("# ", "").replace("v1.35", "v1.36")


def test_the_switch_is_shown_as_a_diff():
    diff = seen().diff
    assert "-deb [signed-by=/etc/apt/keyrings/k.gpg] https://a.example/core:/stable:/v1.35/deb/ /" in diff
    assert "+deb [signed-by=/etc/apt/keyrings/k.gpg] https://a.example/core:/stable:/v1.36/deb/ /" in diff
    assert seen(files={}).diff == ""


LINES = st.lists(
    st.sampled_from(
        [*APT.splitlines(), *DNF.splitlines(), "deb http://b.example/v1.35/x y", "URIs: https://c.example/v1.35/deb", ""]
    )
)


@given(LINES, st.integers(20, 40))
def test_only_the_minor_changes_and_only_once(lines, new):
    content = "\n".join(lines)
    changed = rules.switched(content, 35, new)
    assert rules.minors(changed) == {new if each == 35 else each for each in rules.minors(content)}
    assert len(changed.splitlines()) == len(content.splitlines())
    for before, after in zip(content.splitlines(), changed.splitlines(), strict=True):
        assert before == after or (not before.startswith("#") and after == before.replace("v1.35", f"v1.{new}"))


# ---- findings


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (seen(), ["note master1: 1.36.3 is offered once /etc/apt/sources.list.d/kubernetes.list is switched to v1.36; not held now: kubeadm, kubectl"]),
        (seen(files={}, held=frozenset({"kubeadm", "kubelet", "kubectl"})), ["ok master1: 1.36.3 is offered"]),
        (seen(version="1.36.3", offered=()), ["ok master1: kubeadm, kubelet, kubectl 1.36.3 are installed"]),
        (seen(offered=NEW[:2]), ["fail master1: no repository as switched to its minor version offers kubectl 1.36.3 (there is none)"]),
        (
            seen(offered=tuple((name, "1.36.30-1.1") for name, _ in NEW), files={}),
            ["fail master1: no repository offers kubeadm, kubelet, kubectl 1.36.3 (there is 1.36.30-1.1); none of them has a minor version in its path, so none is switched"],
        ),
        (
            seen(offered=(), files={}, broken=(Broken("https://a.example/v1.36/deb", "is not signed"),)),
            [
                "fail master1: no repository offers kubeadm, kubelet, kubectl 1.36.3 (there is none); none of them has a minor version in its path, so none is switched",
                "fail master1: the repository https://a.example/v1.36/deb cannot be used: is not signed",
            ],
        ),
        (seen(files={}, held=frozenset({"kubeadm", "kubelet", "kubectl"}), broken=(Broken("x", "y"),)), ["ok master1: 1.36.3 is offered", "warn master1: the repository x cannot be used: y"]),
        (lost(M1), ["fail master1: no answer"]),
    ],
)  # fmt: skip
def test_findings(one, expected):
    assert said(rules.findings(B, {M1: one})) == expected


def test_with_an_rpm_version_too():
    rpm = tuple((name, "1.36.3-150500.1.1") for name, _ in NEW)
    assert not at_least("warn", rules.findings(B, {M1: seen(offered=rpm, files=found(dnf=DNF))}))


def test_what_every_host_is_offered():
    more = (*NEW, *((name, "1.36.4-1.1") for name, _ in NEW))
    assert rules.offered_everywhere({M1: seen(offered=more), M2: seen(M2)}) == {B}
    assert rules.offered_everywhere({M1: seen(offered=more), M2: lost(M2)}) == set()
    assert rules.offered_everywhere({}) == set()


# ---- asked on a host


def repository(top, minor, version):
    """A flat repository as the community's are laid out, without a signature."""
    folder = top / "core:" / "stable:" / f"v{minor}" / "deb"
    folder.mkdir(parents=True)
    text = "".join(
        f"Package: {name}\nVersion: {version}-1.1\nArchitecture: all\nMaintainer: a\nFilename: ./{name}.deb\nSize: 1\nMD5sum: {'0' * 32}\nDescription: x\n\n"
        for name in ("kubeadm", "kubelet", "kubectl")
    )
    (folder / "Packages").write_text(text)
    return f"deb [trusted=yes] file:{top}/core:/stable:/v{minor}/deb/ /\n"


needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")


@needs_apt
def test_the_real_apt_is_asked_for_the_switched_repository(tmp_path):
    tmp_path.chmod(0o755)
    line = repository(tmp_path, "1.35", "1.35.6")
    repository(tmp_path, "1.36", "1.36.3")
    files = {LIST: Found(line, "0644", "root:root")}
    probe = upgrade_packages.offers("1.36.3", rules.switch(files, B))
    offers = probe.parse(bash(f"proxies=()\n{probe.command.program}"))
    assert {name: offers.of(name) for name in ("kubeadm", "kubelet", "kubectl")} == dict.fromkeys(
        ("kubeadm", "kubelet", "kubectl"), ("1.36.3-1.1",)
    )
    assert rules.missing(B, seen(offered=offers.offered)) == []


@needs_apt
def test_a_repository_of_the_minor_that_is_not_there_is_named(tmp_path):
    files = {LIST: Found(repository(tmp_path, "1.35", "1.35.6"), "0644", "root:root")}
    probe = upgrade_packages.offers("1.36.3", rules.switch(files, B))
    offers = probe.parse(bash(f"proxies=()\n{probe.command.program}"))
    assert offers.offered == ()
    assert any("v1.36/deb" in each.repository for each in offers.broken)


def test_the_files_of_repositories_with_a_minor_are_found(tmp_path):
    for name, content in {
        "apt/sources.list": "deb http://a.example sid main\n",
        "apt/sources.list.d/k.list": APT,
        "yum.repos.d/k.repo": DNF,
        "yum.repos.d/x.repo": "baseurl=https://a/v1.x/rpm/\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    probe = upgrade_packages.sources()
    found_there = probe.parse(
        bash(probe.command.program.replace("/etc/apt", f"{tmp_path}/apt").replace("/etc/yum.repos.d", f"{tmp_path}/yum.repos.d"))
    )
    assert {path.removeprefix(str(tmp_path)): each.content for path, each in found_there.items()} == {
        "/apt/sources.list.d/k.list": APT,
        "/yum.repos.d/k.repo": DNF,
    }
    nothing = bash(probe.command.program.replace("/etc/", f"{tmp_path}/none/"))
    assert probe.parse(nothing) == {}


def test_only_the_programs_that_are_named_are_installed():
    program = prepare.pin_packages("1.36.3", programs=("kubeadm",)).program
    assert "PROGRAMS=(kubeadm)" in program
    assert "TOOLS=()" in program
    assert "PROGRAMS=(kubeadm kubelet kubectl)" in prepare.pin_packages("1.36.3").program


# ---- reading all hosts


class Hosts:
    def __init__(self, sources, offered):
        self.sources, self.offered, self.asked = sources, offered, []

    def read_each(self, probes):
        first = next(iter(probes.values())).command.shown if probes else ""
        if first.startswith("grep"):
            return {each: self.sources[each] for each in probes}
        self.asked = [probe.command.program for probe in probes.values()]
        return {each: self.offered[each] for each in probes}


def test_hosts_are_read_and_those_that_fail_have_their_error():
    m3 = master(3)
    run = Hosts({M1: found(apt=APT), m3: CommandError("master3: grep failed")}, {M1: Offers(NEW, ())})
    read = packages.look(run, B, {M1: host(M1, "1.35.6"), M2: lost(M2), m3: host(m3)})
    assert list(read) == [M1, M2, m3]
    assert read[M1] == seen()
    assert all(isinstance(read[each], Exception) for each in (M2, m3))
    assert "LISTS=(/etc/apt/sources.list.d/kubernetes.list)" in run.asked[0]


def test_the_switch_is_placed_with_its_diff():
    placed = []
    run = SimpleNamespace(read=lambda where, probe: found(apt=APT), place=lambda *words: placed.append(words))
    packages.switch_repositories(run, M1, B)
    ((where, files, there, command),) = placed
    assert (where, files[0].content, there) == (M1, APT.replace("v1.35", "v1.36"), found(apt=APT))
    assert command.shown == f"files-place {LIST}"
    run.read = lambda where, probe: found(apt=APT.replace("v1.35", "v1.36"))
    packages.switch_repositories(run, M1, B)
    assert len(placed) == 1


def test_a_line_that_is_no_offer_is_left_out():
    assert upgrade_packages.parse(
        Answer(0, "offered kubeadm\nother\ntrouble W: Key is stored in legacy trusted.gpg keyring\n")
    ) == Offers((), ())
