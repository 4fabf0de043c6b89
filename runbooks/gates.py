"""When a recovery is over: steps that end only once what was mended does its work again."""

from __future__ import annotations

from textwrap import shorten
from uuid import uuid4

from runbooks.commands import verify
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Site
from runbooks.rules import etcd as rules
from runbooks.rules.finding import at_least, told
from runbooks.rules.verify import written
from runbooks.text import first_few
from runbooks.view import etcd
from runbooks.view.cluster import Survey
from runbooks.view.health import look, write_through_vip, wrong

WHOLE_WITHIN_S = 180
WAITING_FOR = 70  # characters of each thing that is waited for
WITHIN_S = 180  # for pods of a cluster that was just built to become ready


def etcd_is_whole() -> Step:
    """Wait until nothing is wrong with any member: each healthy, a voter, none behind, all of one mind, no alarm.

    A host that has no member yet is not waited for: after a restore, one joins after the other.
    """

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("; ".join(rules.faults(rules.of_members(etcd.view(run)))))

    return Step(
        "etcd is whole: every member healthy, none behind",
        done=done,
        within=WHOLE_WITHIN_S,
        by_hand=by_hand("etcd", "etcd_is_whole", lag_allowed=rules.LAG_ALLOWED),
    )


def writes_through_vip(site: Site, survey: Survey) -> Step:
    """Write an object through the VIP and read it back, as any client would. Official health checks alone do not prove this."""

    def done(run: Run) -> bool | Unmet:
        api_host = survey.api_host(run)
        return True if api_host else Unmet(survey.why_none_serves(run))

    def works(run: Run) -> bool | Unmet:
        api_host = survey.serving(run)
        probe = verify.write(site, f"ha-runbooks-recover-{uuid4().hex[:8]}")
        row = written(api_host, run.read_each({api_host: probe}, fresh=True)[api_host])
        return Unmet(row.seen) if row.severity == "fail" else True

    def prove(run: Run) -> None:  # an API server that has just come back may be slow once
        until(lambda: works(run), within=60, poll=1)

    return Step(
        "write and read through the VIP",
        done=done,
        verify=prove,
        within=60,
        by_hand=by_hand("cluster", "writes_through_vip", endpoint=site.endpoint),
    )


def cluster_verified(site: Site) -> Step:
    """Return the step that waits until everything holds, and then writes through the VIP and reads it back."""

    def done(run: Run) -> bool | Unmet:
        found = wrong(run)
        lines = [shorten(told(each), WAITING_FOR, placeholder=" ...") for each in found]
        return Unmet("; ".join(first_few(lines, 3))) if found else True

    def prove(run: Run) -> None:
        if failing := at_least("fail", write_through_vip(run, look(run))):
            raise OutcomeError("; ".join(map(told, failing)), hint=failing[0].fix)

    return Step("verify the cluster", done=done, verify=prove, within=WITHIN_S, by_hand=by_hand("cluster", "verify", site=site))
