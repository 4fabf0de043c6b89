"""How etcd's leadership and its data files are cared for, step by step; `runbooks.etcd.tasks` has the commands.

Defragmentation is that of etcd's operations guide (maintenance, "Defragmentation"): one member after the other, the leader last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from runbooks.commands import etcd
from runbooks.commands.etcd import Member, Status
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.etcd.rules import data_file
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_leader import leader_of, next_leader
from runbooks.text import naming, size_text
from runbooks.view.etcd import view

STATUS_FIRST = "inv etcd.status shows every member"
# A member that was just defragmented, or a new leader, is whole again within seconds; a big data file takes longer to read back.
WHOLE_WITHIN_S = 120


def move_leader(target: Member, first: View) -> Procedure:
    """Return the procedure that makes ``target`` the leader."""

    def check(run: Run) -> None:
        next_leader(view(run), None, str(target), target)

    def done(run: Run) -> bool | Unmet:
        leader = leader_of(view(run))
        return True if leader == target.id else Unmet(f"{name_of(first, leader)} leads")

    def do(run: Run) -> None:
        hand_over(run, view(run), target)

    text = by_hand("etcd", "make_leader", member=target)
    step = Step(f"make {target} the leader", check=check, done=done, do=do, within=30, by_hand=text)
    title = f"Make {target} the leader of etcd (now {name_of(first, leader_of(first))})"
    return Procedure("etcd.move-leader", title, [step], inputs={"member": target.id})


def hand_over(run: Run, seen: View, target: Member) -> None:
    """Have the present leader, on its own host, hand over to ``target``."""
    leading = next((host for host, status in seen.statuses.items() if status.leads), None)
    if not leading:
        raise PrecheckError("the leader of etcd answers nobody, so it cannot hand over", hint=STATUS_FIRST)
    run.change(leading, etcd.move_leader(target.id))


@dataclass(frozen=True, slots=True)
class Policy:
    """Which members are defragmented, and when.

    reason  why a member has to be, or "" when it need not (any more).
    gate    raises PrecheckError when it must not be touched now.
    left    what is still wrong afterwards, so that the next one has to wait.
    unneeded   what to say of a member that need not be.
    """

    reason: Callable[[Status], str]
    gate: Callable[[Run, View, Host], None]
    left: Callable[[View, Host], Sequence[str]]
    unneeded: str = "too little to gain"


@dataclass(kw_only=True)
class Turn:
    """One member's turn: it leads no more, is defragmented, and is whole again."""

    host: Host
    policy: Policy
    touched: bool = False
    finished: bool = False
    noted: str = ""

    def need(self, seen: View) -> str:
        """Why the member has to be defragmented now, or ""."""
        status = seen.statuses.get(self.host)
        return self.policy.reason(status) if status and not self.finished else ""

    def steps(self, first: View) -> list[Step]:
        """The steps of this turn; handing over is one of them when the member leads at the start."""
        leads = first.statuses[self.host].leads and len(rules.voters(first.members)) > 1
        steps = [
            Step(
                "defragment",
                self.host,
                check=self.check,
                done=lambda run: not self.need(view(run)),
                do=self.do,
                within=30,
                by_hand=by_hand(
                    "etcd",
                    "defragment",
                    host=self.host,
                    worth_ratio=data_file.WORTH_RATIO,
                    worth_size=data_file.WORTH_SIZE,
                    near_quota=data_file.NEAR_QUOTA,
                ),
            ),
            Step(
                "is back, and not behind",
                self.host,
                done=self.back,
                within=WHOLE_WITHIN_S,
                by_hand=by_hand("etcd", "back", host=self.host, lag_allowed=rules.LAG_ALLOWED),
            ),
        ]
        return [self._hand_over(), *steps] if leads else steps

    def _hand_over(self) -> Step:
        return Step(
            "let another member lead",
            self.host,
            check=self.check_heir,
            done=self.leads_no_more,
            do=self.leave,
            within=30,
            by_hand=by_hand("etcd", "let_another_lead", host=self.host),
        )

    def check(self, run: Run) -> None:
        """Tell the numbers; refuse when it must not stand still, or leads."""
        seen = view(run)
        status = status_of(seen, self.host)
        reason = self.need(seen)
        if self.noted != (reason or self.policy.unneeded):  # this is asked again once the lock is ours
            self.noted = reason or self.policy.unneeded
            run.note(self.host, f"{data_file.sizes_text(status)}: {self.noted}")
        if reason:
            self.policy.gate(run, seen, self.host)
            if status.leads and len(rules.voters(seen.members)) > 1:
                raise PrecheckError(f"{self.host} has become the leader meanwhile", hint="run the same command again")

    def do(self, run: Run) -> None:
        """Defragment it, and tell what that gave."""
        before, started = status_of(view(run), self.host), monotonic()
        self.touched = not run.plan
        if run.change(self.host, etcd.defragment()) is None:
            return
        took = monotonic() - started
        self.finished = True
        after = status_of(view(run), self.host)
        run.note(self.host, f"{size_text(before.size)} -> {size_text(after.size)} in {took:.1f} s")

    def back(self, run: Run) -> bool | Unmet:
        """Whether the next member may have its turn."""
        return Unmet.of("; ".join(self.policy.left(view(run), self.host))) if self.touched else True

    def check_heir(self, run: Run) -> None:
        """Refuse before the leadership moves for nothing."""
        seen = view(run)
        if self.need(seen):
            self.policy.gate(run, seen, self.host)

    def leads_no_more(self, run: Run) -> bool | Unmet:
        """Whether it may be defragmented as far as the leadership goes."""
        seen = view(run)
        leader = leader_of(seen)
        if not leader:
            return Unmet("there is no leader just now")
        return leader != status_of(seen, self.host).member or not self.need(seen)

    def leave(self, run: Run) -> None:
        """Hand the leadership to the member that is furthest."""
        seen = view(run)
        hand_over(run, seen, next_leader(seen, self.host))


def defragment(hosts: Sequence[Host], first: View, *, force: bool = False) -> Procedure:
    """Return the procedure that defragments each of ``hosts`` where it is worth it, the leader last."""

    def reason(status: Status) -> str:
        return "it was asked for" if force else data_file.defrag_worthwhile(status)

    whole = Step("etcd is whole", check=lambda run: _whole(view(run), "a member"), by_hand=by_hand("etcd", "whole"))
    policy = Policy(reason, _may_pause, _faults)
    steps = [whole, *(step for host in turns(hosts, first) for step in Turn(host=host, policy=policy).steps(first))]
    inputs = {"hosts": sorted(host.name for host in hosts), "force": force}
    return Procedure("etcd.defrag", "Defragment etcd, one member after the other", steps, inputs=inputs)


def _whole(seen: View, who: str) -> None:
    """Nothing is wrong with any member: one that is defragmented answers nobody, so the others have to carry everything."""
    if faults := rules.faults(seen):
        alarmed = any(status.alarms for status in seen.statuses.values())
        text = "".join(f"\n  {fault}" for fault in faults)
        raise PrecheckError(
            f"etcd is not whole, and {who} would stand still while it is defragmented:{text}",
            hint="inv etcd.disarm" if alarmed else STATUS_FIRST,
        )


def _may_pause(run: Run, seen: View, host: Host) -> None:
    _whole(seen, str(host))
    if refusal := rules.refuse_pause(seen.members, rules.healthy_ids(seen), seen.statuses[host].member):
        raise PrecheckError(f"{host}: {refusal}", hint=STATUS_FIRST)


def _faults(seen: View, host: Host) -> Sequence[str]:
    return rules.faults(seen)


def turns(hosts: Sequence[Host], seen: View) -> list[Host]:
    """Return the order of turns. Raises PrecheckError when one of them does not answer."""
    return data_file.defrag_order({host: status_of(seen, host) for host in hosts})


def status_of(seen: View, host: Host) -> Status:
    """What the member on this host said. Raises PrecheckError when it said nothing."""
    if host not in seen.statuses:
        raise PrecheckError(naming(host, rules.why_unhealthy(seen, host)), hint=STATUS_FIRST)
    return seen.statuses[host]


def name_of(seen: View, member: str) -> str:
    """The name of the member with this ID."""
    return next((str(each) for each in seen.members if each.id == member), member or "nobody")
