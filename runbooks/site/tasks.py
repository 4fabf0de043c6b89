"""The site itself: check hosts.yaml, record host keys, show and break the lock, write the pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runbooks.engine.tasks import error_event, query, runbook
from runbooks.errors import HostErrors, PrecheckError, RunbookError
from runbooks.inventory.words import literal
from runbooks.text import listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.engine.trust import SshServer


@query
def check(session: Session) -> None:
    """Check hosts.yaml, and say what it describes.

    Also checks that the files which it names are on this machine. Connects to nothing.
    """
    from runbooks.inventory.problems import SiteError  # noqa: PLC0415 - start-up time
    from runbooks.site.problems import beyond_loading  # noqa: PLC0415

    site = session.site
    wrong = beyond_loading(site)
    if wrong:
        raise SiteError(session.problems(wrong))
    if session.options.json:
        print(json.dumps({"site": site.name, "file": str(session.site_file), "hosts": [host.name for host in site.hosts]}))
        return
    print(
        f"{session.site_file}: {site.name} is in order"
        + (" (the example: hosts are only reachable inside the lab)" if site.example else "")
    )
    print(
        f"  VIP            {literal(site.endpoint.vip)}:{site.endpoint.port}"
        + (f" ({site.endpoint.name})" if site.endpoint.name else "")
    )
    for vip in site.load_balancer.vips:
        serves = f", serves the {vip.serves[0]}" if vip.serves else ""
        print(f"  {f'VIP {vip.name}':14} {vip.address} ({site.order_of(vip)[0]} first{serves})")
    for title, hosts in (("LBs", site.load_balancers), ("control plane", site.control_plane), ("workers", site.workers)):
        print(f"  {title:14} {listed(f'{host} {host.address}' for host in hosts)}")


@query(
    help={
        "host": "only these, and the gateways that lead to them; separated by commas",
        "gateways": "only the gateways",
        "replace": "also accept keys that differ from the recorded ones (after a reinstallation)",
        "yes": "record without asking; compare the fingerprints in another way",
    }
)
def trust(session: Session, host: str = "", gateways: bool = False, replace: bool = False, yes: bool = False) -> None:
    """Show the hosts' SSH keys, and record them.

    Compare the fingerprints with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on each host's own console. Gateways
    come first, because the hosts are reached through them. With --host, --replace is for the hosts' keys only: a gateway's key is replaced
    with --gateways.
    """
    from runbooks.engine import namespace  # noqa: PLC0415 - start-up time
    from runbooks.site import trusting  # noqa: PLC0415

    namespace.enter(session.site)
    site, hosts = session.site, session.site.named(host)
    asking = trusting.Asking(yes=yes, way_out=_anew, replace_gateways=replace and (gateways or not host), replace_hosts=replace)
    failed = trusting.trust(site, hosts, asking, only_gateways=gateways)
    if failed:
        raise HostErrors(failed, len(hosts))


@runbook(
    name="import",
    positional=["file"],
    help={
        "file": "inventory of kubespray or Ansible, k0sctl's cluster file, or the directory that it is in",
        "output": "the file to write; default: the one of RUNBOOKS_SITE. One that is there is not overwritten",
        "control-plane": "groups that are the control plane, with commas; default: by their names",
        "workers": "groups that are workers, likewise",
        "lbs": "groups that are load balancers, likewise",
        "resolve": "ask this machine's resolver for the addresses of hosts that only have a name",
    },
)
def bring(
    _: object, file: str, output: str = "", control_plane: str = "", workers: str = "", lbs: str = "", resolve: bool = False
) -> None:
    """Write hosts.yaml from another tool's inventory.

    Reads kubespray's and k0sctl's files and inventories of Ansible, with group_vars and host_vars beside them and your own ssh
    configuration. Connects to nothing, runs no dynamic inventory, evaluates no template and no vault. Says what was read, guessed, and is
    missing. Exit status 5 when the file has places to put right.
    """
    from runbooks.site.importing.command import bring as carry_out  # noqa: PLC0415 - start-up time

    groups = {
        role: [word.strip() for word in words.split(",") if word.strip()]
        for role, words in (("control-plane", control_plane), ("worker", workers), ("lb", lbs))
    }
    carry_out(file, output, groups, resolve=resolve)


@runbook(
    help={
        "host": "a control plane host: [USER@]HOST[:PORT], an address, a name or an alias of your ssh configuration; the user needs sudo without a password",
        "kubeconfig": "instead of --host: an administrator's kubeconfig, which says where the control plane hosts are",
        "lb": "addresses of the load balancers, separated by commas; default: they are found",
        "output": "the site file to write; default: the one of RUNBOOKS_SITE, else hosts.yaml",
        "key": "private key; default: what your ssh configuration says, else the SSH agent and the usual keys",
        "yes": "record host keys without asking; compare the fingerprints in another way",
        "json": "print one JSON object, for programs; what people read goes to standard error",
    }
)
def adopt(  # noqa: PLR0913, PLR0917 - its flags
    _: object,
    host: str = "",
    kubeconfig: str = "",
    lb: str = "",
    output: str = "",
    key: str = "",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Write hosts.yaml for a cluster that is there.

    From one control plane host it finds the nodes, the VIP and the load balancers; it only looks. Then it says what differs from a site that
    this tool has set up, and lets the doctor look. A file that exists is compared and never written over; exit status 1 when it differs.
    """
    from runbooks.site.adopt import command  # noqa: PLC0415 - start-up time

    with error_event(shown=json):
        command.adopt(host=host, kubeconfig=kubeconfig, lbs=lb, output=output, key=key, yes=yes, as_json=json)


@query
def lock(session: Session) -> None:
    """Show who holds the site's lock, and for what."""
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


@query(help={"yes": "confirm that the holder's process is gone"})
def unlock(session: Session, yes: bool = False) -> None:
    """Break the lock of a holder that is gone.

    Only after you have made sure that its process no longer runs: two commands at once can destroy the cluster. A lock expires by
    itself within two minutes after its holder has died.
    """
    if not yes:
        raise PrecheckError(
            "breaking the lock while its holder is still working can damage the cluster",
            hint="inv site.lock shows the holder; if its process is gone: inv site.unlock --yes",
        )
    done = [host.name for host in session.break_lock()]
    print(f"unlocked on {listed(done)}" if done else "no host answered")


@query(
    help={
        "to": "folder to write into; default: docs/runbooks of this checkout",
        "check": "write nothing, only check that they are up to date",
    }
)
def pages(session: Session, to: str = "", check: bool = False) -> None:
    """Write every procedure as a page to follow by hand.

    For the hosts of your site, with the files that the pages refer to. Print them before there is an incident. Connects to nothing.
    With --check, exit status 1 when a page is out of date.
    """
    from runbooks.site.pages.write import show  # noqa: PLC0415 - start-up time

    show(session, to, check=check)


def _anew(server: SshServer) -> str:
    """Return the command that records another key for ``server``."""
    return f"inv site.trust {'--gateways' if server.is_gateway else f'--host {server.name}'} --replace"
