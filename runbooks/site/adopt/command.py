"""`inv site.adopt`: look, write hosts.yaml, say what differs, and let the doctor look."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.engine.session import ROOT
from runbooks.errors import DegradedError, InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory import source
from runbooks.inventory.load import load_site, loaded
from runbooks.inventory.locate import state_directory
from runbooks.inventory.problems import shown
from runbooks.inventory.words import Address
from runbooks.inventory.written import written
from runbooks.lb.auth_pass import FILE_NAME, FORM
from runbooks.local import files
from runbooks.rules import finding
from runbooks.site import new_file
from runbooks.site.adopt.ground import Ground, given, ground
from runbooks.site.adopt.kubeconfig import leader
from runbooks.site.adopt.look import Explorer
from runbooks.site.adopt.rules import changes, differences
from runbooks.site.adopt.rules.balancers import ordered
from runbooks.site.adopt.rules.draft import draft, plain
from runbooks.site.adopt.rules.seen import Seen
from runbooks.text import counted, indented, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEAD = (
    "Written by `inv site.adopt` from what it found. Read it: comments say where it had to guess.",
    "Keys that are left out take the default named in docs/site.md.",
)


def adopt(*, host: str, kubeconfig: str, lbs: str, output: str, key: str, yes: bool) -> None:
    """Carry out `inv site.adopt`. Raises InventoryError and PrecheckError before anything is written, DegradedError with the file written."""
    if bool(host) == bool(kubeconfig):
        raise InventoryError("one of --host and --kubeconfig has to be given", hint="--host ops@10.1.1.101")
    place = ground(os.environ, ROOT, output=output)
    logins = place.logins(given(host or leader(place, Path(kubeconfig)), key))
    explorer = Explorer(place, logins, yes, ask)
    try:
        seen = explorer.explore(_addresses(lbs, "--lb"))
    finally:
        explorer.close()
    found = draft(seen, *logins.said(_names(seen)))
    if place.lab:
        found["lab"] = {"namespace": place.lab.namespace}
    text = written(found, HEAD)
    print(_summary(seen))
    for note in logins.notes:
        print(f"note: {differences.printable(note)}")
    if place.there:
        _compare(place, plain(found), text)
    else:
        _write(place, text, seen)
    said = differences.findings(seen)
    if said:
        print(f"\nwhat differs from a site that this tool has set up:\n\n{finding.shown(said)}")
    if not place.there:
        _examine(place.file)


def _names(seen: Seen) -> dict[str, str]:
    """Return the names in hosts.yaml of the hosts, by what they were called while they were looked for."""
    nodes = {each.name: each.name for each in seen.cluster.members}
    reached = {address for each in seen.cluster.members for address in each.addresses}
    return nodes | {str(each.address): each.name for each in seen.balancers if each.address not in reached}


def _addresses(text: str, flag: str) -> list[Address]:
    words = [each.strip() for each in text.split(",") if each.strip()]
    try:
        return [ip_address(each) for each in words]
    except ValueError as error:
        raise InventoryError(f"{flag}: {error}", hint=f"{flag} takes addresses, such as 10.1.1.11,10.1.1.12") from None


def ask(said: Sequence[str], heard: Sequence[Address]) -> list[Address]:
    """Ask for the load balancers that were not found. Raises PrecheckError where there is no terminal: nothing has been written yet."""
    told = "\n  ".join(map(differences.printable, said))
    near = f"the control plane hosts have heard of {listed(heard) or 'nobody else'}"
    if not sys.stdin.isatty():
        raise PrecheckError(
            f"the load balancers were not found, or not all:\n  {told}\n  {near}",
            hint="--lb ADDRESS,ADDRESS names them, all of them",
        )
    print(f"the load balancers were not found, or not all:\n  {told}\n  {near}")
    return _addresses(input("addresses of the others, separated by commas (empty: go on without): "), "load balancers")


def _write(place: Ground, text: str, seen: Seen) -> None:
    """Write the file. Raises DegradedError, with the file written, when something in it has to be put right first."""
    wrong = new_file.put(place.file, text)
    print(f"\nwrote {shown(place.file)}")
    if wrong:
        raise DegradedError(
            f"{counted(len(wrong), 'place')} of {shown(place.file)} to put right:{indented(wrong)}",
            hint=f"edit it, then RUNBOOKS_SITE={shown(place.file)} inv site.check",
        )
    first = next(iter(ordered(seen)), None)
    instance = first.instance_of(seen.endpoint.vip) if first else None
    if instance and instance.password:
        keep_password(place.file, instance.password)


def keep_password(file: Path, password: str) -> None:
    """Put the VRRP password where lb.setup expects it: the LBs go on hearing each other when it takes them over."""
    state = state_directory(file, load_site(file).site)
    # keepalived ignores what is behind the eighth character.
    if FORM.match(password[:8]):
        files.create_once(state / FILE_NAME, f"{password[:8]}\n".encode())
        print(f"the VRRP password of the load balancers is in {shown(state / FILE_NAME)} (0600)")
    else:
        print("the VRRP password of the load balancers is not of eight plain characters: lb.setup will need --new-password")


def _compare(place: Ground, given: Mapping[str, object], text: str) -> None:
    """Say what differs from the file that is there. Raises OutcomeError when something does."""
    assert place.there  # noqa: S101 - for the type checker
    rows = changes.changes(given, loaded(source.parse(text), place.file).site, place.there)
    if not rows:
        print(f"\n{shown(place.file)} says what was found; nothing was written")
        return
    print(f"\n{changes.shown(rows)}")
    message = f"{counted(len(rows), 'value')} of {shown(place.file)} {'is' if len(rows) == 1 else 'are'} not what was found; nothing was written"
    raise OutcomeError(
        message, hint="correct the file, or the site; inv cluster.diff compares everything that hosts.yaml decides"
    )


def _summary(seen: Seen) -> str:
    where = seen.endpoint
    workers = [each.name for each in seen.cluster.members if not each.control_plane]
    lines = {
        "version": str(seen.cluster.part("kubernetesVersion")),
        "endpoint": f"{where.vip}:{where.port}" + (f" ({where.name})" if where.name else ""),
        "LBs": listed(f"{each.name} {each.address}" for each in ordered(seen)) or "none found",
        "control plane": listed(f"{each.name} {seen.address(each)}" for each in seen.leaders),
        "workers": listed(workers) or "none",
    }
    return "\n".join(["", *(f"  {name:14} {differences.printable(said)}" for name, said in lines.items())])


def _examine(file: Path) -> None:
    """Let the doctor look at the new site. What it finds is shown, and does not fail this command."""
    from runbooks.doctor.show import show  # noqa: PLC0415 - start-up time

    print("\ninv doctor says:\n")
    _with_site(file, show)
    print(f"\nfrom now on: export RUNBOOKS_SITE={shown(file)}" if file != ROOT / "hosts.yaml" else "")


def _with_site(file: Path, act: Callable[[Session], None]) -> None:
    from runbooks.engine.session import Options, session  # noqa: PLC0415 - start-up time

    before = os.environ.get("RUNBOOKS_SITE")
    os.environ["RUNBOOKS_SITE"] = str(file)
    try:
        with session(Options()) as opened:
            act(opened)
    except RunbookError as error:
        print(f"{error}" + (f"\nnext: {error.hint}" if error.hint else ""))
    finally:
        if before is None:
            del os.environ["RUNBOOKS_SITE"]
        else:
            os.environ["RUNBOOKS_SITE"] = before
