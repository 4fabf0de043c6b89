"""What was seen during a drill, as it is kept in JSON beside the run's report. Times are in seconds since 1970 by this machine's clock."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the hosts and Prometheus said at one moment, while the fault was there and until the cluster had recovered.

    there      whether the fault was in place on its host; None when that could not be asked.
    holders    the load balancers that hold the VIP, None when one of them could not be asked: then it is not known who holds it.
    leader     the host of etcd's leader and ``term``; "" and 0 when not known.
    not_ready  the nodes that are not Ready, None when no API server said.
    down       of each load balancer that answered, the API servers that it does not use.
    syncs      how often etcd of the host that is broken has synced its log since it started, and how many of these were slow; None when not asked,
               or not known.
    alerts     the names of the scenario's alerts that fire, None when Prometheus was not asked or did not answer.
    """

    at_s: float
    there: bool | None = None
    holders: tuple[str, ...] | None = None
    leader: str = ""
    term: int = 0
    not_ready: tuple[str, ...] | None = None
    down: dict[str, tuple[str, ...]] = field(default_factory=dict)
    alerts: tuple[str, ...] | None = None
    syncs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The course of a drill; a time is None for what did not happen, or was not seen to its end.

    lab          whether it was carried out on a twin.
    injected_s   when the injection had succeeded; ``injecting_s``: when it began.
    held_s       when the fault was last seen in place before the heal. ``healed_s``: when it was gone; ``healing_s``: when the heal began.
    recovered_s  when everything was verified. ``unwell_s``: when something was missing last; ``missing``: what that was.
    fired_before the scenario's alerts that fired before the injection: they say nothing.
    """

    scenario: str
    host: str
    lab: bool = False
    samples: tuple[Sample, ...] = ()
    injecting_s: float | None = None
    injected_s: float | None = None
    held_s: float | None = None
    healing_s: float | None = None
    healed_s: float | None = None
    recovered_s: float | None = None
    unwell_s: float | None = None
    missing: str = ""
    fired_before: tuple[str, ...] | None = None
