"""The procedure of `inv etcd.disarm`: make room in etcd, then disarm its NOSPACE alarm.

Source: https://etcd.io/docs/v3.5/op-guide/maintenance/#space-quota. When one data file reaches its quota, the whole cluster refuses
writes; only reading, deleting and compacting still work. So: compact to the current revision, defragment, disarm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runbooks.commands import etcd
from runbooks.commands.etcd import Status
from runbooks.commands.etcd_metrics import metrics
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError, OutcomeError, PrecheckError
from runbooks.etcd.rules import data_file
from runbooks.etcd.steps import STATUS_FIRST, DefragPolicy, MemberDefrag, defrag_order, name_of, status_of
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules import etcd_corrupt
from runbooks.rules.etcd import View
from runbooks.text import MIB, listed
from runbooks.view.etcd import some_healthy, view


def disarm(first: View) -> Procedure:
    """Return the procedure. Without an alarm its steps have nothing to do.

    Never disarms a CORRUPT alarm, nor while a data file is still near its quota, nor without a majority of healthy voters.
    """
    recovery = NospaceRecovery(alarmed=_has_alarm(first))
    policy = DefragPolicy(recovery.reason, recovery.refuse, recovery.faults, "no alarm")
    steps: list[Step | Together] = [
        Step("check the alarms and the quorum", check=recovery.check, by_hand=by_hand("etcd", "check_alarms")),
        Step("compact old revisions", done=recovery.compacted, do=recovery.compact, by_hand=by_hand("etcd", "compact")),
    ]
    for host in defrag_order(list(first.statuses), first):
        steps += MemberDefrag(host=host, policy=policy).steps(first)
    steps += [
        Step(
            "check that every data file is below its quota",
            check=recovery.check_sizes,
            by_hand=by_hand("etcd", "below_quota", near_quota=data_file.NEAR_QUOTA),
        ),
        Step(
            "disarm the alarm",
            done=lambda run: not _has_alarm(view(run)),
            do=_disarm,
            within=15,
            by_hand=by_hand("etcd", "disarm"),
        ),
        Step(
            "write and delete a test key",
            done=lambda run: not recovery.alarmed or recovery.proven,
            do=recovery.prove,
            by_hand=by_hand("etcd", "test_write", key=etcd.TEST_KEY),
        ),
    ]
    inputs = {"hosts": sorted(host.name for host in first.statuses)}
    return Procedure("etcd.disarm", "Make room in etcd and disarm its NOSPACE alarm", steps, inputs=inputs)


@dataclass(kw_only=True)
class NospaceRecovery:
    """What the steps do, and what they have to know of one another. ``in_use`` has the sizes in bytes of the last look."""

    alarmed: bool
    compaction_done: bool = False
    in_use: dict[Host, int] = field(default_factory=dict)
    proven: bool = False

    def check(self, run: Run) -> None:
        """Note every member's sizes and alarms, and the faults that stay. Raises PrecheckError as `require` does."""
        seen = view(run)
        self.alarmed = self.alarmed or _has_alarm(seen)
        self.require(seen)
        for host, status in seen.statuses.items():
            kinds = "".join(f"; alarm {alarm.kind}" for alarm in status.alarms if alarm.member == status.member)
            run.note(host, f"{host}: {data_file.sizes_text(status)}{kinds}")
        for fault in rules.faults(seen):
            if self.alarmed and not fault.startswith("alarm "):
                run.note(next(iter(seen.said)), f"not repaired here: {fault}")

    def require(self, seen: View) -> None:
        """Raise PrecheckError for an alarm other than NOSPACE, or without a majority of healthy voters.

        A member that is down does not matter: nothing can be written anyway.
        """
        corrupt = [alarm for status in seen.statuses.values() for alarm in status.alarms if alarm.kind != "NOSPACE"]
        if corrupt:
            raise PrecheckError(
                f"alarm {corrupt[0].kind} of {name_of(seen, corrupt[0].member)}: its data differ from the other members'; "
                "disarming would only hide this",
                hint=etcd_corrupt.after(seen),
            )
        votes = rules.voters(seen.members)
        healthy = [member for member in votes if member.id in rules.healthy_ids(seen)]
        if self.alarmed and len(healthy) < rules.quorum(len(votes)):
            raise PrecheckError(f"etcd has lost its quorum: {len(healthy)} of {len(votes)} voters are healthy", hint=STATUS_FIRST)

    def reason(self, status: Status) -> str:
        """Return why a member has to be defragmented. Its size in use does not count: etcd updates it with the next write only."""
        return "the alarm is on" if self.alarmed else ""

    def refuse(self, run: Run, seen: View, host: Host) -> None:
        """Raise as `require` does, before each member."""
        self.require(seen)

    def faults(self, seen: View, host: Host) -> list[str]:
        """Return what is wrong with this member only: the others may be as unhealthy as before."""
        return list(filter(None, [rules.why_unhealthy(seen, host)])) if self.alarmed else []

    def compacted(self, run: Run) -> bool | Unmet:
        """Return whether no pages become free any more, on any member: etcd waits for the member that was asked only."""
        if not self.alarmed:
            return True
        before, self.in_use = self.in_use, {host: status.in_use for host, status in view(run).statuses.items()}
        if not self.compaction_done:
            return False
        still = [host for host, size in self.in_use.items() if abs(size - before.get(host, 0)) > MIB]
        return Unmet(f"pages are still becoming free on {listed(still)}") if still else True

    def compact(self, run: Run) -> None:
        """Compact to the current revision."""
        seen = view(run)
        host = some_healthy(run, seen)
        try:
            run.change(host, etcd.compact(status_of(seen, host).revision))
        except CommandError as error:
            if "has been compacted" not in str(error):
                raise
        self.compaction_done = not run.plan

    def check_sizes(self, run: Run) -> None:
        """Raise PrecheckError when a data file is still so big that the alarm would come back with the next writes."""
        if not self.alarmed:
            return
        for host, counted in run.read_all(dict.fromkeys(view(run).statuses, metrics())).items():
            if reason := data_file.no_room(counted.size, counted.quota):
                raise PrecheckError(
                    f"{host}: {reason}, although it is compacted and defragmented; the alarm would come back at once",
                    hint="delete what fills it, or raise kubernetes.extra_args.etcd quota-backend-bytes (8 GiB at most); docs/etcd.md",
                )

    def prove(self, run: Run) -> None:
        """Write a key and delete it. Raises OutcomeError when the write fails."""
        host = some_healthy(run)
        try:
            run.change(host, etcd.write_test_key())
        except CommandError as error:
            raise OutcomeError(f"{host}: writing to etcd fails: {error}", hint=STATUS_FIRST) from None
        run.change(host, etcd.delete_test_key())
        self.proven = not run.plan


def _disarm(run: Run) -> None:
    run.change(some_healthy(run), etcd.disarm())


def _has_alarm(seen: View) -> bool:
    return any(alarm.kind == "NOSPACE" for status in seen.statuses.values() for alarm in status.alarms)
