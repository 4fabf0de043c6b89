"""The procedures of `inv cluster.remove` (one host) and `inv cluster.reset` (a whole cluster)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from runbooks.cluster import members, patches, registries
from runbooks.cluster.admission import accepts_a_change
from runbooks.cluster.drain import Named, drain
from runbooks.cluster.node_settings import keep_settings
from runbooks.commands import kubeadm, kubectl, monitor, node
from runbooks.commands.base import Probe
from runbooks.commands.node import NodeState
from runbooks.engine.by_hand import by_hand
from runbooks.engine.confirm import confirm
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Monitoring
from runbooks.lb.traffic import take_out
from runbooks.rules import etcd as etcd_rules
from runbooks.text import listed
from runbooks.view import etcd
from runbooks.view.cluster import Survey

STAYS: Final = (
    "What stays on a host: packages and images; containerd, with its configuration but without registries' logins and files; what baseline "
    "in hosts.yaml names, the proxy too; what kubeadm needs of the kernel"
)


def remove_procedure(site: Site, host: Host, named: Named | None = None) -> Procedure:
    """Return the procedure that removes ``host`` from the cluster, dead or alive.

    ``named``: what of its pods may be lost. Never leaves etcd without a quorum: see `check_quorum` and
    `members.remove_from_etcd`.
    """
    survey = Survey()
    control_plane = host.is_control_plane
    steps: list[Step | Together] = [
        check_quorum(survey, host),
        accepts_a_change(survey, host, drains=True),
        keep_settings(survey, host),
    ]
    if control_plane:
        steps.append(take_out(host))
    steps.append(drain(survey, host, named or Named()))
    if control_plane:
        steps.append(leave_etcd(survey, host))
    steps += [wipe(survey, host), registries.forget(host, survey), unwatched(site, host, survey), delete_node(survey, host)]
    return Procedure("cluster.remove", f"Remove {host} from {site.name}", steps, inputs={"host": host.name})


def check_quorum(survey: Survey, host: Host) -> Step:
    """Return the step that refuses the removal, before anything is changed, if etcd would lose its quorum or its last member.

    Never lets a control plane host go unless a majority of the voters is healthy now and also without it.
    """

    def check(run: Run) -> None:
        api_host = survey.serving(run, without=host)
        member = members.etcd_member_of(run, api_host, host) if host.is_control_plane else None
        if not member:
            return
        seen = etcd.view(run, survey.reachable(run))
        if reason := etcd_rules.refuse_removal(seen.members, etcd_rules.healthy_ids(seen), member.id):
            raise PrecheckError(
                f"{host} must not be removed: {reason}",
                hint="repair or add another control plane host first; inv etcd.status shows the members",
            )

    return Step(
        "check that etcd keeps its quorum without it", host, check=check, by_hand=by_hand("cluster", "check_quorum", host=host)
    )


def leave_etcd(survey: Survey, host: Host) -> Step:
    """Return the step that removes the host's etcd member by ID. The quorum is checked again right before the removal."""

    def member(run: Run) -> Any:
        return members.etcd_member_of(run, survey.serving(run, without=host), host)

    return Step(
        "remove its etcd member",
        host,
        done=lambda run: member(run) is None,
        do=lambda run: members.remove_from_etcd(run, survey, member(run)),
        within=30,
        by_hand=by_hand("cluster", "leave_etcd", host=host),
    )


def wipe(survey: Survey, host: Host) -> Step:
    """Return the step that runs `kubeadm reset` on the host, if it can be reached."""

    def state(run: Run) -> NodeState | RunbookError:
        return survey.each(run, {host: node.look(host)})[host]

    def done(run: Run) -> bool:
        seen = state(run)
        if isinstance(seen, RunbookError):
            run.note(
                host,
                f"cannot be reached, so its files were not removed; before you use it again: inv cluster.reset --host {host}",
            )
            return True
        return seen.blank

    return Step(
        "remove Kubernetes' files from it (kubeadm reset)",
        host,
        done=done,
        do=lambda run: _reset(run, host),
        by_hand=by_hand("cluster", "wipe", host=host, phases=kubeadm.ALONE),
    )


def _reset(run: Run, host: Host) -> None:
    patches.forget(run, host)
    run.change(host, kubeadm.reset(kubeadm.ALONE))


def delete_node(survey: Survey, host: Host) -> Step:
    """Return the step that deletes the Node object, and the host's entry in ClusterStatus, which kubeadm kept until 1.21."""

    def api_host(run: Run) -> Host:
        return survey.serving(run, without=host)

    def done(run: Run) -> bool:
        return host.name not in survey.nodes(run, api_host(run)) and not run.read(
            api_host(run), endpoint_entry(api_host(run), host)
        )

    def do(run: Run) -> None:
        forget_node(run, api_host(run), host)

    return Step("delete its node", host, done=done, do=do, within=30, by_hand=by_hand("cluster", "delete_node", host=host))


def forget_node(run: Run, api_host: Host, host: Host) -> None:
    """Delete the Node object of ``host`` and its entry in ClusterStatus, if there are any."""
    members.delete_node(run, api_host, host)
    if status := run.read(api_host, endpoint_entry(api_host, host)):
        patch = json.dumps({"data": {"ClusterStatus": status}})
        words = ("-n", "kube-system", "patch", "configmap", "kubeadm-config", "--type=merge", "-p", patch)
        run.change(api_host, kubectl.kubectl(api_host, *words))


def endpoint_entry(api_host: Host, host: Host) -> Probe[str]:
    """Return kubeadm's ClusterStatus without the entry of ``host``, "" when it has no such entry."""
    words = ("-n", "kube-system", "get", "configmap", "kubeadm-config")
    return kubectl.read_json(
        api_host, *words, parse=lambda found: without_endpoint(found["data"].get("ClusterStatus", ""), host.name)
    )


def without_endpoint(status: str, name: str) -> str:
    """Return the YAML text ``status`` without the block of ``name`` under apiEndpoints; "" when it has none.

    kubeadm wrote the text: an entry is indented by two spaces, its fields by four.
    """
    kept, inside, found = [], False, False
    for line in status.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            inside = line.strip() == f"{name}:"
            found = found or inside
        elif not line.startswith(" "):
            inside = False
        if not inside:
            kept.append(line)
    return "\n".join(kept) + "\n" if found else ""


def refuse_members(run: Run, hosts: Sequence[Host]) -> None:
    """Raise PrecheckError when kubeadm runs on one of ``hosts``, or it is a member of a cluster in service.

    A member must be removed with `inv cluster.remove`.
    """
    survey = Survey()
    for host, state in survey.each(run, {host: node.look(host) for host in hosts}).items():
        if isinstance(state, NodeState) and state.running:
            raise PrecheckError(
                f"{state.kubeadm} is running on {host}: a reset in the middle could leave a member of etcd that never starts",
                hint=f"wait until it has ended: inv cluster.status; if it hangs: on {host}: systemctl stop {node.UNIT}; "
                f"then, if it failed or was stopped: inv cluster.reset --host {host}",
            )
    for host in hosts:
        api_host = survey.api_host(run, without=host)
        if api_host and members.is_member(run, api_host, host):
            raise PrecheckError(
                f"{host} is a member of {run.site.name}, which is in service: a reset would break it",
                hint=f"inv cluster.remove --host {host}",
            )


def confirm_destruction(site: Site, hosts: Sequence[Host], given: str) -> None:
    """Ask for the cluster's name before ``hosts`` are destroyed; ``given`` is --yes-destroy. Raises PrecheckError without the right name."""
    names = listed(hosts)
    confirm(
        site.name,
        given,
        warning=f"This destroys all that Kubernetes keeps on {names}: etcd's data, certificates, containers.\n"
        "There is no undo but a backup.",
        refusal=f"{site.name} is not destroyed",
        flag="--yes-destroy",
    )


def reset_procedure(site: Site, hosts: Sequence[Host]) -> Procedure:
    """Return the procedure that removes Kubernetes' state from ``hosts`` in parallel.

    Deletes all data of etcd, without a check of the quorum: callers ask `confirm_destruction` first. `STAYS` says what is left.
    """
    title = f"Destroy the cluster {site.name}" if len(hosts) > 1 else f"Remove every trace of a cluster from {hosts[0]}"
    return Procedure(
        "cluster.reset",
        title,
        [
            Together(tuple(erase(host) for host in hosts)),
            Together(tuple(registries.forget(host) for host in hosts)),
            Together(tuple(unwatched(site, host) for host in hosts)),
        ],
        inputs={"hosts": [str(h) for h in hosts]},
    )


def unwatched(site: Site, host: Host, survey: Survey | None = None) -> Step:
    """Return the step that removes what `inv monitor.apply` has put on a node: nothing is left there that it could tell of.

    ``survey``: a host that it could not reach is left as it is.
    """
    paths = monitor.node_files((site.monitoring or Monitoring()).textfiles)

    def left(run: Run) -> tuple[str, ...]:
        asked = {host: monitor.left(paths)}
        seen = survey.each(run, asked)[host] if survey else run.read(host, asked[host])
        return () if isinstance(seen, RunbookError) else seen

    return Step(
        "remove its files for monitoring",
        host,
        done=lambda run: not left(run),
        do=lambda run: run.change(host, monitor.remove(left(run))),
        settled=True,
        by_hand=by_hand("cluster", "unwatched", host=host, paths=paths, units=monitor.OURS),
    )


def erase(host: Host) -> Step:
    """Return the step that runs `kubeadm reset` on ``host``."""
    return Step(
        "remove Kubernetes' files from it (kubeadm reset)",
        host,
        done=lambda run: run.read(host, node.look(host)).blank,
        do=lambda run: _reset(run, host),
        settled=True,
        by_hand=by_hand("cluster", "wipe", host=host, phases=kubeadm.ALONE),
    )
