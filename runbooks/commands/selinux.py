"""SELinux on a host: which booleans are off, and how to switch them on."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands.base import Answer, Command, Probe, cmd, script


def switched_off(booleans: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Ask which of ``booleans`` exist and are off; none where SELinux is disabled or not installed."""
    return Probe(script("selinux-look", {"BOOLEANS": booleans}, timeout=20), parse)


def parse(answer: Answer) -> tuple[str, ...]:
    """Read SELinux's mode, then lines such as ``haproxy_connect_any --> off``. A permissive host counts, too: it may be set to enforcing."""
    mode, *lines = answer.stdout.splitlines() or ["Disabled"]
    if mode == "Disabled":
        return ()
    return tuple(words[0] for words in map(str.split, lines) if words[1:3] == ["-->", "off"])


def switch_on(booleans: Sequence[str]) -> Command:
    """Switch ``booleans`` on permanently (setsebool -P). Rebuilding the policy may take half a minute."""
    return cmd("setsebool", "-P", *(f"{each}=on" for each in booleans), timeout=300)
