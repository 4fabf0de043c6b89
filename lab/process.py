"""Programs of this machine: run one and get its output, or fail with what it said."""

import shlex
import subprocess
from collections.abc import Sequence

from runbooks.errors import CommandError

Done = subprocess.CompletedProcess[str]

# Before a program that must not outlive the command which started it, however that ends: it holds none of its locks.
DIES = ("setpriv", "--pdeathsig", "KILL")


def run(argv: Sequence[str], *, stdin: str = "", check: bool = True, timeout_s: float = 60) -> Done:
    """Run ``argv`` with ``stdin`` as its input. CommandError when it fails (unless ``check`` is false) or runs out of time."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s, errors="replace")
    except subprocess.TimeoutExpired:
        raise CommandError(f"`{shlex.join(argv)}` did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise CommandError(f"`{shlex.join(argv)}` did not start: {error}") from error
    if check and done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise CommandError(f"`{shlex.join(argv)}` exited {done.returncode}\n{said}".rstrip(), exited=done.returncode)
    return done
