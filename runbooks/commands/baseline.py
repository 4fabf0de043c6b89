"""What every host has besides, by `baseline` in hosts.yaml: read from a host, and the commands that change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe, batch, cmd, following, script
from runbooks.commands.files import File, Found
from runbooks.commands.packages import PATIENCE_S
from runbooks.commands.setup_look import TIME_SERVICES, AtBoot, at_boot
from runbooks.inventory.model import Site
from runbooks.inventory.words import sysctl_path

MINUTES: Final = 60
MADE: Final = 3  # values in a line of the record, after the path
HOSTS: Final = "/etc/hosts"
# By their names they come after others, and before the files of cluster.prepare and lb.setup: at boot the last one wins.
SYSCTL_FILE: Final = "/etc/sysctl.d/zz-ha-runbooks-baseline.conf"
RECORD: Final = "/var/lib/ha-runbooks/baseline/sysctls"  # what the kernel has made of values
MODULES_FILE: Final = "/etc/modules-load.d/ha-runbooks-baseline.conf"
CHRONY_FILE: Final = "/etc/chrony/conf.d/ha-runbooks.conf"
CHRONY_MAINS: Final = ("/etc/chrony/chrony.conf", "/etc/chrony.conf")  # Debian's family, Red Hat's
TIMESYNCD_FILE: Final = "/etc/systemd/timesyncd.conf.d/zz-ha-runbooks.conf"
APT_FILE: Final = "/etc/apt/apt.conf.d/90ha-runbooks-keep-off"
DNF_AUTOMATIC: Final = "/etc/dnf/automatic.conf"
PATHS: Final = (
    HOSTS,
    SYSCTL_FILE,
    MODULES_FILE,
    CHRONY_FILE,
    *CHRONY_MAINS,
    TIMESYNCD_FILE,
    APT_FILE,
    DNF_AUTOMATIC,
)
PACKAGE: Final = {"chrony": "chrony", "timesyncd": "systemd-timesyncd"}
UNITS: Final = {
    "chrony": ("chrony", "chronyd"),
    "timesyncd": ("systemd-timesyncd",),
}  # the first one is Debian's, the second Red Hat's
ENABLED: Final = frozenset({"enabled", "enabled-runtime", "alias", "static", "indirect", "generated"})


@dataclass(frozen=True, slots=True)
class Unit:
    """A time service's unit: LoadState, ActiveState and UnitFileState of systemd. ``barred``: it was to start, and its conditions kept it off."""

    load: str
    active: str
    enabled: str
    barred: bool


@dataclass(frozen=True, slots=True)
class Made:
    """What the kernel has made of a value of a sysctl that was ``written``: ``before`` and ``after`` that, with single blanks."""

    written: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one host has.

    files     those of PATHS that are there; ``links``: which of them are symbolic links, and are left alone.
    sysctls   the value in force by path, "missing", or "?" where it cannot be read; ``boot``: what the files set at the next boot.
    made      by path, what the kernel has made of a value, where that is another one.
    modules   "there", "loadable" or "missing"; ``barred``: the file in modprobe.d that keeps it from being loaded at boot.
    units     the time services by the names of their units; ``pending``: their configuration is newer than what they run with.
    more      other files in chrony's directory that name time servers.
    apt       whether the host has apt. ``cloud``: cloud-init writes /etc/hosts anew at every boot.
    """

    files: dict[str, Found]
    links: frozenset[str] = frozenset()
    sysctls: dict[str, str]
    boot: dict[str, AtBoot]
    modules: dict[str, str]
    barred: dict[str, str]
    units: dict[str, Unit]
    pending: bool = False
    more: tuple[str, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    apt: bool = False
    cloud: bool = False


NOTHING: Final = Seen(files={}, sysctls={}, boot={}, modules={}, barred={}, units={}, apt=True)  # a bare host of Debian's family


def look(site: Site) -> Probe[Seen]:
    """Read what a host has of what `baseline` may name, given there or not."""
    names = tuple(site.baseline.sysctls)
    variables = {
        "MODULES": site.baseline.modules,
        "SYSCTLS": [sysctl_path(name) for name in names],
        "TIME_SERVICES": TIME_SERVICES,
        "PATHS": PATHS,
        "CHRONY_FILE": CHRONY_FILE,
        "RECORD": RECORD,
    }
    own = Probe(script("baseline-look", variables, timeout=30, after=("module-look",)), lambda answer: answer)
    both = batch(files.found(PATHS), own)

    def parse_both(answer: Answer) -> Seen:
        there, said = both.parse(answer)
        return parse(files.regular(there), said, names)

    return Probe(replace(both.command, shown="baseline-look"), parse_both)


def parse(there: dict[str, Found], answer: Answer, names: Sequence[str]) -> Seen:
    """Parse lines of ``key value``; unknown keys are ignored. ``names``: the sysctls that were asked for. Raises ValueError for an incomplete line."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines() if line.strip()]

    def every(key: str) -> tuple[str, ...]:
        return tuple(text for name, text in lines if name == key)

    def pairs(key: str) -> dict[str, str]:
        found = [text.partition(" ")[::2] for text in every(key)]
        if any(not text for _, text in found):
            raise ValueError(f"baseline-look said {key} without a value")
        return dict(found)

    return Seen(
        files=there,
        links=frozenset(every("link")),
        sysctls={path: text.removeprefix("=") for path, text in pairs("sysctl").items()},
        boot=at_boot(every("boot"), names),
        modules=pairs("module"),
        barred=pairs("barred"),
        units={name: _unit(text) for name, text in pairs("unit").items()},
        pending="pending" in dict(lines),
        more=every("more"),
        made={path: Made(*rest) for path, *rest in (text.split("\t") for text in every("made")) if len(rest) == MADE},
        apt="apt" in dict(lines),
        cloud="cloud" in dict(lines),
    )


def _unit(text: str) -> Unit:
    load, active, enabled, barred = text.split(" ")
    return Unit(load, active, "" if enabled == "-" else enabled, barred == "yes")


def load_kernel(modules: Sequence[str], sysctls: Mapping[str, str]) -> Command:
    """Load ``modules``, apply our sysctl file, which sets ``sysctls``, and note what the kernel has made of them.

    Fails for a module or a sysctl that the kernel does not have.
    """
    values = {sysctl_path(name): " ".join(value.split()) for name, value in sysctls.items()}
    variables = {
        "MODULES": modules,
        "SYSCTL_FILE": SYSCTL_FILE if sysctls else "",
        "SYSCTLS": list(values),
        "VALUES": list(values.values()),
        "RECORD": RECORD,
    }
    return script("baseline-kernel", variables, timeout=2 * MINUTES)


def install_time(service: str) -> Command:
    """Install the package of a time service. Debian's packages replace one another."""
    variables = {"PACKAGES": [PACKAGE[service]], "PATIENCE": str(PATIENCE_S)}
    return script("packages-install", variables, timeout=15 * MINUTES, after=("packages",))


def place_time(wanted: Sequence[File]) -> Command:
    """Write the files of a time service, after a mark that what it runs with is older: `run_time` takes it away, and a reboot."""
    place = files.place(wanted)
    return following(script("baseline-time-mark"), place)


def remove_time(paths: Sequence[str]) -> Command:
    """Delete files of a time service, after the same mark."""
    return following(script("baseline-time-mark"), remove(paths))


def run_time(unit: str, others: Sequence[str]) -> Command:
    """Stop the units ``others``, now and at boot; start ``unit`` at boot and with its files now ("": restart what runs)."""
    return script("baseline-time", {"UNIT": unit, "OTHERS": others}, timeout=2 * MINUTES)


def remove(paths: Sequence[str]) -> Command:
    """Delete files of ours."""
    return cmd("rm", "-f", "--", *paths)
