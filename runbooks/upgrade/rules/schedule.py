"""How long an upgrade takes: every step of every node with a spread, from past runs where there are some. Pure.

A stage is done when its longest lane is; the stages follow one another. All times are in seconds. A forecast is a window, never a moment:
``low`` and ``high`` are added up as if everything went well, or badly, at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from runbooks.text import counted

# Names of steps, by which their past runs are found: the title of a Step is "HOST: NAME". Each at most once on a host.
BACKUP = "backup"
FIRST_PACKAGES, FETCH = "install kubeadm", "fetch its packages and images"
PREPARING = frozenset({FIRST_PACKAGES, FETCH})
LB_OUT = "take it out of the load balancers"
APPLY, NODE, WORKER = "kubeadm upgrade apply", "kubeadm upgrade node", "kubeadm upgrade node (worker)"
LB_IN = "let the load balancers use it"
SERVING = "its API server and etcd are whole"
DRAIN, KUBELET, UNCORDON, GATE = "drain", "install and restart the kubelet", "uncordon", "it is back in service"

# Of fewer past runs, the spread says too little: it is widened to these parts of the typical time.
FEW, LEAST, MOST = 3, 0.7, 1.6


@dataclass(frozen=True, slots=True)
class Spread:
    """A duration, or a time after the start: at best, typically, at worst. ``source`` says what it is from."""

    low: float
    typical: float
    high: float
    source: str = ""

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.low + other.low, self.typical + other.typical, self.high + other.high)


@dataclass(frozen=True, slots=True)
class Default:
    """The time of a step of which there is no past run, and where it was measured."""

    name: str
    takes: Spread


LAB = "no past run; 1.36.2 to 1.36.3 on a busy lab, 2026-11-28"
GUESS = "no past run; assumed"
DEFAULTS = (
    Default(BACKUP, Spread(3, 10, 120, "no past run; a lab's small database takes 3 s")),
    Default(FIRST_PACKAGES, Spread(5, 10, 60, "no past run; 9 s on a lab with a repository beside it")),
    Default(FETCH, Spread(5, 20, 300, GUESS)),
    Default(LB_OUT, Spread(1, 3, 15, GUESS)),
    Default(APPLY, Spread(80, 126, 200, LAB)),
    Default(NODE, Spread(80, 110, 200, LAB)),
    Default(LB_IN, Spread(1, 3, 20, GUESS)),
    Default(SERVING, Spread(2, 10, 90, GUESS)),
    Default(WORKER, Spread(0.4, 1, 5, LAB)),
    Default(DRAIN, Spread(2, 30, 300, "no past run; assumed: what it takes is up to the pods and their budgets")),
    Default(KUBELET, Spread(2, 8, 60, "no past run; the restart took 1 to 3 s on a lab, the package comes on top")),
    Default(UNCORDON, Spread(0.5, 1, 5, GUESS)),
    Default(GATE, Spread(2, 10, 90, GUESS)),
)
UNKNOWN = Spread(1, 10, 120, "no past run, and never measured; assumed")


@dataclass(frozen=True, slots=True)
class Part:
    """One step on one host; ``host`` is "" for a step on none."""

    name: str
    host: str = ""

    @property
    def title(self) -> str:
        """The title of its Step."""
        return f"{self.host}: {self.name}" if self.host else self.name


Lane = Sequence[Part]  # steps one after the other
Stage = Sequence[Lane]  # lanes at the same time


@dataclass(frozen=True, slots=True)
class Planned:
    """One step: when it begins after the start of the run, and how long it takes."""

    part: Part
    begins: Spread
    takes: Spread

    @property
    def ends(self) -> Spread:
        """When it ends."""
        return self.begins + self.takes


@dataclass(frozen=True, slots=True)
class Schedule:
    """All steps in order, and how long they take in all."""

    steps: tuple[Planned, ...]
    total: Spread

    def begins(self, host: str, name: str) -> Spread | None:
        """Return when a step begins, None when it is not in the schedule: for "the drain of HOST stops after about N minutes"."""
        return next((each.begins for each in self.steps if each.part == Part(name, host)), None)

    def per_host(self) -> dict[str, Spread]:
        """Return how long each host is worked on, steps on no host left out."""
        found: dict[str, Spread] = {}
        for each in self.steps:
            if each.part.host:
                found[each.part.host] = found.get(each.part.host, Spread(0, 0, 0)) + each.takes
        return found

    def begun_within(self, seconds: float) -> tuple[str, ...]:
        """Return the hosts whose work typically begins within ``seconds``: those that a run with an end begins at all.

        What is only fetched is no work: it changes nothing that runs.
        """
        first: dict[str, float] = {}
        for each in self.steps:
            if each.part.host and each.part.name not in PREPARING:
                first.setdefault(each.part.host, each.begins.typical)
        return tuple(host for host, begins in first.items() if begins <= seconds)

    def assumed(self) -> tuple[str, ...]:
        """Return the names of the steps whose time is no past run's."""
        return tuple(dict.fromkeys(each.part.name for each in self.steps if each.takes.source.startswith("no past run")))


def takes(part: Part, past: Mapping[str, Sequence[float]], foreseen: Mapping[str, Spread] | None = None) -> Spread:
    """Return how long a step takes: from its host's own past runs, else as ``foreseen``, else from those of other hosts, else from `DEFAULTS`.

    ``past`` has the seconds of past runs by the steps' titles (`engine.past.past`), ``foreseen`` what is known of a step beforehand.
    """
    own = past.get(part.title, ())
    if foreseen and not own and part.title in foreseen:
        return foreseen[part.title]
    others = [seconds for title, those in past.items() if _name(title) == part.name for seconds in those]
    if own or others:
        return _spread(own or others, "this host" if own and part.host else "other hosts" if part.host else "")
    return next((each.takes for each in DEFAULTS if each.name == part.name), UNKNOWN)


def _name(title: str) -> str:
    return title.partition(": ")[2] or title


def _spread(seconds: Sequence[float], where: str) -> Spread:
    typical = median(seconds)
    low, high = min(seconds), max(seconds)
    if len(seconds) < FEW:
        low, high = min(low, typical * LEAST), max(high, typical * MOST)
    return Spread(low, typical, high, f"{counted(len(seconds), 'past run')}{f' of {where}' if where else ''}")


def schedule(
    stages: Iterable[Stage], past: Mapping[str, Sequence[float]], foreseen: Mapping[str, Spread] | None = None
) -> Schedule:
    """Return the schedule of ``stages``. A stage takes as long as its longest lane, at best, typically and at worst."""
    at, steps = Spread(0, 0, 0), []
    for stage in stages:
        ends = [at]
        for lane in stage:
            begins = at
            for part in lane:
                planned = Planned(part, begins, takes(part, past, foreseen))
                steps.append(planned)
                begins = planned.ends
            ends.append(begins)
        at = Spread(max(each.low for each in ends), max(each.typical for each in ends), max(each.high for each in ends))
    return Schedule(tuple(steps), at)


def stages(masters: Sequence[str], workers: Sequence[str], *, at_once: int = 1, backup: bool = True) -> list[Stage]:
    """Return the stages of an upgrade in its order.

    Backup; packages and images for all hosts at the same time; every control plane host's kubeadm step, one after the other (``masters``
    in their order: etcd's followers first, its leader last); then every node's kubelet, masters first; then one worker alone (the
    canary), then ``at_once`` workers at the same time.
    """
    groups = [workers[:1], *(workers[at : at + at_once] for at in range(1, len(workers), at_once))]
    return stages_left(masters, [*((name,) for name in masters), *groups], masters=masters, backup=backup)


def stages_left(
    kubeadm: Sequence[str],
    kubelets: Sequence[Sequence[str]],
    *,
    masters: Collection[str],
    backup: bool = True,
    applied: bool = False,
) -> list[Stage]:
    """Return the stages of what is left of an upgrade: the kubeadm step of ``kubeadm``, then the kubelets, group after group.

    ``masters``: all control plane hosts. ``applied``: `kubeadm upgrade apply` is done, so that the first one is an `upgrade node` too.
    """
    hosts = dict.fromkeys([*kubeadm, *(name for group in kubelets for name in group)])
    found: list[Stage] = [((Part(BACKUP),),)] if backup else []
    found += [tuple((Part(FIRST_PACKAGES, name), Part(FETCH, name)) for name in hosts)] if hosts else []
    for number, name in enumerate(kubeadm):
        step = NODE if number or applied else APPLY
        found.append((tuple(Part(each, name) for each in (LB_OUT, step, SERVING, LB_IN)),))
    for group in kubelets:
        lanes = [_kubelet(name) if name in masters else (Part(WORKER, name), *_kubelet(name)) for name in group]
        found += [tuple(lanes)] if lanes else []
    return found


def _kubelet(name: str) -> tuple[Part, ...]:
    return tuple(Part(each, name) for each in (DRAIN, KUBELET, UNCORDON, GATE))


# ---- words


def span(spread: Spread) -> str:
    """Return a duration as a window.

    >>> span(Spread(62, 100, 130)), span(Spread(1, 3, 4)), span(Spread(5400, 7200, 9000))
    ('1 to 3 min, most likely 2 min', '1 to 4 s, most likely 3 s', '90 to 150 min, most likely 120 min')
    >>> span(Spread(5, 40, 130))
    '5 s to 3 min, most likely 40 s'
    """
    if spread.high < 60:
        return f"{spread.low:.0f} to {spread.high:.0f} s, most likely {spread.typical:.0f} s"
    low = f"{spread.low // 60:.0f}" if spread.low >= 60 else f"{spread.low:.0f} s"
    typical = f"{round(spread.typical / 60)} min" if spread.typical >= 60 else f"{spread.typical:.0f} s"
    return f"{low} to {-int(-spread.high // 60)} min, most likely {typical}"


def window(total: Spread, begin: datetime) -> str:
    """Return when a run that begins at ``begin`` is over, in its own time zone.

    >>> window(Spread(600, 900, 1800), datetime(2026, 11, 28, 23, 30))
    'begun at 23:30, it ends between 23:40 and 00:00 (+1 day), most likely at 23:45'
    """
    ends = [begin + timedelta(seconds=each) for each in (total.low, total.high, total.typical)]
    low, high, typical = (_clock(each, begin) for each in ends)
    return f"begun at {begin:%H:%M}, it ends between {low} and {high}, most likely at {typical}"


def _clock(moment: datetime, begin: datetime) -> str:
    days = (moment.date() - begin.date()).days
    return f"{moment:%H:%M}" + (f" (+{counted(days, 'day')})" if days else "")
