"""Monitoring: rules that alert people in time, what Prometheus scrapes, and dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query
from runbooks.errors import DiskError, InventoryError

if TYPE_CHECKING:
    from runbooks.engine.session import Session

MOST = 1000
FASTER = "divide every duration by so many: for rehearsals, in which nobody can wait for an hour"


@query(
    help={
        "to": "directory to write to; created when missing",
        "faster": FASTER,
    }
)
def render(session: Session, to: str, faster: int = 1) -> None:
    """Write all files of monitoring to a directory.

    Rules, targets, dashboards, and the hosts' files. For the Prometheus operator, or for an ordinary Prometheus: monitoring.form in hosts.yaml. Connects to no host.
    """
    from runbooks.monitor.files import everything  # noqa: PLC0415 - start-up time
    from runbooks.monitor.rules.scope import Scope  # noqa: PLC0415

    _sound(faster)
    for name, text in everything(Scope(session.site, faster)).items():
        path = Path(to).expanduser() / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        except OSError as error:
            raise DiskError(f"{path}: cannot be written: {error.strerror or error}", hint="another --to") from None
        print(path)


@procedure(
    help={
        "to": "with an ordinary Prometheus: directory here for the files of its host; default: .runbooks/SITE/prometheus",
        "host": "only these hosts, separated by commas; default: all",
        "faster": f"as for monitor.render: {FASTER}",
    }
)
def apply(session: Session, to: str = "", host: str = "", faster: int = 1) -> None:
    """Set up monitoring on the hosts and in the cluster.

    node_exporter and our files for it on every host, the proxy for metrics on control plane hosts, firewalld where it runs, the account
    that reads metrics, and with the Prometheus operator rules, targets and dashboards. Proves that the proxies answer and that node_exporter
    serves our files. With an ordinary Prometheus it writes the files for its host here, and says what is left to do there. Safe to run again.
    """
    from runbooks.monitor.apply import apply_procedure  # noqa: PLC0415 - start-up time
    from runbooks.monitor.prometheus_host import left_to_do  # noqa: PLC0415
    from runbooks.monitor.rules.scope import Scope  # noqa: PLC0415

    _sound(faster)
    scope, hosts = Scope(session.site, faster), session.site.named(host)
    directory = Path(to).expanduser().absolute() if to else session.state / "prometheus"
    given = (("--to", to), ("--host", host), ("--faster", str(faster) if faster != 1 else ""))
    flags = " ".join(f"{name} {value}" for name, value in given if value)
    session.carry_out(apply_procedure(scope, hosts, directory, flags))
    if not session.options.plan and scope.settings.form == "files":
        session.run.listener.say(left_to_do(scope, directory))


@procedure(help={"host": "only from these hosts, separated by commas, and nothing in the cluster; default: all"})
def remove(session: Session, host: str = "") -> None:
    """Take monitoring away again.

    Our files and units on the hosts, our objects in the cluster. Packages (node_exporter, HAProxy) and what was opened in firewalld stay; what Prometheus itself has is not touched.
    """
    from runbooks.monitor.apply import remove_procedure  # noqa: PLC0415 - start-up time
    from runbooks.monitor.rules.scope import Scope  # noqa: PLC0415

    session.carry_out(remove_procedure(Scope(session.site), session.site.named(host), cluster=not host))


@query(help={"faster": f"as for monitor.render: {FASTER}"})
def check(session: Session, faster: int = 1) -> None:
    """Show whether monitoring works.

    Targets, rules, series, alerts. Asks the Prometheus of hosts.yaml (monitoring.prometheus). A rule whose series do not exist never fires: every one is looked at.
    Also shows what fires now. Exit status 1 when something is missing or a critical alert fires.
    """
    from runbooks.monitor.check import check  # noqa: PLC0415 - start-up time

    _sound(faster)
    check(session, faster)


def _sound(faster: int) -> None:
    if not 1 <= faster <= MOST:
        raise InventoryError(f"--faster {faster} is not a whole number from 1 to {MOST}")
