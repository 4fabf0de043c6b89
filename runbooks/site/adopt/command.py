"""`inv site.adopt`: look, write hosts.yaml, say what differs, and let the doctor look."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from runbooks.engine.session import ROOT
from runbooks.errors import DegradedError, DiskError, InventoryError, OutcomeError, PrecheckError
from runbooks.inventory import source
from runbooks.inventory.load import loaded
from runbooks.inventory.locate import state_of
from runbooks.inventory.problems import SiteError, shown
from runbooks.inventory.words import Address
from runbooks.inventory.written import written
from runbooks.lb.auth_pass import FILE_NAME, FORM, LENGTH
from runbooks.local import files
from runbooks.rules import finding
from runbooks.site import new_file
from runbooks.site.adopt.ground import Ground, given, ground
from runbooks.site.adopt.kubeconfig import leader
from runbooks.site.adopt.login import Logins
from runbooks.site.adopt.look import Explorer
from runbooks.site.adopt.outcome import Outcome, examine
from runbooks.site.adopt.rules import changes
from runbooks.site.adopt.rules.balancers import names, ordered
from runbooks.site.adopt.rules.differences import said_of
from runbooks.site.adopt.rules.draft import draft, plain
from runbooks.site.adopt.rules.seen import Seen
from runbooks.site.asking import answered
from runbooks.site.withheld import without
from runbooks.text import counted, indented, listed, printable

HEAD = (
    "Written by `inv site.adopt` from what it found. Read it: comments say where it had to guess.",
    "Keys that are left out take the default named in docs/site.md.",
)


def adopt(  # noqa: PLR0913 - its flags
    *, host: str, kubeconfig: str, lbs: str, output: str, key: str, yes: bool, as_json: bool = False
) -> None:
    """Carry out `inv site.adopt`. ``as_json``: one object on standard output (`Outcome.for_programs`), all that people read on standard error.

    Raises InventoryError and PrecheckError before anything is written, DegradedError with the file written.
    """
    if bool(host) == bool(kubeconfig):
        raise InventoryError("one of --host and --kubeconfig has to be given", hint="--host ops@10.1.1.101")
    place = ground(os.environ, ROOT, output=output)
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        logins = place.logins(given(host or leader(place, Path(kubeconfig)), key))
        seen = _explored(place, logins, _addresses(lbs, "--lb"), yes=yes)
        found, withheld = without(draft(seen, *logins.said(_names(seen))))
        outcome = Outcome(place.file, found, withheld, differs=said_of(seen, withheld), notes=logins.notes)
        _conclude(place, seen, outcome)
    if as_json:
        print(json.dumps(outcome.for_programs()), flush=True)
    if outcome.wrong:
        raise outcome.wrong


def _explored(place: Ground, logins: Logins, lbs: Sequence[Address], *, yes: bool) -> Seen:
    explorer = Explorer(place, logins, yes, ask)
    try:
        return explorer.explore(lbs)
    finally:
        explorer.close()
        for note in logins.notes:  # of hosts that could not be reached, too
            print(f"note: {printable(note)}")


def _conclude(place: Ground, seen: Seen, outcome: Outcome) -> None:
    """Write or compare the file, and say what differs. What came of it is added to ``outcome``."""
    if place.lab:
        outcome.found["lab"] = {"namespace": place.lab.namespace}
    values = plain(outcome.found)
    place.allow(_written(values))  # every later command connects to these
    text = written(outcome.found, HEAD)
    print(_summary(seen))
    if place.there:
        outcome.wrong = _compare(place, values, text, outcome)
    else:
        outcome.wrong = _write(place, text, values, seen, outcome)
    if outcome.differs:
        print(f"\nwhat differs from a site that this tool has set up:\n\n{finding.shown(outcome.differs)}")
    if not (place.there or outcome.wrong):
        outcome.doctor = examine(place.file)


def _names(seen: Seen) -> dict[str, str]:
    """Return the names in hosts.yaml of the hosts, by what they were called while they were looked for."""
    nodes = {each.name: each.name for each in seen.cluster.members}
    reached = {address for each in seen.cluster.members for address in each.addresses}
    return nodes | {str(address): name for address, name in names(seen).items() if address not in reached}


def _written(values: Mapping[str, Any]) -> list[Address]:
    """Return the addresses that the site file gets, but those of gateways, which were asked already."""
    hosts, vips = values["hosts"], values["load_balancer"].get("vips", [])
    given = [values["endpoint"]["vip"], *(each.get("address") for each in [*hosts, *vips])]
    return [ip_address(str(each)) for each in given if each]


def _addresses(text: str, flag: str) -> list[Address]:
    words = [each.strip() for each in text.split(",") if each.strip()]
    try:
        return [ip_address(each) for each in words]
    except ValueError as error:
        raise InventoryError(f"{flag}: {error}", hint=f"{flag} takes addresses, such as 10.1.1.11,10.1.1.12") from None


def ask(said: Sequence[str], heard: Sequence[Address]) -> list[Address]:
    """Ask for the load balancers that were not found. Raises PrecheckError where there is no terminal: nothing has been written yet."""
    told = "\n  ".join(map(printable, said))
    near = f"the control plane hosts have heard of {listed(heard) or 'nobody else'}"
    if not sys.stdin.isatty():
        raise PrecheckError(
            f"the load balancers were not found, or not all:\n  {told}\n  {near}",
            hint="--lb ADDRESS,ADDRESS names them, all of them",
        )
    print(f"the load balancers were not found, or not all:\n  {told}\n  {near}")
    return _addresses(answered("addresses of the others, separated by commas (empty: go on without): "), "load balancers")


def _write(place: Ground, text: str, values: Mapping[str, Any], seen: Seen, outcome: Outcome) -> DegradedError | None:
    """Write the file, and before it the VRRP password: a file that is there is only compared. Return what has to be put right in it first."""
    first = next(iter(ordered(seen)), None)
    instance = first.instance_of(seen.endpoint.vip) if first else None
    if instance and instance.password:
        keep_password(place.file, values["name"], instance.password)
    wrong = new_file.put(place.file, text)
    outcome.written, outcome.problems = True, wrong
    print(f"\nwrote {shown(place.file)}")
    if not wrong:
        return None
    return DegradedError(
        f"{counted(len(wrong), 'place')} of {shown(place.file)} to put right:{indented(wrong)}",
        hint=f"edit it, then RUNBOOKS_SITE={shown(place.file)} inv site.check",
    )


def keep_password(file: Path, name: str, password: str) -> None:
    """Put the VRRP password where lb.setup expects it: the LBs go on hearing each other when it takes them over. ``name``: of the site.

    Raises DiskError, and InventoryError when another password is there, which stays.
    """
    if not FORM.match(password[:LENGTH]):
        print("the VRRP password of the load balancers is not of eight plain characters: lb.setup will need --new-password")
        return
    path = state_of(file, name) / FILE_NAME
    content = f"{password[:LENGTH]}\n".encode()
    try:
        files.create_once(path, content)
        same = path.read_bytes() == content
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}") from None
    if not same:
        raise InventoryError(
            f"{shown(path)} is there, and is not the VRRP password of these load balancers; nothing was written",
            hint=f"if it is of another site that is called {name}, too: --output in another directory, where this one's secrets are beside it"
            "\n       if nobody needs it: delete it",
        )
    print(f"the VRRP password of the load balancers is in {shown(path)} (0600)")


def _compare(place: Ground, given: Mapping[str, object], text: str, outcome: Outcome) -> OutcomeError | None:
    """Say what differs from the file that is there. Return an error when something does. Raises InventoryError where too little was found."""
    assert place.there  # noqa: S101 - for the type checker
    try:
        found = loaded(source.parse(text), place.file).site
    except SiteError as error:
        lacking = [f"{each.key}: {each.message}" for each in error.problems]
        raise InventoryError(
            f"what was found is no whole site file, and cannot be compared with {shown(place.file)}; nothing was written:{indented(lacking)}",
            hint="--output FILE writes what was found into another file, with comments",
        ) from None
    rows = outcome.changes = changes.changes(given, found, place.there)
    if not rows:
        print(f"\n{shown(place.file)} says what was found; nothing was written")
        return None
    print(f"\n{changes.shown(rows)}")
    message = f"{counted(len(rows), 'value')} of {shown(place.file)} {'is' if len(rows) == 1 else 'are'} not what was found; nothing was written"
    return OutcomeError(
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
    return "\n".join(["", *(f"  {name:14} {printable(said)}" for name, said in lines.items())])
