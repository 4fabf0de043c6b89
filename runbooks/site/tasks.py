"""The site itself: is hosts.yaml in order, are its hosts' keys known, who is at work on it, what has been done."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.engine.tasks import query
from runbooks.errors import HostErrors, PrecheckError, RunbookError
from runbooks.inventory.model import Site
from runbooks.inventory.words import literal
from runbooks.text import counted

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.engine.trust import HostKey, SshServer


@query
def check(session: Session) -> None:
    """Check hosts.yaml and say what it describes.

    Connects to nothing.
    """
    site = session.site
    if session.options.json:
        print(json.dumps({"site": site.name, "file": str(session.site_file), "hosts": [host.name for host in site.hosts]}))
        return
    print(
        f"{session.site_file}: {site.name} is in order"
        + (" (the example: it is only reached inside the lab)" if site.example else "")
    )
    print(
        f"  VIP      {literal(site.endpoint.vip)}:{site.endpoint.port}"
        + (f" ({site.endpoint.name})" if site.endpoint.name else "")
    )
    for title, hosts in (("LBs", site.load_balancers), ("masters", site.control_plane), ("workers", site.workers)):
        print(f"  {title:8} " + ", ".join(f"{host} {host.address}" for host in hosts))


@query(
    help={
        "host": "only these, separated by commas",
        "replace": "also accept keys that differ from the recorded ones (after a reinstallation)",
        "yes": "record without asking; compare the fingerprints by other means",
    }
)
def trust(session: Session, host: str = "", replace: bool = False, yes: bool = False) -> None:
    """Show the hosts' SSH keys, and record them.

    Compare them with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on each host's own console. Gateways come
    first, since the way to the others leads through them.
    """
    from runbooks.engine import namespace, trust  # noqa: PLC0415 - start-up time

    namespace.enter(session.site)
    hosts = session.site.named(host)
    failed: dict[str, RunbookError] = {}
    for servers in (trust.gateway_servers(session.site, hosts), trust.host_servers(session.site, hosts)):
        failed |= _trust(session.site, servers, replace=replace, yes=yes)
    if failed:
        raise HostErrors(failed, len(hosts))


@query
def lock(session: Session) -> None:
    """Show who is changing the site just now, and what."""
    from runbooks.commands.lock import show  # noqa: PLC0415 - start-up time
    from runbooks.engine.lock import describe  # noqa: PLC0415

    said = session.run.read_each(
        dict.fromkeys((*session.site.load_balancers, *session.site.control_plane), show(session.site.name))
    )
    held = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
    if not held:
        raise next(each for each in said.values() if isinstance(each, RunbookError))
    for host, each in held.items():
        if each:
            print(f"{host}: {describe(session.site.name, each)}")
    if not any(held.values()):
        print(f"{session.site.name} is not locked")


@query(help={"yes": "I made sure that the holder is gone"})
def unlock(session: Session, yes: bool = False) -> None:
    """Break the lock of a holder that is surely gone.

    It would expire by itself within two minutes.
    """
    if not yes:
        raise PrecheckError(
            "breaking the lock of somebody who is still at work ruins what they do", hint="inv site.lock shows who; then --yes"
        )
    done = [host.name for host in session.break_lock()]
    print(f"unlocked on {', '.join(done)}" if done else "no host answered")


@query(help={"last": "how many"})
def runs(session: Session, last: int = 20) -> None:
    """List the latest runs: when, what, how they ended."""
    from runbooks.engine.journal import summaries  # noqa: PLC0415 - start-up time

    found = summaries(session.state / "runs", last)
    for each in found:
        print(
            json.dumps(each)
            if session.options.json
            else f"{each['run']}  {each['procedure']:16} {each['outcome']:12} {each['detail']}"
        )
    if not found and not session.options.json:
        print("no runs yet")


@query(
    help={"to": "folder to write into; default: docs/runbooks of this checkout", "check": "write nothing: are they up to date?"}
)
def pages(session: Session, to: str = "", check: bool = False) -> None:
    """Write every procedure as a page to follow by hand.

    For your own hosts, with the files that the pages speak of; read them while there is no trouble. Connects to nothing. With
    --check, exit status 1 when a page is not what the procedures say now.
    """
    from runbooks.site.pages.write import show  # noqa: PLC0415 - start-up time

    show(session, to, check=check)


def _trust(site: Site, servers: Sequence[SshServer], *, replace: bool, yes: bool) -> dict[str, RunbookError]:
    from runbooks.engine import trust  # noqa: PLC0415 - start-up time

    failed: dict[str, RunbookError] = {}
    accept: list[HostKey] = []
    for server, answer in zip(servers, trust.host_keys(site, servers) if servers else (), strict=True):
        if isinstance(answer, RunbookError):
            failed[server.name] = answer
            continue
        print(f"{server.name:12} {server.entry:24} {answer.key.get_name():20} {answer.fingerprint}  {answer.state}")
        if answer.state == "changed" and not replace:
            message = f"{server.name} ({server.address}): its key differs from the recorded one"
            failed[server.name] = PrecheckError(message, hint="find out why; after a reinstallation: --replace")
        elif answer.state != "known":
            accept.append(answer)
    if accept and _agreed(len(accept), yes=yes):
        trust.record(site.ssh.known_hosts, accept)
        print(f"recorded {len(accept)} in {site.ssh.known_hosts}")
    return failed


def _agreed(count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise PrecheckError(
            f"{counted(count, 'host key')} not recorded yet, and nobody is here to ask", hint="compare them, then --yes"
        )
    if input(f"Record {counted(count, 'key')}? Compare them first. [y/N] ").strip().lower() in {"y", "yes"}:
        return True
    raise PrecheckError("nothing was recorded")
