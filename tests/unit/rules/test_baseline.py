"""What of `baseline` is not so on a host, and which files bring it about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbooks import baseline as steps
from runbooks.commands import baseline as commands
from runbooks.commands.base import Answer
from runbooks.commands.baseline import (
    APT_FILE,
    CHRONY_FILE,
    CHRONY_MAINS,
    DNF_AUTOMATIC,
    HOSTS,
    MODULES_FILE,
    NOTHING,
    SYSCTL_FILE,
    TIMESYNCD_FILE,
    Made,
    Seen,
    Unit,
)
from runbooks.commands.files import Found
from runbooks.commands.setup_look import AtBoot
from runbooks.engine.steps import Together
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.rules import baseline, blocks
from runbooks.rules import baseline_files as texts
from tests.support.fakes import bash, master, site

pytestmark = pytest.mark.unit

MAIN, RED = CHRONY_MAINS
DEBIAN = "# Debian's\nconfdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\n  Server a.example\nsourcedir /run/chrony-dhcp\nrtcsync\n"
SERVER = ip_address("10.1.1.1")
RUNS = Unit("loaded", "active", "enabled", barred=False)


def with_(**keys: Any) -> Site:
    return msgspec.structs.replace(site(), baseline=Baseline(**keys))


def chrony(*servers: Any) -> Site:
    return with_(time=Time(service="chrony", servers=servers))


def file(content: str, mode: str = "0644", owner: str = "root:root") -> Found:
    return Found(content, mode, owner)


def on(seen: Seen = NOTHING, **files: str) -> Seen:
    """A host with these files: the names are those of the constants above."""
    return replace(seen, files={globals()[name]: file(text) for name, text in files.items()})


def written(of: Site, seen: Seen, part: texts.Part) -> dict[str, str]:
    return {each.path: each.content for each in texts.of(of, seen, part).written}


def put(of: Site, seen: Seen, part: texts.Part) -> Seen:
    """The host after the files were written."""
    found = texts.of(of, seen, part)
    there = seen.files | {each.path: Found(each.content, each.mode, each.owner) for each in found.written}
    return replace(seen, files={path: each for path, each in there.items() if path not in found.gone})


def keys(of: Site, seen: Seen) -> list[str]:
    return [each.key for each in baseline.off(of, seen)]


# ---- nothing is asked for that hosts.yaml does not name


def test_a_site_without_it_touches_nothing() -> None:
    seen = on(MAIN=DEBIAN, HOSTS="127.0.0.1 localhost\n", SYSCTL_FILE="vm.x = 1\n", DNF_AUTOMATIC="[base]\n")
    assert baseline.off(site(), replace(seen, units={"ntp": RUNS}, cloud=True, more=("x",))) == []
    assert baseline.parts(site()) == baseline.parts(site(), seen) == []


def test_the_parts_that_are_named_and_those_that_are_left() -> None:
    kernel = with_(modules=("ip_vs",))
    assert baseline.parts(kernel) == ["kernel"]
    left = put(with_(hosts={"10.1.1.5": ("a",)}), on(HOSTS="127.0.0.1 localhost\n"), "names")
    assert baseline.parts(kernel, left) == ["names", "kernel"]


# ---- files


def test_names_are_in_a_block_and_everything_else_stays() -> None:
    given = with_(hosts={"10.1.1.5": ("registry.example", "registry"), "fd00::1": ("six",)})
    before = replace(NOTHING, files={HOSTS: file("127.0.0.1 localhost", "0664", "root:adm")})
    after = put(given, before, "names")
    assert after.files[HOSTS].content == (
        f"127.0.0.1 localhost\n{blocks.JOINED}\n10.1.1.5\tregistry.example registry\nfd00::1\tsix\n{blocks.END}\n"
    )
    assert (after.files[HOSTS].mode, after.files[HOSTS].owner) == ("0664", "root:adm")
    assert baseline.off(given, after) == []
    assert put(site(), after, "names") == before


def test_a_name_that_an_earlier_line_has_is_a_persons_to_change() -> None:
    given = with_(hosts={"10.1.1.5": ("registry", "other"), "fd00::5": ("registry",)})
    seen = put(given, on(HOSTS="::1 registry # not this\n10.9.9.9 Registry # other\n10.1.1.5 other\n"), "names")
    (six, four) = sorted(baseline.off(given, seen), key=lambda each: str(each.wanted), reverse=True)
    assert (four.key, four.there, four.wanted) == (f"{HOSTS}: registry", "10.9.9.9", "10.1.1.5")
    assert (six.there, six.wanted) == ("::1", "fd00::5")
    assert all(each.by_hand for each in (four, six))
    assert baseline.due(given, seen, "names") == []


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (on(HOSTS="caf\N{REPLACEMENT CHARACTER}\n"), "not text in UTF-8"),
        (replace(NOTHING, links=frozenset({HOSTS})), "a symbolic link"),
        (on(HOSTS=f"{blocks.BEGIN}\n10.1.1.5 a\n"), "once each"),
    ],
)
def test_a_file_that_would_be_damaged_is_left_alone_and_named(seen: Seen, why: str) -> None:
    (one,) = baseline.off(with_(hosts={"10.1.1.5": ("a",)}), seen)
    assert one.stops
    assert why in str(one.there)


def test_cloud_init_writes_names_anew() -> None:
    given = with_(hosts={"10.1.1.5": ("a",)})
    (one,) = baseline.off(given, replace(put(given, NOTHING, "names"), cloud=True))
    assert "manage_etc_hosts: false" in one.by_hand


def test_sysctls_and_modules() -> None:
    given = with_(sysctls={"vm.max_map_count": "262144", "net/ipv4/tcp_rmem": "4096 1 2"}, modules=("ip_vs",))
    assert written(given, NOTHING, "kernel") == {
        MODULES_FILE: f"{texts.head('baseline.modules')}ip_vs\n",
        SYSCTL_FILE: f"{texts.head('baseline.sysctls')}vm.max_map_count = 262144\nnet/ipv4/tcp_rmem = 4096 1 2\n",
    }
    there = put(given, NOTHING, "kernel")
    assert keys(given, there) == ["sysctl vm.max_map_count", "sysctl net/ipv4/tcp_rmem", "module ip_vs"]
    right = replace(there, sysctls={"vm/max_map_count": "262144", "net/ipv4/tcp_rmem": "4096\t1\t2"}, modules={"ip_vs": "there"})
    assert baseline.off(given, right) == []
    unreadable = replace(right, sysctls=right.sysctls | {"vm/max_map_count": "?"})
    assert baseline.off(given, unreadable) == []


@pytest.mark.parametrize(
    ("there", "same"), [("", False), ("8080,30000-32767", True), ("8080,30000-32766", False), ("30000-32767", False)]
)
def test_a_list_of_ports_is_compared_as_the_kernel_keeps_it(there: str, same: bool) -> None:
    given = with_(sysctls={"net.ipv4.ip_local_reserved_ports": "30000-32000,32001-32767,8080"})
    seen = replace(put(given, NOTHING, "kernel"), sysctls={"net/ipv4/ip_local_reserved_ports": there})
    assert (baseline.due(given, seen, "kernel") == []) is same


def test_what_undoes_it_at_the_next_boot_is_named_when_it_comes_after_ours() -> None:
    given = with_(sysctls={"vm.swappiness": "1"}, modules=("ip_vs",))
    there = replace(put(given, NOTHING, "kernel"), sysctls={"vm/swappiness": "1"}, modules={"ip_vs": "there"})
    before = replace(there, boot={"vm.swappiness": AtBoot("60", "/etc/sysctl.d/99-vendor.conf")})
    assert baseline.off(given, before) == [], "ours comes after it"
    after = replace(
        there, boot={"vm.swappiness": AtBoot("60", "/run/sysctl.d/zzz.conf")}, barred={"ip_vs": "/etc/modprobe.d/x.conf"}
    )
    sysctl, module = baseline.off(given, after)
    assert (sysctl.there, sysctl.by_hand[:40]) == (
        "60 at the next boot (/run/sysctl.d/zzz.conf)",
        "remove that line from /run/sysctl.d/zzz.",
    )
    assert "/etc/modprobe.d/x.conf forbids it" in str(module.there)
    assert baseline.due(given, after, "kernel") == []


def test_the_file_of_cluster_prepare_and_of_lb_setup_come_after_ours() -> None:
    names = ["/etc/sysctl.d/zz-ha-runbooks-kubernetes.conf", "/etc/sysctl.d/zz-ha-runbooks-lb.conf"]
    assert all(baseline.outranks(name) for name in names)


def test_a_sysctl_that_hosts_yaml_no_longer_names() -> None:
    there = put(with_(sysctls={"vm.swappiness": "1", "vm.max_map_count": "262144"}), NOTHING, "kernel")
    assert baseline.dropped(with_(sysctls={"vm/max_map_count": "262144"}), there) == ["vm.swappiness"]
    assert texts.of(site(), there, "kernel").gone == (SYSCTL_FILE,)
    theirs = on(SYSCTL_FILE="vm.swappiness = 1\n")
    assert baseline.dropped(site(), theirs) == []
    assert texts.of(site(), theirs, "kernel").gone == (), "somebody else has written it"


def test_unattended_upgrades_with_apt() -> None:
    given = with_(unattended_upgrades="keep-off")
    text = written(given, NOTHING, "upgrades")[APT_FILE]
    assert '    "kubelet$";\n' in text
    assert '    "haproxy$";\n' in text
    assert baseline.off(given, put(given, NOTHING, "upgrades")) == []
    assert texts.of(site(), put(given, NOTHING, "upgrades"), "upgrades").gone == (APT_FILE,)
    assert written(given, replace(NOTHING, apt=False), "upgrades") == {}


DNF = "[commands]\napply_updates = yes\n\n[base]\ndebuglevel = 1\n"


@pytest.mark.parametrize("text", [DNF, "[commands]\n", DNF.replace("\n\n[base]", "\nexclude = x\n\n[base]")])
def test_unattended_upgrades_with_dnf_automatic(text: str) -> None:
    given, host = with_(unattended_upgrades="keep-off"), replace(on(DNF_AUTOMATIC=text), apt=False)
    after = put(given, host, "upgrades")
    lines = after.files[DNF_AUTOMATIC].content.split("\n")
    place = lines.index("excludepkgs = " + " ".join(texts.PACKAGES))
    assert next(line for line in reversed(lines[:place]) if line.startswith("[")) == "[base]"
    assert baseline.off(given, after) == []
    assert put(site(), after, "upgrades") == host


def test_what_dnf_automatic_leaves_out_already() -> None:
    given = with_(unattended_upgrades="keep-off")
    whole = replace(on(DNF_AUTOMATIC=f"{DNF}exclude={','.join(texts.PACKAGES)}\n"), apt=False)
    assert baseline.off(given, whole) == []
    (one,) = baseline.off(given, replace(on(DNF_AUTOMATIC=f"{DNF}exclude=kernel*\n"), apt=False))
    assert one.stops
    assert "exclude=kernel*" in str(one.there)


# ---- time


def test_chronys_own_servers_are_off_while_ours_are_asked_and_on_again_after() -> None:
    given, before = chrony(SERVER, "ntp.example"), on(MAIN=DEBIAN)
    after = put(given, before, "time")
    assert after.files[CHRONY_FILE].content == f"{texts.head('baseline.time')}server 10.1.1.1 iburst\nserver ntp.example iburst\n"
    assert after.files[MAIN].content == DEBIAN.replace("pool ", f"{blocks.OFF}pool ").replace(
        "  Server", f"{blocks.OFF}  Server"
    ).replace("sourcedir", f"{blocks.OFF}sourcedir")
    assert texts.of(given, after, "time") == texts.Files()
    for other in (site(), chrony(), with_(time=Time(service="timesyncd"))):
        assert put(other, after, "time") == before


def test_chrony_of_the_red_hat_family_includes_our_file() -> None:
    before = on(RED="pool 2.rhel.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp")
    after = put(chrony(SERVER), before, "time")
    assert after.files[RED].content.endswith(f"\ninclude {CHRONY_FILE}\n{blocks.END}\n")
    assert put(chrony(SERVER), after, "time") == after
    assert put(site(), after, "time") == before


def test_timesyncd_asks_only_these() -> None:
    given = with_(time=Time(service="timesyncd", servers=(SERVER,)))
    assert "NTP=\nNTP=10.1.1.1\nFallbackNTP=\n" in written(given, NOTHING, "time")[TIMESYNCD_FILE]
    assert written(with_(time=Time(service="timesyncd")), NOTHING, "time") == {}


@pytest.mark.parametrize(
    ("unit", "off"),
    [
        (RUNS, []),
        (replace(RUNS, active="inactive", barred=True), []),  # a container: the machine below keeps the clock
        (replace(RUNS, active="failed"), ["failed"]),
        (replace(RUNS, enabled="disabled"), ["not started at boot (disabled)"]),
        (replace(RUNS, load="masked", active="inactive", enabled="masked"), ["masked"]),
    ],
)
@pytest.mark.parametrize("name", ["chrony", "chronyd"])
def test_the_service_runs_now_and_at_boot(unit: Unit, off: list[str], name: str) -> None:
    found = baseline.off(chrony(), replace(NOTHING, units={name: unit}))
    assert [each.there for each in found] == off
    assert [each.stops for each in found] == [why == "masked" for why in off]


def test_a_service_that_is_not_there_and_one_beside_it() -> None:
    assert [each.there for each in baseline.off(chrony(), NOTHING)] == ["not installed"]
    beside = {
        "chrony": RUNS,
        "systemd-timesyncd": RUNS,
        "ntp": replace(RUNS, active="inactive"),
        "openntpd": replace(RUNS, active="inactive", enabled="disabled"),
        "ntpsec": Unit("masked", "inactive", "masked", barred=False),
    }
    seen = replace(NOTHING, units=beside)
    assert baseline.others(chrony(), seen) == ["systemd-timesyncd", "ntp"]
    assert keys(chrony(), seen) == ["time service systemd-timesyncd", "time service ntp"]
    assert baseline.unit_of(chrony(), seen) == "chrony"


def test_a_configuration_that_the_service_has_not_read_is_due_also_when_hosts_yaml_names_none() -> None:
    seen = replace(NOTHING, pending=True)
    assert baseline.parts(site(), seen) == ["time"]


def test_other_files_with_servers_are_named() -> None:
    given = chrony(SERVER)
    seen = replace(put(given, NOTHING, "time"), units={"chrony": RUNS}, more=("/etc/chrony/conf.d/theirs.conf",))
    (one,) = baseline.off(given, seen)
    assert one.by_hand
    assert "theirs.conf" in str(one.there)


# ---- which steps there are


@dataclass
class Reads:
    """Answers every probe of a host with what is there, or with its error."""

    site: Site
    there: dict[Host, Seen | RunbookError]

    def read_each(self, probes: Any) -> dict[Host, Seen | RunbookError]:
        return {host: self.there[host] for host in probes}

    read_all = read_each


def test_a_host_that_cannot_be_read_has_no_leftovers_and_the_others_keep_theirs() -> None:
    left = put(with_(modules=("ip_vs",)), NOTHING, "kernel")
    run: Any = Reads(site(), {master(1): left, master(2): RunbookError("no route"), master(3): NOTHING})
    found = steps.leftovers(run, site().control_plane)
    assert found == {master(1): ["kernel"], master(2): [], master(3): []}
    (one,) = steps.steps(site(), site().control_plane, found)
    assert isinstance(one, Together)
    assert [each.host for each in one.steps] == [master(1)]


def test_each_part_is_a_step_on_all_hosts_together() -> None:
    given = with_(modules=("ip_vs",), hosts={"10.1.1.5": ("a",)})
    found = steps.steps(given, site().control_plane)
    assert [len(each.steps) for each in found if isinstance(each, Together)] == [3, 3]
    assert [[each.name for each in those] for those in steps.by_host(given, [master(1)]).values()] == [
        ["names in /etc/hosts (baseline)", "own sysctls and modules (baseline)"]
    ]
    assert steps.steps(site(), site().control_plane) == []


def test_what_only_a_person_can_change_has_a_step_that_says_so() -> None:
    given = with_(hosts={"10.1.1.5": ("a",)})
    linked = replace(NOTHING, links=frozenset({HOSTS}))
    run: Any = Reads(given, {master(1): linked})
    assert baseline.due(given, linked, "names") == []
    assert [step.name for step in steps.differing(run, [master(1)])[master(1)]] == [steps.TITLES["names"]]


# ---- what a host says


def test_what_a_host_says_is_read() -> None:
    said = (
        f"link {HOSTS}\nmodule ip_vs loadable\nbarred ip_vs /etc/modprobe.d/a.conf\nsysctl vm/swappiness =60\nsysctl net/ipv4/tcp_rmem =4096\t1 2\n"
        "sysctl net/ipv4/ip_local_reserved_ports =\nsysctl net/none missing\nsysctl net/hidden ?\n"
        "boot # /etc/sysctl.d/a.conf\nboot vm.swappiness=10\nunit chrony loaded active enabled no\nunit ntp masked inactive - yes\n"
        "pending yes\nmore /etc/chrony/conf.d/a b.conf\napt yes\ncloud yes\nnews of tomorrow\n"
    )
    there = {HOSTS: file("x")}
    assert commands.parse(there, Answer(0, said), ["vm.swappiness", "net.ipv4.tcp_rmem"]) == Seen(
        files=there,
        links=frozenset({HOSTS}),
        sysctls={
            "vm/swappiness": "60",
            "net/ipv4/tcp_rmem": "4096\t1 2",
            "net/ipv4/ip_local_reserved_ports": "",
            "net/none": "missing",
            "net/hidden": "?",
        },
        boot={"vm.swappiness": AtBoot("10", "/etc/sysctl.d/a.conf")},
        modules={"ip_vs": "loadable"},
        barred={"ip_vs": "/etc/modprobe.d/a.conf"},
        units={"chrony": RUNS, "ntp": Unit("masked", "inactive", "", barred=True)},
        pending=True,
        more=("/etc/chrony/conf.d/a b.conf",),
        apt=True,
        cloud=True,
    )
    with pytest.raises(ValueError, match="without a value"):
        commands.parse({}, Answer(0, "sysctl x\n"), [])


# ---- values of sysctls that the kernel rounds

BUCKETS = "net.netfilter.nf_conntrack_buckets"


def rounded(written: str, before: str, after: str, there: str, name: str = BUCKETS) -> list[str]:
    path = name.replace(".", "/")
    seen = replace(NOTHING, sysctls={path: there}, made={path: Made(written, before, after)})
    return [str(each) for each in baseline.off(with_(sysctls={name: "262000"}), seen) if each.key.startswith("sysctl")]


@pytest.mark.parametrize(
    ("made", "there", "differs"),
    [
        (("262000", "65536", "262144"), "262144", False),  # rounded by the kernel
        (("262000", "262144", "262144"), "262144", False),  # the same, written again
        (("262000", "65536", "262144"), "131072", True),  # somebody has changed it since
        (("262000", "65536", "65536"), "65536", True),  # the kernel has not taken it
        (("131000", "65536", "131072"), "131072", True),  # hosts.yaml has another value by now
    ],
)
def test_what_the_kernel_has_made_of_a_value_is_no_difference(made: tuple[str, str, str], there: str, *, differs: bool) -> None:
    assert bool(rounded(*made, there)) == differs


def test_fewer_huge_pages_than_wanted_stay_a_difference() -> None:
    assert rounded("262000", "0", "100", "100", "vm.nr_hugepages")


def test_the_kernel_s_values_are_noted_where_they_differ(tmp_path: Path) -> None:
    program = commands.load_kernel((), {"a.rounded": "1001", "a.exact": "5  6", "a.gone": "1"}).program
    tree, record = tmp_path / "sys", tmp_path / "noted/sysctls"
    (tree / "a").mkdir(parents=True)
    (tree / "a/rounded").write_text("8\n")
    (tree / "a/exact").write_text("1\t2\n")
    fake = f"sysctl() {{ echo 1004 >{tree}/a/rounded; printf '5\\t6\\n' >{tree}/a/exact; }}\n"
    here = fake + program.replace("/proc/sys", str(tree)).replace(commands.RECORD, str(record))
    assert bash(here).exited == 0
    assert record.read_text() == "a/rounded\t1001\t8\t1004\n"
    assert bash(here).exited == 0
    assert record.read_text() == "a/rounded\t1001\t8\t1004\n", "the first run has seen more"
    (tree / "a/rounded").write_text("9\n")
    assert bash(here.replace("echo 1004", "echo 1001")).exited == 0
    assert not record.exists()
