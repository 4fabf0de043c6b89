"""Steps that end a procedure: each waits until what was built or repaired works again."""

from __future__ import annotations

from textwrap import shorten

from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as rules
from runbooks.rules.finding import told
from runbooks.text import first_few
from runbooks.view import etcd
from runbooks.view.cluster import Survey
from runbooks.view.health import look, not_ready, write_through_vip, wrong

HEALTHY_WITHIN_S = 180
VERIFIED_WITHIN_S = 180  # the pods of a cluster that was just built become ready meanwhile
WRITTEN_WITHIN_S = 30  # hosts that have just been worked on may be slow: one write without an answer proves nothing
FINDING_WIDTH = 70  # characters of each finding in the line that says what is waited for


def etcd_is_healthy() -> Step:
    """Return the step that waits until every member is a healthy voter, all agree with one another, and there is no alarm.

    Hosts without a member are not waited for: after a restore they join one after the other.
    """

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("; ".join(rules.faults(rules.of_members(etcd.view(run)))))

    return Step(
        "every etcd member is healthy, none is behind",
        done=done,
        within=HEALTHY_WITHIN_S,
        by_hand=by_hand("etcd", "etcd_is_healthy", lag_allowed=rules.LAG_ALLOWED),
    )


def writes_through_vip(site: Site, survey: Survey) -> Step:
    """Return the step that waits for a ready API server, then writes an object through the VIP and reads it back.

    Health checks alone do not prove that a client can write.
    """

    def done(run: Run) -> bool | Unmet:
        return True if survey.api_host(run) else Unmet(survey.why_none_serves(run))

    def works(run: Run) -> bool | Unmet:
        row = write_through_vip(run, survey.serving(run))
        return Unmet(row.seen) if row.severity == "fail" else True

    def prove(run: Run) -> None:  # the first request to an API server that has just started may fail
        until(lambda: works(run), within=60, poll=1)

    return Step(
        "write and read through the VIP",
        done=done,
        verify=prove,
        within=60,
        by_hand=by_hand("cluster", "writes_through_vip", endpoint=site.endpoint),
    )


def cluster_verified(site: Site, *, joined_only: bool = False, fresh: bool = True) -> Step:
    """Return the step that waits until no check of `inv cluster.verify` fails, then writes through the VIP and reads it back.

    A new host's node and pods get ready last. Until they are, only these are asked for, from one API server: all other checks take
    the time of hosts that have just begun to work. ``joined_only``: hosts of hosts.yaml that have not joined are not waited for:
    nothing would join them meanwhile. ``fresh`` False: what the run has read since its last change is not read again.
    """
    readers = list(site.control_plane[:1])  # whose API server is asked

    def done(run: Run) -> bool | Unmet:
        found = [each for reader in readers for each in not_ready(run, reader, fresh=fresh)] if not joined_only else []
        if not found:
            seen = look(run, fresh=fresh)
            readers[:] = [seen.reader] if seen.reader else []
            found = wrong(site, seen, joined_only=joined_only)
        lines = [shorten(told(each), FINDING_WIDTH, placeholder=" ...") for each in found]
        return Unmet.of("; ".join(first_few(lines, 3)))

    def prove(run: Run) -> None:
        for reader in readers:  # right after a look in which nothing was wrong
            _written(run, reader)

    return Step(
        "verify the cluster", done=done, verify=prove, within=VERIFIED_WITHIN_S, by_hand=by_hand("cluster", "verify", site=site)
    )


def _written(run: Run, reader: Host) -> None:
    """Write through the VIP and read it back, again for a while when that fails. Raises OutcomeError with what was seen last."""
    rows = []

    def works() -> bool:
        rows.append(write_through_vip(run, reader))
        return rows[-1].severity != "fail"

    try:
        until(works, within=WRITTEN_WITHIN_S, poll=1)
    except OutcomeError:
        raise OutcomeError(told(rows[-1]), hint=rows[-1].fix) from None
