"""One change at a time on a site: a lock that lies on the hosts themselves, and expires when its holder is dead.

It is held on the load balancers, which every site has; only when neither of them answers, on the control plane. Two operators
on different machines therefore meet at the same files, whatever they are about to do.
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
AFTER_INTERRUPTION_S = 15  # what runs on a host is ended within 10 s of our interruption


class SiteLock:
    """Taken before the first change, renewed in the background, checked before every later change."""

    def __init__(self, site: Site, transport: Transport, connect: Callable[[], Transport]) -> None:
        self._site = site
        self._transport = transport
        # Renewals need sessions of their own: the main ones may be busy for minutes with one command, or just interrupted.
        self._connect = connect
        self._me = Holder(run="", user="", machine="", pid=0, what="", since="")
        self._on: list[Host] = []
        self._lost = ""
        self._stop = Event()
        self._heart: Thread | None = None

    def name(self, run: str, what: str) -> None:
        """Say what the lock will be held for. One that is held keeps its name: on the hosts it is known by that."""
        if self._on:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._me = Holder(
            run=run, user=_user(), machine=socket.gethostname(), pid=os.getpid(), what=what, since=now, kernel=_kernel()
        )

    def hold(self) -> bool:
        """Make sure that the lock is ours; true when it was taken just now. Raises PrecheckError when another holds it."""
        if self._lost:
            raise PrecheckError(self._lost, hint="look at what the other one did, then run this again")
        if self._on:
            return False
        self._on = self._take(self._site.load_balancers) or self._take(self._site.control_plane, last=True)
        self._heart = Thread(target=self._beat, name="lock", daemon=True)
        self._heart.start()
        return True

    def release(self, *, interrupted: bool = False) -> None:
        """Give the lock back, or after an interruption let it expire soon: a command may still be ending on its host."""
        self._stop.set()
        if not self._on:
            return
        action = lock("renew", self._site.name, self._me, seconds=AFTER_INTERRUPTION_S)
        if not interrupted:
            action = lock("release", self._site.name, self._me)
        transport = self._connect() if interrupted else self._transport
        transport.run_each(dict.fromkeys(self._on, action))
        transport.close()
        self._on = []

    def _take(self, hosts: Sequence[Host], *, last: bool = False) -> list[Host]:
        answers = self._ask_for_it(hosts, dead="")
        for run in sorted({held.holder.run for held in _holders(answers) if self._is_dead(held.holder)}):
            # This user's own earlier process on this very machine: its end is certain, so no waiting for the expiry.
            still = [host for host, answer in answers.items() if isinstance(answer, Answer) and parse_held(answer)]
            answers |= self._ask_for_it(still, dead=run)
        taken = [host for host, answer in answers.items() if isinstance(answer, Answer) and answer.exited == 0]
        held = _holders(answers)
        failed = [answer for answer in answers.values() if isinstance(answer, RunbookError)]
        # A host that is off holds nothing back; one that answers but cannot lock may be locked by somebody else.
        broken = [error for error in failed if not isinstance(error, UnreachableError)]
        if held or broken:
            self._transport.run_each(dict.fromkeys(taken, lock("release", self._site.name, self._me)))
        if held:
            raise PrecheckError(
                describe(self._site.name, held[0]), hint="wait; or if that process is surely gone: inv site.unlock"
            )
        if broken or (last and not taken):
            raise (broken or failed)[0]
        return taken

    def _ask_for_it(self, hosts: Sequence[Host], dead: str) -> dict[Host, Answer | RunbookError]:
        command = lock("take", self._site.name, self._me, seconds=LEASE_S, dead=dead)
        return self._transport.run_each(dict.fromkeys(hosts, command))

    def _is_dead(self, holder: Holder) -> bool:
        me = self._me
        if (holder.user, holder.machine, holder.kernel) != (me.user, me.machine, me.kernel) or holder.pid == me.pid:
            return False
        try:
            os.kill(holder.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _beat(self) -> None:
        own: Transport | None = None
        while not self._stop.wait(RENEW_S):
            command = lock("renew", self._site.name, self._me, seconds=LEASE_S)
            try:
                own = own or self._connect()
                answers = own.run_each(dict.fromkeys(self._on, command))
            except RunbookError:  # out of reach just now: the lease is longer than several of these
                continue
            kept = [answer for answer in answers.values() if isinstance(answer, Answer) and answer.exited == 0]
            refused = [answer for answer in answers.values() if isinstance(answer, Answer) and answer.exited != 0]
            if refused and not kept:
                self._lost = f"the lock of {self._site.name} was taken from us while we worked"
                return


def break_lock(site: Site, transport: Transport) -> list[Host]:
    """Take the lock of ``site`` from whoever holds it, without asking; the hosts where that was possible."""
    hosts = (*site.load_balancers, *site.control_plane)
    answers = transport.run_each(dict.fromkeys(hosts, lock("break", site.name)))
    return [host for host, answer in answers.items() if isinstance(answer, Answer)]


def describe(site: str, held: Held) -> str:
    """Who holds the lock of ``site``, since when and what for, in one sentence."""
    who = held.holder
    return (
        f"{site} is locked: {who.user}@{who.machine} (pid {who.pid}) has been running {who.what} since {who.since}; "
        f"the lock expires in {age_text(held.expires_in_s)} unless it is renewed"
    )


def _holders(answers: dict[Host, Answer | RunbookError]) -> list[Held]:
    found = (parse_held(answer) for answer in answers.values() if isinstance(answer, Answer))
    return [held for held in found if held]


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: the machine's name has to do
        return ""


def _user() -> str:
    import getpass  # noqa: PLC0415 - start-up time

    return os.environ.get("SUDO_USER") or getpass.getuser()
