"""How a command starts on a host: the line that sshd gives to the login shell, and scripts/host/session.sh, which that line reads."""

from __future__ import annotations

from functools import cache

from runbooks.commands.base import HOST_SCRIPTS

INCOMPLETE = 75  # exit status: what was sent did not arrive complete
MARK = "@@ha-runbooks-6f1d0e6bb2c94a9f\n"  # session.sh prints it first, on both outputs; what comes before it is not ours

# One line, and in single quotes no `!`, no backslash and no single quote: every shell (sh, csh, tcsh, fish, zsh ...) passes it on
# unchanged. session.sh itself comes over standard input. --norc and -p: neither .bashrc nor $BASH_ENV is read once more.
_LOADER = f'IFS= read -r n; IFS= read -r -N "$n" s; [ "${{#s}}" = "$n" ] || exit {INCOMPLETE}; eval "$s"'


def session_line(*, root: bool) -> str:
    """Return the command line for the login shell; the same for every command."""
    return f"exec {'sudo -n -- ' if root else ''}bash --norc -p -c '{_LOADER}'"


@cache
def session_script() -> bytes:
    """Return session.sh as the line expects it on standard input: its length, and the script without comments."""
    lines = (HOST_SCRIPTS / "session.sh").read_text().splitlines()
    script = "\n".join(line for line in lines if not line.startswith("#")).encode("ascii")
    return f"{len(script)}\n".encode() + script


def after_mark(text: str) -> str | None:
    """Return what a command has printed, without what came before our mark; None when the mark is not there."""
    _, mark, ours = text.partition(MARK)
    return ours if mark else None
