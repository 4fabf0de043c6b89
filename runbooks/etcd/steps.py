"""Moving etcd's leadership, and defragmenting its data files.

Source: https://etcd.io/docs/v3.5/op-guide/maintenance/#defragmentation. One member after the other, the leader last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from runbooks.commands import etcd
from runbooks.commands.etcd import Member, Status
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.etcd.rules import data_file
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
from runbooks.rules.etcd_leader import leader_of, next_leader
from runbooks.text import naming, size_text
from runbooks.view.etcd import view

STATUS_FIRST = "inv etcd.status shows every member"
# After defragmentation or an election a member is healthy within seconds; with a big data file it takes longer.
HEALTHY_WITHIN_S = 120
ANSWER_WITHIN_S = 20  # an election takes some seconds, and a member on a busy host may leave one question without an answer


def move_leader(target: Member, first: View) -> Procedure:
    """Return the procedure that makes ``target`` the leader; ``first`` is etcd as it is now."""

    def check(run: Run) -> None:
        next_leader(view(run), None, str(target), target)

    def done(run: Run) -> bool | Unmet:
        leader = leader_of(view(run))
        return True if leader == target.id else Unmet(f"{name_of(first, leader)} leads")

    def do(run: Run) -> None:
        transfer(run, view(run), target)

    text = by_hand("etcd", "make_leader", member=target)
    step = Step(f"make {target} the leader", check=check, done=done, do=do, within=30, by_hand=text)
    title = f"Make {target} the leader of etcd (now {name_of(first, leader_of(first))})"
    return Procedure("etcd.move-leader", title, [step], inputs={"member": target.id})


def answering(run: Run, host: Host) -> View:
    """Return etcd as it is now. While the member on ``host`` does not answer, all are asked again for ANSWER_WITHIN_S seconds: it may be busy."""
    return _asked_until(run, view(run), lambda seen: host in seen.statuses)


def _asked_until(run: Run, seen: View, enough: Callable[[View], bool]) -> View:
    """Return ``seen`` when it is ``enough``, and otherwise what is seen later, at the latest after ANSWER_WITHIN_S seconds. A plan does not wait."""

    def now_enough() -> bool:
        nonlocal seen
        run.look_anew()
        seen = view(run)
        return enough(seen)

    if not enough(seen) and not run.plan:
        with suppress(OutcomeError):
            until(now_enough, within=ANSWER_WITHIN_S, poll=run.poll)
    return seen


def transfer(run: Run, seen: View, target: Member) -> None:
    """Move the leadership to ``target``, by a command on the leader's own host.

    When no host says that it leads, they are asked again for ANSWER_WITHIN_S seconds: an election takes some, and a host that is busy may not
    have answered once. Raises PrecheckError after that.
    """
    leading = _leading(_asked_until(run, seen, lambda found: _leading(found) is not None))
    if not leading:
        raise PrecheckError("the leader of etcd does not answer; only the leader can move the leadership", hint=STATUS_FIRST)
    run.change(leading, etcd.move_leader(target.id))


def _leading(seen: View) -> Host | None:
    """Return the host that says it leads."""
    return next((host for host, status in seen.statuses.items() if status.leads), None)


@dataclass(frozen=True, slots=True)
class DefragPolicy:
    """Which members are defragmented, and when.

    reason     returns why a member has to be defragmented, or "" when it need not be (any more).
    refuse     raises PrecheckError when the member on this host must not stop answering now.
    faults     returns what is wrong after a member was defragmented; the next member waits until this is empty.
    unneeded   the note on a member that need not be defragmented.
    """

    reason: Callable[[Status], str]
    refuse: Callable[[Run, View, Host], None]
    faults: Callable[[View, Host], Sequence[str]]
    unneeded: str = "too little to gain"


@dataclass(kw_only=True)
class MemberDefrag:
    """The steps for one member: move the leadership away from it, defragment it, wait until it is healthy."""

    host: Host
    policy: DefragPolicy
    changed: bool = False
    finished: bool = False
    noted: str = ""

    def reason(self, seen: View) -> str:
        """Return why the member has to be defragmented now, or ""."""
        status = seen.statuses.get(self.host)
        return self.policy.reason(status) if status and not self.finished else ""

    def steps(self, first: View) -> list[Step]:
        """Return the steps; moving the leadership is one of them when the member leads at the start."""
        leads = first.statuses[self.host].leads and len(rules.voters(first.members)) > 1
        return [*([self._transfer_step()] if leads else []), self._defrag_step(), self._wait_step()]

    def _transfer_step(self) -> Step:
        return Step(
            "move the leadership to another member",
            self.host,
            check=self.check_transfer,
            done=self.leads_no_more,
            do=self.move_leadership,
            within=30,
            by_hand=by_hand("etcd", "move_leadership", host=self.host),
        )

    def _defrag_step(self) -> Step:
        return Step(
            "defragment",
            self.host,
            check=self.check,
            done=self.needless,
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
        )

    def _wait_step(self) -> Step:
        return Step(
            "wait until the member is healthy",
            self.host,
            done=self.healthy,
            within=HEALTHY_WITHIN_S,
            by_hand=by_hand("etcd", "wait_healthy", host=self.host, lag_allowed=rules.LAG_ALLOWED),
        )

    def check(self, run: Run) -> None:
        """Note the sizes. Raises PrecheckError when the member must not stop answering now."""
        seen = answering(run, self.host)
        status = status_of(seen, self.host)
        reason = self.reason(seen)
        if self.noted != (reason or self.policy.unneeded):  # the check runs again once the lock is taken
            self.noted = reason or self.policy.unneeded
            run.note(self.host, f"{data_file.sizes_text(status)}: {self.noted}")
        if reason:
            self.policy.refuse(run, seen, self.host)

    def needless(self, run: Run) -> bool | Unmet:
        """Return whether the member need not be defragmented (any more)."""
        seen = answering(run, self.host)
        if self.host not in seen.statuses:
            return Unmet(naming(self.host, rules.why_unhealthy(seen, self.host)))
        return not self.reason(seen)

    def do(self, run: Run) -> None:
        """Defragment the member; note its size before and after, and how long it took."""
        before = status_of(self._following(run), self.host)
        self.changed, started = not run.plan, monotonic()
        if run.change(self.host, etcd.defragment()) is None:
            return
        took = monotonic() - started
        self.finished = True
        after = status_of(answering(run, self.host), self.host)
        run.note(self.host, f"{size_text(before.size)} -> {size_text(after.size)} in {took:.1f} s")

    def _following(self, run: Run) -> View:
        """Return what is seen once the member does not lead: one that has become the leader since the start hands that on first."""
        seen = answering(run, self.host)
        if run.plan or not status_of(seen, self.host).leads or len(rules.voters(seen.members)) < 2:
            return seen
        run.note(self.host, "it has become the leader in the meantime: the leadership moves first")
        self.move_leadership(run)
        until(lambda: self.leads_no_more(run), within=30, poll=run.poll)
        seen = answering(run, self.host)
        self.policy.refuse(run, seen, self.host)  # another one may have gone meanwhile
        return seen

    def healthy(self, run: Run) -> bool | Unmet:
        """Return whether the next member may be defragmented."""
        return Unmet.of("; ".join(self.policy.faults(view(run), self.host))) if self.changed else True

    def check_transfer(self, run: Run) -> None:
        """Raise PrecheckError when the member must not be defragmented, so that the leadership does not move for nothing."""
        seen = answering(run, self.host)
        if self.reason(seen):
            self.policy.refuse(run, seen, self.host)

    def leads_no_more(self, run: Run) -> bool | Unmet:
        """Return whether another member leads, or this one need not be defragmented."""
        seen = answering(run, self.host)
        leader = leader_of(seen)
        if not leader:
            return Unmet("etcd has no leader at the moment")
        if self.host not in seen.statuses:
            return Unmet(naming(self.host, rules.why_unhealthy(seen, self.host)))
        return leader != status_of(seen, self.host).member or not self.reason(seen)

    def move_leadership(self, run: Run) -> None:
        """Make the healthy voter with the smallest lag the leader."""
        seen = view(run)
        transfer(run, seen, next_leader(seen, self.host))


def defragment(hosts: Sequence[Host], first: View, *, force: bool = False) -> Procedure:
    """Return the procedure that defragments the member of each of ``hosts`` where it pays, or (``force``) in any case.

    Never more than one member at a time, never the leader, and only while every member is healthy: a member that is defragmented
    does not answer, and the others must still be a majority of the voters.
    """

    def reason(status: Status) -> str:
        return "requested by --force" if force else data_file.defrag_worthwhile(status)

    check = Step(
        "check that every member is healthy",
        check=lambda run: _require_healthy(view(run), "a member"),
        by_hand=by_hand("etcd", "check_healthy"),
    )
    policy = DefragPolicy(reason, _refuse_pause, lambda seen, host: rules.faults(seen))
    members = [MemberDefrag(host=host, policy=policy) for host in defrag_order(hosts, first)]
    steps = [check, *(step for member in members for step in member.steps(first))]
    inputs = {"hosts": sorted(host.name for host in hosts), "force": force}
    return Procedure("etcd.defrag", "Defragment etcd, one member after the other", steps, inputs=inputs)


def _require_healthy(seen: View, who: str) -> None:
    if faults := rules.faults(seen):
        alarmed = any(status.alarms for status in seen.statuses.values())
        text = "".join(f"\n  {fault}" for fault in faults)
        raise PrecheckError(
            f"etcd has problems, and {who} does not answer while it is defragmented:{text}",
            hint="inv etcd.disarm" if alarmed else STATUS_FIRST,
        )


def _refuse_pause(run: Run, seen: View, host: Host) -> None:
    _require_healthy(seen, str(host))
    if refusal := rules.refuse_pause(seen.members, rules.healthy_ids(seen), seen.statuses[host].member):
        raise PrecheckError(f"{host}: {refusal}", hint=STATUS_FIRST)


def defrag_order(hosts: Sequence[Host], seen: View) -> list[Host]:
    """Return ``hosts`` with the leader's last. Raises PrecheckError when the member of one of them does not answer."""
    return data_file.defrag_order({host: status_of(seen, host) for host in hosts})


def status_of(seen: View, host: Host) -> Status:
    """Return the status of the member on this host. Raises PrecheckError when it does not answer."""
    if host not in seen.statuses:
        raise PrecheckError(naming(host, rules.why_unhealthy(seen, host)), hint=STATUS_FIRST)
    return seen.statuses[host]


def name_of(seen: View, member: str) -> str:
    """Return the name of the member with this ID; the ID when it has none, "no member" for ""."""
    return next((str(each) for each in seen.members if each.id == member), member or "no member")
