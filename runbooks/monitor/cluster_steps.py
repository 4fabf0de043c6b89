"""The steps of `inv monitor.apply` and `monitor.remove` in the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands import kubectl, monitor, node
from runbooks.commands.base import Secret
from runbooks.commands.lb_paths import NOTIFY
from runbooks.commands.monitor import Account, Exported, Seen
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.monitor.host_steps import look
from runbooks.monitor.objects import ACCOUNT, account_namespace
from runbooks.monitor.rules import hosts as rules
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import proxied
from runbooks.text import indented, listed
from runbooks.view.cluster import Survey

KINDS = frozenset({"prometheusrules", "servicemonitors"})  # of the Prometheus operator


def can_be_set_up(scope: Scope, survey: Survey, hosts: Sequence[Host]) -> Step:
    """Return the step that refuses, before anything is changed, what would fail later."""

    def check(run: Run) -> None:
        api_host = survey.serving(run)
        _refuse_no_operator(run, scope, api_host)
        _refuse_outside(run, hosts)
        seen = run.read_all({host: look(scope, host) for host in hosts})
        exported = run.read_all({host: monitor.exported(host, scope.settings.node_exporter_port) for host in hosts})
        _refuse_no_exporter(scope, hosts, seen, exported)
        _refuse_no_directory(scope, hosts, seen, exported)
        if reasons := [reason for host in hosts if (reason := rules.cannot_tell(host, seen[host]))]:
            raise PrecheckError(
                f"keepalived's state cannot be told:{indented(reasons)}", hint="inv lb.setup, then inv monitor.apply again"
            )

    return Step(
        "monitoring can be set up on these hosts",
        check=check,
        by_hand=by_hand(
            "monitor",
            "can_be_set_up",
            operator=scope.settings.form == "operator",
            kinds=sorted(KINDS),
            namespace=scope.settings.namespace,
            port=scope.settings.node_exporter_port,
            directory=scope.settings.textfiles,
            hook=NOTIFY,
        ),
    )


def _refuse_no_operator(run: Run, scope: Scope, api_host: Host) -> None:
    """Raise PrecheckError when hosts.yaml names the Prometheus operator and the cluster has none, or not its namespace."""
    if scope.settings.form != "operator":
        return
    if missing := sorted(KINDS - run.read(api_host, monitor.kinds(api_host, sorted(KINDS)))):
        raise PrecheckError(
            f"the cluster does not know the kinds {listed(missing)}: the Prometheus operator is not installed, and monitoring.form is operator",
            hint="install it first (kube-prometheus-stack has it), or write `form: files` under monitoring in hosts.yaml for an ordinary Prometheus",
        )
    name = scope.settings.namespace
    if not run.read(api_host, monitor.namespace(api_host, name)):
        raise PrecheckError(
            f"the cluster has no namespace {name} (monitoring.namespace)",
            hint=f"write the namespace of your Prometheus in hosts.yaml, or: kubectl create namespace {name}",
        )


def _refuse_outside(run: Run, hosts: Sequence[Host]) -> None:
    """Raise PrecheckError when a control plane host is in no cluster: nothing there could be proved, and its proxy has no certificate."""
    masters = [host for host in hosts if host.is_control_plane]
    states = run.read_all({host: node.look(host) for host in masters})
    if outside := [host for host in masters if not states[host].joined]:
        names = ",".join(map(str, outside))
        raise PrecheckError(
            f"not in the cluster: {listed(outside)}",
            hint=f"inv cluster.join --host {names}, then inv monitor.apply; or only the others: inv monitor.apply --host NAMES",
        )


def _refuse_no_exporter(scope: Scope, hosts: Sequence[Host], seen: Mapping[Host, Seen], answers: Mapping[Host, Exported]) -> None:
    """Raise PrecheckError, with a line for each host, where node_exporter does not answer and nobody would install it."""
    reasons = [reason for host in hosts if (reason := rules.cannot_install(scope, host, seen[host], answers[host]))]
    if reasons:
        port, directory = scope.settings.node_exporter_port, scope.settings.textfiles
        hint = f"install it there, with --web.listen-address=:{port} and --collector.textfile.directory={directory}"
        if any(answers[host].listens and not answers[host].answers for host in hosts):
            hint = (
                f"where something listens (ss -ltnp 'sport = :{port}'): a node_exporter without TLS, without a password and on every address; or"
                f" another port for ours, monitoring.node_exporter_port; or monitoring.jobs without node-exporter, if a job of yours reads it."
                f" Where nothing listens: {hint}"
            )
        raise PrecheckError(f"node_exporter is missing:{indented(reasons)}", hint=f"{hint}; then inv monitor.apply again")


def _refuse_no_directory(
    scope: Scope, hosts: Sequence[Host], seen: Mapping[Host, Seen], answers: Mapping[Host, Exported]
) -> None:
    """Raise PrecheckError, with a line for each host, where files of ours would have no directory."""
    reasons = [reason for host in hosts if (reason := rules.no_directory(scope, host, seen[host], answers[host]))]
    if reasons:
        directory = scope.settings.textfiles
        raise PrecheckError(
            f"node_exporter's directory for files is missing:{indented(reasons)}",
            hint=f"write the directory that node_exporter there reads (its --collector.textfile.directory) as monitoring.textfiles in hosts.yaml; or"
            f" install -d -m 755 {directory}, and let node_exporter read it: --collector.textfile.directory={directory}",
        )


def applied(scope: Scope, survey: Survey, name: str, manifest: str) -> Step:
    """Return the step after which the objects of ``manifest`` (the file ``name``) are in the cluster as it says."""
    is_account = name == "account.yaml"

    def done(run: Run) -> bool | Unmet:
        api_host = survey.serving(run)
        if not run.read(api_host, monitor.same(api_host, manifest)):
            return Unmet("the objects in the cluster differ")
        if is_account and not token(run, scope, api_host):
            return Unmet("Kubernetes has not made the token yet")
        return True

    def do(run: Run) -> None:
        api_host = survey.serving(run)
        run.change(api_host, kubectl.apply(api_host, manifest))

    what = {
        "account.yaml": "the account that may read metrics",
        "rules.yaml": "the rules (PrometheusRule)",
        "targets.yaml": "the targets (Service, Endpoints, ServiceMonitor)",
        "dashboards.yaml": "the dashboards (ConfigMap)",
    }[name]
    text = by_hand("monitor", "applied", name=name, account=is_account, namespace=account_namespace(scope), secret=ACCOUNT)
    return Step(f"apply {what}", done=done, do=do, within=60, settled=True, by_hand=text)


def token(run: Run, scope: Scope, api_host: Host) -> Account | None:
    """Return the token that Kubernetes has made for the account, None while there is none."""
    return run.read(api_host, monitor.account(api_host, account_namespace(scope), ACCOUNT))


def answers(scope: Scope, survey: Survey, host: Host) -> Step:
    """Return the step that waits until the proxy on ``host`` gives all that it is there for, to the account's token."""
    port, jobs = scope.settings.proxy_port, [(job, job != "etcd") for job in proxied(scope)]

    def done(run: Run) -> bool | Unmet:
        found = token(run, scope, survey.serving(run))
        said = run.read(host, monitor.proxied(host, port, jobs, found.token if found else Secret("")))
        return Unmet.of(rules.not_answering(said, host.address, port))

    text = by_hand("monitor", "answers", host=host, port=port, jobs=jobs, namespace=account_namespace(scope), secret=ACCOUNT)
    return Step("the proxy gives the metrics of the control plane", host, done=done, within=60, by_hand=text)


def withdrawn(scope: Scope, survey: Survey, manifests: dict[str, str]) -> Step:
    """Return the step after which the objects of ``manifests`` (by the names of their files) are no longer in the cluster."""

    def known(run: Run, api_host: Host) -> list[str]:
        """Return the manifests whose kinds the cluster knows: without the operator there is nothing of it to delete."""
        if manifests.keys() <= {"account.yaml"} or run.read(api_host, monitor.kinds(api_host, sorted(KINDS))) >= KINDS:
            return list(manifests.values())
        return [text for name, text in manifests.items() if name not in {"rules.yaml", "targets.yaml"}]

    def done(run: Run) -> bool | Unmet:
        api_host = survey.serving(run)
        left = [each for text in known(run, api_host) for each in run.read(api_host, monitor.there(api_host, text))]
        return Unmet.of(f"still there: {listed(left)}" if left else "")

    def do(run: Run) -> None:
        api_host = survey.serving(run)
        for text in known(run, api_host):
            if run.read(api_host, monitor.there(api_host, text)):
                run.change(api_host, kubectl.apply(api_host, text, "delete"))

    text = by_hand("monitor", "withdrawn", names=list(manifests))
    return Step("delete its objects in the cluster", done=done, do=do, within=60, settled=True, by_hand=text)
