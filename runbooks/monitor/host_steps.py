"""The steps of `inv monitor.apply` on one host."""

from __future__ import annotations

from runbooks.commands import files, firewall, monitor
from runbooks.commands.base import Probe, batch
from runbooks.commands.files import Found
from runbooks.commands.firewall import Openings
from runbooks.commands.lb_paths import NOTIFY
from runbooks.commands.monitor import Seen
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.monitor.host_files import host_files
from runbooks.monitor.rules import hosts as rules
from runbooks.monitor.rules.scope import Scope
from runbooks.rules.firewall import missing


def look(scope: Scope, host: Host) -> Probe[Seen]:
    """Return the probe for what is there of monitoring on ``host``."""
    return monitor.look(rules.units(scope, host), scope.settings.textfiles)


def install_exporter(scope: Scope, host: Host) -> Step:
    """Return the step that installs node_exporter where none answers. One that answers is left as it is, whoever installed it."""
    answer = monitor.exported(host, scope.settings.node_exporter_port)

    def done(run: Run) -> bool | Unmet:
        if run.read(host, answer).answers:
            return True
        return Unmet(f"no node_exporter answers at {host.address} port {scope.settings.node_exporter_port}")

    def do(run: Run) -> None:
        seen = run.read(host, look(scope, host))
        if reason := rules.cannot_install(scope, host, seen, run.read(host, answer)):
            raise PrecheckError(reason)
        if monitor.EXPORTER not in seen.packages:
            install(run, host, monitor.install_exporter())
        run.change(host, monitor.start_exporter())

    text = by_hand(
        "monitor",
        "install_exporter",
        host=host,
        package=monitor.EXPORTER,
        port=scope.settings.node_exporter_port,
        directory=scope.settings.textfiles,
    )
    return Step("install node_exporter", host, done=done, do=do, within=30, settled=True, by_hand=text)


def install_haproxy(scope: Scope, host: Host) -> Step:
    """Return the step that installs HAProxy for the proxy. Its own service is never enabled or started; one that is there stays as it is."""

    def recent(run: Run) -> None:
        if reason := rules.haproxy_too_old(run.read(host, look(scope, host))):
            raise PrecheckError(
                f"{host}: {reason}",
                hint="upgrade the host, add a package repository with a newer version, or bind the metrics yourself (monitoring.control_plane: bound)",
            )

    return Step(
        "install HAProxy, without its own service",
        host,
        check=recent,
        done=lambda run: Unmet.of(rules.haproxy_missing(run.read(host, look(scope, host)))),
        do=lambda run: install(run, host, monitor.install_haproxy()),
        verify=recent,
        settled=True,
        by_hand=by_hand("monitor", "install_haproxy", package=monitor.HAPROXY),
    )


def open_firewall(scope: Scope, host: Host) -> Step:
    """Return the step that opens firewalld, where it runs, for those who read metrics. Only adds: other rules stay as they are."""
    needed = rules.openings(scope, host)
    probe = firewall.look(host.interface or "", str(host.address))

    def lacking(run: Run) -> tuple[Openings, Openings]:
        there = run.read(host, probe)
        if not there:
            return Openings(), Openings()
        return missing(needed, there.now), missing(needed, there.kept)

    def do(run: Run) -> None:
        if there := run.read(host, probe):
            run.change(host, firewall.allow(there.zone, *lacking(run)))

    return Step(
        "open the firewall for Prometheus (firewalld)",
        host,
        done=lambda run: not any(lacking(run)),
        do=do,
        settled=True,
        by_hand=by_hand("monitor", "open_firewall", host=host, needed=needed),
    )


def install_files(scope: Scope, host: Host) -> Step:
    """Return the step that writes the host's files, and removes those that hosts.yaml no longer wants, with their units."""
    wanted = host_files(scope, host)
    gone = tuple(path for path in rules.all_paths() if path not in {file.path for file in wanted})
    both = batch(files.found(file.path for file in wanted), monitor.left(gone))

    def there(run: Run) -> tuple[dict[str, Found], tuple[str, ...]]:
        found, left = run.read(host, both)
        return found, left

    def done(run: Run) -> bool:
        found, left = there(run)
        return not files.differing(wanted, found) and not left

    def do(run: Run) -> None:
        found, left = there(run)
        if differing := files.differing(wanted, found):
            run.place(host, differing, found, monitor.place(differing))
        if left:
            run.change(host, monitor.remove(left))

    text = by_hand("monitor", "install_files", host=host, files=wanted, gone=gone, units=monitor.UNITS)
    return Step("install its files for monitoring", host, done=done, do=do, settled=True, by_hand=text)


def run_units(scope: Scope, host: Host) -> Step:
    """Return the step that enables and starts the host's units, reloads them after their files were written, and makes an LB's link."""
    units, once = rules.units(scope, host), rules.once(host)
    directory = scope.settings.textfiles
    link = f"{directory}/{monitor.LB_PROM}" if host.is_lb else ""

    def do(run: Run) -> None:
        if not run.plan and not run.read(host, look(scope, host)).directory:
            raise PrecheckError(
                f"{host}: there is no directory {directory} (monitoring.textfiles)",
                hint=f"write the directory that node_exporter there reads, or make it: install -d -m 755 {directory}",
            )
        try:
            run.change(host, monitor.run(units, once, link, scope.site.name))
        except CommandError as error:
            first = (
                "inv lb.setup" if error.exited == monitor.OLD_HOOK else f"on {host}: systemctl status {' '.join((*units, *once))}"
            )
            error.hint = f"{first}; then inv monitor.apply again"
            raise

    tell = f"{NOTIFY} metrics {scope.site.name}"
    text = by_hand("monitor", "run_units", host=host, units=units, once=once, link=link, textfile=monitor.LB_TEXTFILE, tell=tell)
    return Step(
        "run what its files are for",
        host,
        done=lambda run: Unmet.of(rules.not_running(scope, host, run.read(host, look(scope, host)))),
        do=do,
        within=30,
        by_hand=text,
    )


def exports(scope: Scope, host: Host) -> Step:
    """Return the step that waits until node_exporter serves the files of this tool."""
    answer = monitor.exported(host, scope.settings.node_exporter_port)
    text = by_hand(
        "monitor",
        "exports",
        host=host,
        port=scope.settings.node_exporter_port,
        series=sorted(rules.series(scope, host)),
        directory=scope.settings.textfiles,
    )
    return Step(
        "node_exporter serves our metrics",
        host,
        done=lambda run: Unmet.of(rules.not_exporting(scope, host, run.read(host, answer))),
        within=30,
        by_hand=text,
    )
