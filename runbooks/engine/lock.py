"""The site's lock: only one command at a time changes a site. The lock is a file on the hosts, and expires when its holder dies.

It is held on the load balancers; only when none of them answers, on the control plane hosts. Operators on different
machines therefore use the same lock, whatever command they run.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from runbooks.commands.base import Answer
from runbooks.commands.lock import Held, Holder, lock, parse_held
from runbooks.engine.protocols import Transport
from runbooks.errors import PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host, Site
from runbooks.text import age_text

LEASE_S = 120
RENEW_S = 30
ENDS_S = 5  # how long the end of a renewal is waited for
AFTER_INTERRUPTION_S = 15  # session.sh ends what runs on a host within 10 s after an interruption


class SiteLock:
    """A lease on the site: taken before the first change, renewed in the background, checked before every later change.

    Invariant: no change starts after the hosts have refused a renewal.
    """

    def __init__(self, site: Site, transport: Transport, connect: Callable[[], Transport]) -> None:
        self._site = site
        self._transport = transport
        # Renewals use their own sessions: the main ones may be busy for minutes, or be broken off by an interruption.
        self._connect = connect
        self._me = Holder(run="", user="", machine="", pid=0, what="", since="")
        self._on: list[Host] = []
        self._lost = ""
        self._stop = Event()
        self._heart: Thread | None = None

    def name(self, run: str, what: str) -> None:
        """Set the run and the command that the lock is taken for. A lock that is already held keeps its name."""
        if self._on:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._me = Holder(
            run=run, user=user(), machine=socket.gethostname(), pid=os.getpid(), what=what, since=now, kernel=_kernel()
        )

    def hold(self) -> bool:
        """Take the lock, unless it is held already; return True when it was taken just now.

        Raises PrecheckError when another run holds it, or when this run has lost it.
        """
        if self._lost:
            raise PrecheckError(self._lost, hint="check what the other command did, then run this again")
        if self._on:
            return False
        self._on = self._take(self._site.load_balancers) or self._take(self._site.control_plane, last=True)
        self._heart = Thread(target=self._beat, name="lock", daemon=True)
        self._heart.start()
        return True

    def regain(self, host: Host) -> None:
        """Take the lock again on ``host``, which this run has rebooted: a reboot deletes it there. Nothing when it was not held there.

        Raises PrecheckError when another run holds it by now, and the host's own error.
        """
        if host not in self._on:
            return
        answer = self._transport.run_each({host: lock("take", self._site.name, self._me, seconds=LEASE_S)})[host]
        if isinstance(answer, RunbookError):
            raise answer
        if held := parse_held(answer):
            self._lost = describe(self._site.name, held)
            raise PrecheckError(self._lost, hint="check what the other command did, then run this again")

    def release(self, *, interrupted: bool = False) -> None:
        """Release the lock. After an interruption let it expire in 15 s instead: a command may still be ending on its host."""
        self._stop.set()
        if not self._on:
            return
        if self._heart:
            self._heart.join(ENDS_S)  # a renewal under way would take again what is released on one host only
        action = lock("renew", self._site.name, self._me, seconds=AFTER_INTERRUPTION_S)
        if not interrupted:
            action = lock("release", self._site.name, self._me)
        transport = self._connect() if interrupted else self._transport
        transport.run_each(dict.fromkeys(self._on, action))
        transport.close()
        self._on = []

    def _take(self, hosts: Sequence[Host], *, last: bool = False) -> list[Host]:
        answers = self._ask_for_it(hosts, dead="")
        for run in sorted({held.holder.run for held in _holders(answers) if _has_ended(held.holder, self._me)}):
            # The holder was a process of the same user on this machine, and it is gone: no need to wait until the lock expires.
            still = [host for host, answer in answers.items() if isinstance(answer, Answer) and parse_held(answer)]
            answers |= self._ask_for_it(still, dead=run)
        taken = [host for host, answer in answers.items() if isinstance(answer, Answer) and answer.exited == 0]
        held = _holders(answers)
        failed = [answer for answer in answers.values() if isinstance(answer, RunbookError)]
        # An unreachable host does not prevent the lock. A host that answers but cannot lock does: its lock may be held.
        broken = [error for error in failed if not isinstance(error, UnreachableError)]
        if held or broken:
            self._transport.run_each(dict.fromkeys(taken, lock("release", self._site.name, self._me)))
        if held:
            raise PrecheckError(
                describe(self._site.name, held[0]),
                hint="wait until it has finished; if you are sure that this process is gone: inv site.unlock",
            )
        if broken or (last and not taken):
            raise (broken or failed)[0]
        return taken

    def _ask_for_it(self, hosts: Sequence[Host], dead: str) -> dict[Host, Answer | RunbookError]:
        command = lock("take", self._site.name, self._me, seconds=LEASE_S, dead=dead)
        return self._transport.run_each(dict.fromkeys(hosts, command))

    def _beat(self) -> None:
        """Renew it until it is released. A host that has forgotten it twice in a row, while others keep it, was rebooted: it is taken again there.

        Once would not do: `break_lock` reaches one host before another.
        """
        own: Transport | None = None
        forgot: set[Host] = set()
        while not self._stop.wait(RENEW_S):
            command = lock("renew", self._site.name, self._me, seconds=LEASE_S)
            try:
                own = own or self._connect()
                answers = own.run_each(dict.fromkeys(self._on, command))
                kept = [host for host, answer in answers.items() if isinstance(answer, Answer) and answer.exited == 0]
                refused = [host for host, answer in answers.items() if isinstance(answer, Answer) and answer.exited != 0]
                again = [host for host in refused if kept and host in forgot]
                forgot = set(refused) - set(again)
                if again and not self._stop.is_set():
                    own.run_each(dict.fromkeys(again, lock("take", self._site.name, self._me, seconds=LEASE_S)))
            except RunbookError:  # unreachable for the moment: the lease outlasts several missed renewals
                continue
            if refused and not kept:
                self._lost = f"the lock of {self._site.name} was lost while this command ran: it expired or was broken"
                return


def break_lock(site: Site, transport: Transport) -> list[Host]:
    """Delete the lock of ``site``, whoever holds it, without asking; return the hosts that answered.

    Dangerous: a holder that still runs goes on changing the site until its next renewal is refused (``RENEW_S``).
    """
    hosts = (*site.load_balancers, *site.control_plane)
    answers = transport.run_each(dict.fromkeys(hosts, lock("break", site.name)))
    return [host for host, answer in answers.items() if isinstance(answer, Answer)]


def describe(site: str, held: Held) -> str:
    """Return one sentence: who holds the lock of ``site``, since when, for which command, and when it expires."""
    who = held.holder
    return (
        f"{site} is locked: {who.user}@{who.machine} (pid {who.pid}) has been running {who.what} since {who.since}; "
        f"the lock expires in {age_text(held.expires_in_s)} unless it is renewed"
    )


def has_ended(holder: Holder) -> bool:
    """Return whether the holder was a process of this user on this machine, and is gone: the next command takes its lock over."""
    return _has_ended(
        holder, Holder(run="", user=user(), machine=socket.gethostname(), pid=os.getpid(), what="", since="", kernel=_kernel())
    )


def _has_ended(holder: Holder, me: Holder) -> bool:
    if (holder.user, holder.machine, holder.kernel) != (me.user, me.machine, me.kernel) or holder.pid == me.pid:
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _holders(answers: dict[Host, Answer | RunbookError]) -> list[Held]:
    found = (parse_held(answer) for answer in answers.values() if isinstance(answer, Answer))
    return [held for held in found if held]


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: the machine's name must suffice
        return ""


def user() -> str:
    """Return the name of the user who runs this command; below sudo, of the one who called it."""
    import getpass  # noqa: PLC0415 - start-up time

    return os.environ.get("SUDO_USER") or getpass.getuser()
