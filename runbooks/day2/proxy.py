"""kube-proxy's configuration on a living cluster: its ConfigMap, then its pods, one node after the other.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/#applying-kube-proxy-configuration-changes

A pod that does not start with it stops the rollout on its node: then the old configuration is put back. kube-proxy's rules in the kernel stay while a pod
restarts.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from runbooks.commands import kube_proxy as commands
from runbooks.commands.kube_proxy import Proxy
from runbooks.day2.rules import difference
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.view.cluster import Survey

FIRST_S, EACH_S, STEADY_S = 60, 30, 15
HINT: Final = "kubectl -n kube-system logs -l k8s-app=kube-proxy --tail=5"


def look(run: Run, survey: Survey) -> tuple[Host, Proxy]:
    """Return the host whose API server was asked, and what it has of kube-proxy. Raises NotServing."""
    api_host = survey.serving(run)
    return api_host, run.read(api_host, commands.look(api_host))


def wrong(site: Site, seen: Proxy) -> str:
    """Return what is not as hosts.yaml says, in the ConfigMap or in what the pods run with; or ""."""
    if found := difference.of_proxy(site, seen.config):
        return ", ".join(key for key, _, _ in found)
    if seen.mark and seen.pods != seen.mark:
        return "pods still run with an older configuration"
    return seen.late if seen.mark else ""


def steps(site: Site, survey: Survey, wanted: str) -> list[Step]:
    """Return both steps."""
    return [write(site, survey, wanted), restart(site, survey)]


def write(site: Site, survey: Survey, wanted: str) -> Step:
    """Write the configuration into the ConfigMap; the one of before is kept there until all pods run with the new one."""

    def done(run: Run) -> bool | Unmet:
        found = difference.of_proxy(site, look(run, survey)[1].config)
        return Unmet.of(", ".join(f"{key} is {there or 'not there'}" for key, there, _ in found))

    def do(run: Run) -> None:
        api_host, seen = look(run, survey)
        run.change(api_host, commands.write(api_host, wanted, seen.before or seen.config))

    return Step("kube-proxy's ConfigMap has the settings of hosts.yaml", done=done, do=do, by_hand=by_hand("day2", "proxy_write"))


def restart(site: Site, survey: Survey) -> Step:
    """Restart kube-proxy, node by node; when a pod does not run with the new configuration, put the old one back."""

    def done(run: Run) -> bool | Unmet:
        seen = look(run, survey)[1]
        return Unmet.of(wrong(site, seen)) if not seen.before else Unmet("its pods have not proved that they run with it")

    def do(run: Run) -> None:
        api_host, seen = look(run, survey)
        run.change(api_host, commands.restart(api_host, seen.config))
        if run.plan:
            return
        try:
            _rolled_out(run, survey, len(site.nodes))
        except OutcomeError as error:
            _go_back(run, survey, len(site.nodes), error)
        run.change(api_host, commands.write(api_host, seen.config, ""))

    return Step("kube-proxy runs with them", done=done, do=do, within=30, by_hand=by_hand("day2", "proxy_restart"))


def _rolled_out(run: Run, survey: Survey, nodes: int) -> None:
    """Wait until all pods are new, and have stayed so for STEADY_S seconds: the DaemonSet counts a pod as ready as soon as it runs."""
    since = 0.0

    def there() -> bool | Unmet:
        nonlocal since
        run.look_anew()
        late = look(run, survey)[1].late
        since = (since or monotonic()) if not late else 0.0
        return Unmet.of(late or ("" if monotonic() - since >= STEADY_S else f"they have not been ready for {STEADY_S} s"))

    until(there, within=FIRST_S + EACH_S * nodes, poll=run.poll)


def _go_back(run: Run, survey: Survey, nodes: int, why: OutcomeError) -> None:
    """Put the old configuration back, and raise OutcomeError."""
    try:
        api_host, seen = look(run, survey)
        if not seen.before:
            raise OutcomeError("which one there was before is not known")
        run.change(api_host, commands.write(api_host, seen.before, seen.before))
        run.change(api_host, commands.restart(api_host, seen.before))
        _rolled_out(run, survey, nodes)
        run.change(api_host, commands.write(api_host, seen.before, ""))  # only now it is not needed any more
    except RunbookError as error:
        raise OutcomeError(
            f"kube-proxy does not run with these settings: {why}\nThe old ones do not bring it back either: {error}", hint=HINT
        ) from None
    raise OutcomeError(
        f"kube-proxy does not run with these settings: {why}\nThe old ones are back, and it runs with them.",
        hint=f"correct kubernetes.kube_proxy in hosts.yaml; what it said: {HINT} --previous",
    )
