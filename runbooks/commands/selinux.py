"""SELinux on a host: whether it is there, and what its booleans allow."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands.base import Answer, Command, Probe, cmd, script


def switched_off(booleans: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Which of ``booleans`` SELinux has, and has switched off; none where it is disabled or missing."""
    return Probe(script("selinux-look", {"BOOLEANS": booleans}, timeout=20), parse)


def parse(answer: Answer) -> tuple[str, ...]:
    """Read SELinux's mode, then lines such as ``haproxy_connect_any --> off``. A permissive host may be enforcing tomorrow."""
    mode, *lines = answer.stdout.splitlines() or ["Disabled"]
    if mode == "Disabled":
        return ()
    return tuple(words[0] for words in map(str.split, lines) if words[1:3] == ["-->", "off"])


def switch_on(booleans: Sequence[str]) -> Command:
    """Switch ``booleans`` on, now and for good; the policy is built anew for that, which may take half a minute."""
    return cmd("setsebool", "-P", *(f"{each}=on" for each in booleans), timeout=300)
