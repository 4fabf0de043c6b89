"""What of `baseline` in hosts.yaml is not so on a host. Pure.

Never asks for anything that hosts.yaml does not name, but for what this tool itself has left of an earlier hosts.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from ipaddress import ip_address
from typing import Final

from runbooks.commands.baseline import CHRONY_MAINS, ENABLED, HOSTS, SYSCTL_FILE, UNITS, Seen, Unit
from runbooks.inventory.model import Site
from runbooks.inventory.words import Address, sysctl_path
from runbooks.rules import baseline_files as texts
from runbooks.rules import blocks
from runbooks.rules.baseline_files import PARTS, Files, Part, is_given
from runbooks.text import listed

RUNS: Final = frozenset({"active", "activating", "reloading"})
RANGES: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z")  # of ports or CPUs


@dataclass(frozen=True, slots=True)
class Off:
    """One thing that is not as hosts.yaml says. ``there`` None: it is missing; ``wanted`` None: it is left of an earlier hosts.yaml.

    ``by_hand``: what a person has to do, where no step brings it about; ``stops``: no step can begin before. ``path``: of a file that differs.
    """

    part: Part
    key: str
    _: KW_ONLY
    there: str | None
    wanted: str | None
    by_hand: str = ""
    stops: bool = False
    path: str = ""

    def __str__(self) -> str:
        return f"{self.key} is {'missing' if self.there is None else self.there}"


def off(site: Site, seen: Seen) -> list[Off]:
    """Return all that is not as hosts.yaml says, in the order of the parts."""
    return [each for part in PARTS for each in of_part(site, seen, part)]


def of_part(site: Site, seen: Seen, part: Part) -> list[Off]:
    """Return what of one part is not as hosts.yaml says."""
    return [*_of_files(seen, texts.of(site, seen, part), part), *BESIDE_FILES[part](site, seen)]


def due(site: Site, seen: Seen, part: Part) -> list[Off]:
    """Return what of one part a step can bring about."""
    return [each for each in of_part(site, seen, part) if not each.by_hand]


def parts(site: Site, seen: Seen | None = None) -> list[Part]:
    """Return the parts that hosts.yaml names, and those of which something is left of an earlier one. ``seen`` None: nobody has looked."""
    return [part for part in PARTS if is_given(site, part) or (seen and due(site, seen, part))]


def _of_files(seen: Seen, files: Files, part: Part) -> Iterator[Off]:
    for file in files.written:
        how = "different" if file.path in seen.files else None
        yield Off(part, file.path, there=how, wanted="as rendered", path=file.path)
    for path in files.gone:
        yield Off(part, path, there="left of an earlier hosts.yaml", wanted=None, path=path)
    for path, why in files.stopped:
        yield Off(part, path, there=f"left alone: {why}", wanted="as rendered", by_hand=f"correct {path}", stops=True)


# ---- names


def names(site: Site, address: Address, name: str) -> bool:
    """Return whether `baseline.hosts` gives ``name`` this address."""
    return any(ip_address(each) == address and name in those for each, those in site.baseline.hosts.items())


def _names(site: Site, seen: Seen) -> Iterator[Off]:
    if not site.baseline.hosts:
        return
    for name, address, line in beaten(site, seen):
        yield Off(
            "names",
            f"{HOSTS}: {name}",
            there=line,
            wanted=address,
            by_hand=f"delete the name from that line of {HOSTS}: it comes first",
        )
    if seen.cloud:
        fix = "write manage_etc_hosts: false into /etc/cloud/cloud.cfg.d/99-ha-runbooks.cfg"
        yield Off("names", HOSTS, there="written anew at every boot by cloud-init", wanted="kept", by_hand=fix)


def beaten(site: Site, seen: Seen) -> Iterator[tuple[str, str, str]]:
    """Yield name, wanted address and the one in force, of each name that an earlier line of /etc/hosts has for another address."""
    text = seen.files[HOSTS].content if HOSTS in seen.files else ""
    before = text.split(blocks.BEGIN)[0].split(blocks.JOINED)[0] if blocks.has_block(text) else text
    first: dict[tuple[str, int], str] = {}
    for line in before.splitlines():
        address, *found = line.partition("#")[0].split() or [""]
        version = _version(address)
        for name in found:
            first.setdefault((name.lower(), version), address)
    for address, names in site.baseline.hosts.items():
        for name in names:
            there = first.get((name, _version(address)))
            if there and ip_address(there) != ip_address(address):
                yield name, address, there


def _version(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        return 0


# ---- kernel


def _kernel(site: Site, seen: Seen) -> Iterator[Off]:
    for name, wanted in site.baseline.sysctls.items():
        there = seen.sysctls.get(sysctl_path(name), "missing")
        key = f"sysctl {name}"
        if there != "?" and not same_value(there, wanted) and not is_made_of(seen, name, there, wanted):
            yield Off("kernel", key, there=None if there == "missing" else " ".join(there.split()) or '""', wanted=wanted)
        boot = seen.boot.get(name)
        if boot and not same_value(boot.value, wanted) and outranks(boot.file):
            fix = f"remove that line from {boot.file}: it comes after ours at boot"
            yield Off("kernel", key, there=f"{boot.value} at the next boot ({boot.file})", wanted=wanted, by_hand=fix)
    for name in site.baseline.modules:
        if seen.modules.get(name) != "there":
            yield Off("kernel", f"module {name}", there="not loaded", wanted="loaded")
        if file := seen.barred.get(name):
            fix = f"remove that line from {file}"
            yield Off(
                "kernel", f"module {name}", there=f"not loaded at the next boot ({file} forbids it)", wanted="loaded", by_hand=fix
            )


# How many the kernel gets depends on its memory: fewer than hosts.yaml says are a difference.
# https://docs.kernel.org/admin-guide/mm/hugetlbpage.html
SCARCE: Final = frozenset({"vm/nr_hugepages", "vm/nr_hugepages_mempolicy"})
ROUNDED_BY: Final = 4096  # the largest step, for small values: entries of a hash table in whole pages


def is_made_of(seen: Seen, name: str, there: str, wanted: str) -> bool:
    """Return whether the kernel itself has made ``there`` of ``wanted``, as it rounds net.netfilter.nf_conntrack_buckets, by the host's record.

    Never says so of a value that the kernel may not have taken at all: that had been the same before, and is no rounding of ``wanted``.
    """
    path = sysctl_path(name)
    made = seen.made.get(path)
    if not made or path in SCARCE or there.split() != made.after.split() or wanted.split() != made.written.split():
        return False
    return made.before != made.after or _is_rounded(made.written, made.after)


def _is_rounded(written: str, after: str) -> bool:
    """Whether ``after`` may be the number ``written``, rounded: up to twice as much.

    >>> _is_rounded("262000", "262144"), _is_rounded("0x10", "16"), _is_rounded("1000", "65536"), _is_rounded("a", "b")
    (True, True, False, False)
    """
    try:
        number, found = int(written, 0), int(after)
    except ValueError:
        return False
    return number <= found <= max(2 * number, number + ROUNDED_BY)


def made_otherwise(site: Site, seen: Seen) -> Iterator[tuple[str, str, str]]:
    """Yield name, wanted value and the one in force of each sysctl of which the kernel has made another value."""
    for name, wanted in site.baseline.sysctls.items():
        there = seen.sysctls.get(sysctl_path(name), "")
        if not same_value(there, wanted) and is_made_of(seen, name, there, wanted):
            yield name, wanted, " ".join(there.split())


def same_value(there: str, wanted: str) -> bool:
    r"""Return whether two values of a sysctl are the same. The kernel sorts and joins lists of ports and CPUs.

    >>> same_value("8080,30000-32767", "30000-32767,8080"), same_value("4096\t1", "4096 1"), same_value("", "1")
    (True, True, False)
    """
    return there.split() == wanted.split() or (RANGES.match(there) is not None and _numbers(there) == _numbers(wanted))


def _numbers(text: str) -> list[tuple[int, int]] | None:
    """Return a list such as "1,3-5" as ranges that do not touch, sorted; None for any other text."""
    if not RANGES.match(text):
        return None
    found: list[tuple[int, int]] = []
    for low, _, high in sorted((each.partition("-") for each in text.split(",")), key=lambda each: int(each[0])):
        first, last = int(low), int(high or low)
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def outranks(file: str) -> bool:
    """Whether ``file`` comes after our own at boot: files are read in the order of their names, whatever directory they are in."""
    return file.rpartition("/")[2] > SYSCTL_FILE.rpartition("/")[2]


def dropped(site: Site, seen: Seen) -> list[str]:
    """Return the sysctls that our file on the host sets, and hosts.yaml no longer names: what they were before, nobody knows."""
    there = seen.files.get(SYSCTL_FILE)
    if not there or not texts.is_ours(there.content):
        return []
    lines = (line.partition("=")[0].strip() for line in there.content.splitlines() if not line.startswith("#"))
    kept = {sysctl_path(name) for name in site.baseline.sysctls}
    return [name for name in lines if name and sysctl_path(name) not in kept]


# ---- time


def unit_of(site: Site, seen: Seen) -> str:
    """Return the name of the wanted time service's unit, "" when it is not installed, or hosts.yaml names no time service."""
    time = site.baseline.time
    return next((name for name in UNITS[time.service] if name in seen.units), "") if time else ""


def others(site: Site, seen: Seen) -> list[str]:
    """Return the units of other time services that run, or would at the next boot."""
    time = site.baseline.time
    own = UNITS[time.service] if time else ()
    return [name for name, unit in seen.units.items() if time and name not in own and _stays(unit)]


def _stays(unit: Unit) -> bool:
    return unit.load != "masked" and (unit.active in RUNS or unit.enabled in {"enabled", "enabled-runtime"})


def _time(site: Site, seen: Seen) -> Iterator[Off]:
    time = site.baseline.time
    if seen.pending:
        yield Off("time", "time service", there="runs with an older configuration", wanted="its files")
    if not time:
        return
    name = unit_of(site, seen)
    if why := _not_running(seen.units[name]) if name else "not installed":
        masked = name and seen.units[name].load == "masked"
        fix = f"systemctl unmask {name}: somebody has masked it" if masked else ""
        yield Off("time", f"time service {time.service}", there=why, wanted="runs, also at boot", by_hand=fix, stops=bool(fix))
    for other in others(site, seen):
        yield Off("time", f"time service {other}", there="runs, or will at the next boot", wanted=f"only {time.service}")
    if time.service == "chrony" and time.servers and seen.more:
        fix = f"delete the servers there: hosts.yaml names all that count (they are not in {CHRONY_MAINS[0]})"
        yield Off("time", "time servers", there=f"others in {listed(seen.more)}", wanted=listed(time.servers), by_hand=fix)


def _not_running(unit: Unit) -> str:
    """Return why the wanted service is not as it should be, "" when it is. One that its conditions keep off runs on the machine below."""
    if unit.load == "masked":
        return "masked"
    if unit.enabled not in ENABLED:
        return f"not started at boot ({unit.enabled or 'unknown'})"
    return "" if unit.active in RUNS or unit.barred else f"{unit.active}"


BESIDE_FILES: Final[Mapping[Part, Callable[[Site, Seen], Iterator[Off]]]] = {
    "names": _names,
    "upgrades": lambda _site, _seen: iter(()),
    "kernel": _kernel,
    "time": _time,
}
