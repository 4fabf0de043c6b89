"""The procedures of `inv monitor.apply` and `inv monitor.remove`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from runbooks.commands import monitor
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.inventory.model import Host
from runbooks.monitor import host_steps
from runbooks.monitor.cluster_steps import answers, applied, can_be_set_up, withdrawn
from runbooks.monitor.files import everything
from runbooks.monitor.host_files import host_files
from runbooks.monitor.prometheus_host import written
from runbooks.monitor.rules import hosts as rules
from runbooks.monitor.rules.scope import Scope
from runbooks.text import listed
from runbooks.view.cluster import Survey

OBJECTS = ("account.yaml", "rules.yaml", "targets.yaml", "dashboards.yaml")


def objects(scope: Scope) -> dict[str, str]:
    """Return what goes into the cluster, by the names of the files that `monitor.render` writes."""
    files = everything(scope)
    return {name: files[name] for name in OBJECTS if name in files}


def apply_procedure(scope: Scope, hosts: Sequence[Host], directory: Path, flags: str = "") -> Procedure:
    """Return the procedure that sets up monitoring on ``hosts`` and in the cluster.

    ``directory``: where the files for the host of an ordinary Prometheus go, on this machine. ``flags``: as the command was given them.
    """
    survey = Survey()
    steps: list[Step | Together] = [can_be_set_up(scope, survey, hosts)]
    steps += _together(_on_hosts(scope, hosts))
    steps += [applied(scope, survey, name, text) for name, text in objects(scope).items()]
    steps += _together(
        [
            [answers(scope, survey, host) for host in hosts if rules.has_proxy(scope, host)],
            [host_steps.exports(scope, host) for host in hosts if "node-exporter" in scope.jobs],
        ]
    )
    if scope.settings.form == "files":
        steps.append(written(scope, survey, directory))
    contents = "".join(f"{name}\n{text}" for name, text in sorted(everything(scope).items()))
    inputs = {"hosts": [host.name for host in hosts], "files": sha256(contents.encode()).hexdigest(), "to": str(directory)}
    return Procedure("monitor.apply", f"Set up the monitoring of {scope.site.name}", steps, inputs=inputs, flags=flags)


def _on_hosts(scope: Scope, hosts: Sequence[Host]) -> list[list[Step]]:
    """Return the steps that change hosts, those in a list on all of them at the same time."""
    exporting = [host for host in hosts if "node-exporter" in scope.jobs]
    installing = exporting if scope.settings.node_exporter == "install" else []
    return [
        [host_steps.install_exporter(scope, host) for host in installing],
        [host_steps.install_haproxy(scope, host) for host in hosts if rules.has_proxy(scope, host)],
        [host_steps.open_firewall(scope, host) for host in hosts if rules.openings(scope, host)],
        [host_steps.install_files(scope, host) for host in hosts],
        [host_steps.run_units(scope, host) for host in hosts if host_files(scope, host) or host.is_lb],
    ]


def _together(groups: Sequence[Sequence[Step]]) -> list[Together]:
    return [Together(tuple(steps)) for steps in groups if steps]


def remove_procedure(scope: Scope, hosts: Sequence[Host], *, cluster: bool) -> Procedure:
    """Return the procedure that takes monitoring away from ``hosts``, and with ``cluster`` its objects. Packages and open ports stay."""
    steps: list[Step | Together] = [Together(tuple(removed(scope, host) for host in hosts))]
    if cluster:
        steps.append(withdrawn(scope, Survey(), dict(reversed(objects(scope).items()))))
    names = [host.name for host in hosts]
    title = f"Remove the monitoring of {scope.site.name}" + ("" if cluster else f" from {listed(names)}")
    return Procedure(
        "monitor.remove", title, steps, inputs={"hosts": names}, flags="" if cluster else f"--host {','.join(names)}"
    )


def removed(scope: Scope, host: Host) -> Step:
    """Return the step that stops our units on ``host`` and deletes our files."""
    paths = monitor.all_files(scope.settings.textfiles)

    def done(run: Run) -> bool | Unmet:
        left = run.read(host, monitor.left(paths))
        return Unmet.of(f"still there: {listed(left)}" if left else "")

    return Step(
        "remove its files for monitoring",
        host,
        done=done,
        do=lambda run: run.change(host, monitor.remove(run.read(host, monitor.left(paths)))),
        settled=True,
        by_hand=by_hand("monitor", "removed", host=host, paths=paths, units=monitor.OURS),
    )
