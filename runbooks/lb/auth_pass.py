"""The password of VRRP version 2: made once, kept in the state directory with mode 0600, never printed."""

import os
import re
import secrets
import stat
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runbooks.commands.base import Secret
from runbooks.commands.lb_config import is_ours
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.errors import InventoryError, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.local import files
from runbooks.text import listed

VARIABLE: Final = "RUNBOOKS_VRRP_AUTH_PASS"
FILE_NAME: Final = "vrrp-auth-pass"
LENGTH: Final = 8  # keepalived ignores the rest without a warning
# No character that has a meaning in keepalived.conf: ! # " ' { } $ @ ~ \ and blanks are not allowed.
FORM: Final = re.compile(r"[A-Za-z0-9._-]{8}\Z")
RULE: Final = f"exactly {LENGTH} characters out of A-Z a-z 0-9 . _ -"


def of_site(
    state: Path, environ: Mapping[str, str], on_lbs: Mapping[Host, str], silent: Mapping[Host, RunbookError], *, keep: bool = True
) -> Secret:
    """As `auth_pass`, but never a password that would silently replace the one of the LBs, whose keepalived.conf are ``on_lbs``.

    A password that one of them has already is let pass: then a change was interrupted. None is made while one of the ``silent`` LBs,
    which could not be read, may have one. Raises PrecheckError, or UnreachableError for these.
    """
    theirs = {host: found for host, text in on_lbs.items() if is_ours(text) and (found := _in_conf(text))}
    path = state / FILE_NAME
    missing = environ.get(VARIABLE) is None and not path.exists()
    if missing and silent and not theirs:
        said = "".join(f"\n  {line}" for line in dict.fromkeys(str(error).partition("\n")[0] for error in silent.values()))
        raise UnreachableError(
            f"{listed(silent)}: may have a VRRP password, and this machine does not have it ({path} is missing); nothing was changed{said}",
            hint=f"make {listed(silent)} answer, then run this again; or {_copy(path)}"
            f"\n       if such an LB is lost for good and nobody has the password: set {VARIABLE} to a new one",
        )
    if not theirs or (not missing and auth_pass(state, environ) in theirs.values()):
        return auth_pass(state, environ, keep=keep)
    source = VARIABLE if VARIABLE in environ else str(path)
    lack = f"this machine does not have it ({path} is missing)" if missing else f"{source} holds another one"
    raise PrecheckError(
        f"{listed(theirs)}: there is a VRRP password, and {lack}; nothing was changed",
        hint=_in_the_variable(path, next(iter(theirs)))
        if VARIABLE in environ
        else _in_the_file(path, next(iter(theirs)), missing),
    )


def _in_the_variable(path: Path, lb: Host) -> str:
    return (
        f"unset {VARIABLE}"
        + (f" (then {path} is used)" if path.exists() else f", and {_copy(path)}")
        + f"\n       or set it to the LBs' password, as root on {lb} reads it: grep auth_pass {KEEPALIVED_CONF}"
        f"\n       to replace the LBs' password by that of {VARIABLE}: inv lb.setup --new-password"
    )


def _in_the_file(path: Path, lb: Host, missing: bool) -> str:
    return (
        f"{_copy(path)}"
        f"\n       or read it as root on {lb}: grep auth_pass {KEEPALIVED_CONF}; write it to that file, or set {VARIABLE}"
        "\n       for a new password on all LBs: "
        + ("" if missing else f"delete {path} (else its password is installed), then ")
        + "inv lb.setup --new-password"
    )


def _copy(path: Path) -> str:
    return f"copy {FILE_NAME} from the state directory of the operator who set up the LBs to {path}, then chmod 600 {path}"


def _in_conf(text: str) -> str:
    found = re.search(r"(?m)^\s*auth_pass\s+(\S+)\s*$", text)
    return found[1] if found else ""


def auth_pass(state: Path, environ: Mapping[str, str], *, keep: bool = True) -> Secret:
    """Return the site's password for VRRP version 2.

    It is RUNBOOKS_VRRP_AUTH_PASS of ``environ`` if set, else the content of the file in the state directory ``state``. Without
    either, a new one is made and (with ``keep``) written to that file. Raises InventoryError when a value is malformed or the file cannot be used.
    """
    given = environ.get(VARIABLE)
    if given is not None:
        if not FORM.match(given):
            raise InventoryError(f"{VARIABLE} must be {RULE}", hint=f"change it, or unset {VARIABLE}")
        return Secret(given)
    path = state / FILE_NAME
    try:
        if not keep and not path.exists():
            return Secret(_generated())
        if not path.exists():
            files.create_once(path, f"{_generated()}\n".encode())
        return _kept(path)
    except OSError as error:
        raise InventoryError(
            f"{path}: cannot be used: {error.strerror or error}", hint=f"change its owner or mode, or set {VARIABLE}"
        ) from None


def _generated() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(LENGTH))


def _kept(path: Path) -> Secret:
    """Return the password in the file ``path``. Raises InventoryError when other users may use the file or it holds no password."""
    # Without O_NONBLOCK, opening a FIFO would block.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InventoryError(f"{path} is not a regular file", hint=f"move it away, or set {VARIABLE}")
        data = file.read(64)
    if status.st_mode & 0o077:
        raise InventoryError(
            f"{path} holds a password, but other users may access the file (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}; if somebody may have read it: delete it, then inv lb.setup --new-password",
        )
    text = data.decode("ascii", "replace").removesuffix("\n")
    if not FORM.match(text):
        raise InventoryError(
            f"{path} must hold {RULE}, and nothing else",
            hint="write the password of your LBs to it, or delete it and run `inv lb.setup --new-password` for a new one",
        )
    return Secret(text)
