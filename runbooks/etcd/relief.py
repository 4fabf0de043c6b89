"""The NOSPACE procedure, step by step; `inv etcd.disarm` is its command.

etcd's operations guide (maintenance, "Space quota"): compact to the current revision, defragment, disarm. A data file that reaches
its quota makes the whole cluster refuse writes (deletions and compactions are still taken).
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
from runbooks.etcd.steps import STATUS_FIRST, Policy, Turn, name_of, status_of, turns
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.text import MIB
from runbooks.view.etcd import some_healthy, view


def disarm(first: View) -> Procedure:
    """Return the NOSPACE procedure in full; nothing to do when there is no alarm."""
    relief = Relief(alarmed=bool(_alarms(first)))
    policy = Policy(relief.reason, relief.gate, relief.left, "no alarm")
    steps: list[Step | Together] = [
        Step("look at the alarms", check=relief.look, by_hand=by_hand("etcd", "look_at_alarms")),
        Step("compact everything that is old", done=relief.compacted, do=relief.compact, by_hand=by_hand("etcd", "compact")),
    ]
    for host in turns(list(first.statuses), first):
        steps += Turn(host=host, policy=policy).steps(first)
    steps += [
        Step(
            "there is room below the quota", check=relief.room, by_hand=by_hand("etcd", "room", near_quota=data_file.NEAR_QUOTA)
        ),
        Step(
            "disarm the alarm",
            done=lambda run: not _alarms(view(run)),
            do=relief.disarm,
            within=15,
            by_hand=by_hand("etcd", "disarm"),
        ),
        Step(
            "a write works",
            done=lambda run: not relief.alarmed or relief.proven,
            do=relief.prove,
            by_hand=by_hand("etcd", "prove", key=etcd.TEST_KEY),
        ),
    ]
    inputs = {"hosts": sorted(host.name for host in first.statuses)}
    return Procedure("etcd.disarm", "Make room in etcd and take back its NOSPACE alarm", steps, inputs=inputs)


@dataclass(kw_only=True)
class Relief:
    """What the steps of the procedure tell one another."""

    alarmed: bool
    finished: bool = False  # the compaction
    in_use: dict[Host, int] = field(default_factory=dict)
    proven: bool = False

    def look(self, run: Run) -> None:
        """See the alarms and the sizes; refuse what this procedure would make worse."""
        seen = view(run)
        self.alarmed = self.alarmed or bool(_alarms(seen))
        self.check(seen)
        for host, status in seen.statuses.items():
            kinds = "".join(f"; alarm {alarm.kind}" for alarm in status.alarms if alarm.member == status.member)
            run.note(host, f"{host}: {data_file.sizes_text(status)}{kinds}")
        for fault in rules.faults(seen):
            if self.alarmed and not fault.startswith("alarm "):
                run.note(next(iter(seen.said)), f"left as it is: {fault}")

    def check(self, seen: View) -> None:
        """A quorum, and no corruption. A member that is down hinders nothing: nothing can be written now anyway."""
        corrupt = [alarm for status in seen.statuses.values() for alarm in status.alarms if alarm.kind != "NOSPACE"]
        if corrupt:
            raise PrecheckError(
                f"alarm {corrupt[0].kind} of {name_of(seen, corrupt[0].member)}: its data differ from the others', "
                "and disarming would only hide that",
                hint="docs/etcd.md, Corruption: replace that member (inv cluster.remove, then inv cluster.join)",
            )
        votes = rules.voters(seen.members)
        well = [member for member in votes if member.id in rules.healthy_ids(seen)]
        if self.alarmed and len(well) < rules.quorum(len(votes)):
            raise PrecheckError(f"etcd has lost its quorum: {len(well)} of {len(votes)} voters are healthy", hint=STATUS_FIRST)

    def reason(self, status: Status) -> str:
        """Why a member has to be defragmented. Its "in use" is no guide: it is not renewed until the next write, and there is none."""
        return "the alarm is on" if self.alarmed else ""

    def gate(self, run: Run, seen: View, host: Host) -> None:
        """As `check`, before each member's turn."""
        self.check(seen)

    def left(self, seen: View, host: Host) -> list[str]:
        """Only this member has to be back: the others are as they were."""
        return list(filter(None, [rules.why_unhealthy(seen, host)])) if self.alarmed else []

    def compacted(self, run: Run) -> bool | Unmet:
        """Whether there is nothing to compact (any more). etcd waits for the asked member only; the others may still be at it."""
        if not self.alarmed:
            return True
        before, self.in_use = self.in_use, {host: status.in_use for host, status in view(run).statuses.items()}
        if not self.finished:
            return False
        still = [str(host) for host, size in self.in_use.items() if abs(size - before.get(host, 0)) > MIB]
        return Unmet(f"pages are still becoming free on {', '.join(still)}") if still else True

    def compact(self, run: Run) -> None:
        """Forget all old versions. While the alarm is on nothing new is written, so this is all that there is to gain."""
        seen = view(run)
        host = some_healthy(run, seen)
        try:
            run.change(host, etcd.compact(status_of(seen, host).revision))
        except CommandError as error:
            if "has been compacted" not in str(error):
                raise
        self.finished = not run.plan

    def room(self, run: Run) -> None:
        """Refuse to disarm when the alarm would come back with the next writes."""
        if not self.alarmed:
            return
        for host, seen in run.read_all(dict.fromkeys(view(run).statuses, metrics())).items():
            if reason := data_file.no_room(seen.size, seen.quota):
                raise PrecheckError(
                    f"{host}: {reason}, although it is compacted and defragmented; the alarm would come back at once",
                    hint="delete what fills it, or raise kubernetes.extra_args.etcd quota-backend-bytes (8 GiB at most); docs/etcd.md",
                )

    def disarm(self, run: Run) -> None:
        """Take the alarms back."""
        run.change(some_healthy(run), etcd.disarm())

    def prove(self, run: Run) -> None:
        """Write a key of our own and delete it."""
        host = some_healthy(run)
        try:
            run.change(host, etcd.write())
        except CommandError as error:
            raise OutcomeError(f"{host}: a write does not work: {error}", hint=STATUS_FIRST) from None
        run.change(host, etcd.forget())
        self.proven = not run.plan


def _alarms(seen: View) -> list[str]:
    return [fault for fault in rules.faults(seen) if fault.startswith("alarm NOSPACE")]
