"""How a cluster is begun and how hosts join it, step by step; `runbooks.cluster.tasks` has the commands."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from runbooks import gates
from runbooks.cluster import members, prepare
from runbooks.cluster.files import cni_manifest
from runbooks.cluster.preflight import preflight
from runbooks.commands import kubeadm, kubectl, node
from runbooks.commands.base import Probe, Secret
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import let_in
from runbooks.rules import cluster as rules
from runbooks.rules import kubeadm as config
from runbooks.view.cluster import Survey


@dataclass(frozen=True, slots=True)
class Plan:
    """A cluster to be, or one to add ``hosts`` to."""

    site: Site
    hosts: tuple[Host, ...]
    survey: Survey = field(default_factory=Survey)

    @property
    def version(self) -> config.Version:
        """The version of kubeadm and of the cluster alike."""
        return config.parse(self.site.kubernetes.version)


def init_procedure(plan: Plan, init_host: Host | None) -> Procedure:
    """Return the procedure that makes the whole site one cluster. ``init_host`` is None when somebody began it already."""
    site = plan.site
    network = cni_manifest(site)
    # What is wrong with the site shows before any host is touched.
    config.init_config(site, site.control_plane[0], plan.version, None)
    steps: list[Step | Together] = [preflight(site, plan.hosts), *prepare.steps(site, plan.hosts)]
    if init_host:
        steps.append(kubeadm_init(plan, init_host))
    steps.append(api_server_answers(plan))
    if network:
        steps.append(install_network(plan, network))
    steps += kubeadm_joins(plan, [host for host in plan.hosts if host != init_host])
    steps.append(gates.cluster_verified(site))
    title = f"Build the cluster {site.name}, Kubernetes {site.kubernetes.version}"
    return Procedure(
        "cluster.init", title, steps, inputs={"version": site.kubernetes.version, "hosts": [str(h) for h in plan.hosts]}
    )


def join_procedure(plan: Plan) -> Procedure:
    """Return the procedure that adds ``plan.hosts`` to a cluster in service."""
    site, names = plan.site, [str(host) for host in plan.hosts]
    config.init_config(site, site.control_plane[0], plan.version, None)
    steps: list[Step | Together] = [
        preflight(site, plan.hosts),
        *prepare.steps(site, plan.hosts),
        api_server_answers(plan),
        *kubeadm_joins(plan, plan.hosts),
    ]
    steps += [let_in(host) for host in plan.hosts if host.is_control_plane]
    if site.kubernetes.cni != "none":  # somebody else's network may come later
        steps.append(Together(tuple(node_ready(plan, host) for host in plan.hosts)))
    return Procedure("cluster.join", f"Join {', '.join(names)} to {site.name}", steps, inputs={"hosts": names})


def kubeadm_joins(plan: Plan, hosts: Sequence[Host]) -> list[Step | Together]:
    """Control plane hosts one at a time, since etcd takes in one learner at a time; then the workers together."""
    control_plane, workers = rules.in_join_order(hosts)
    steps: list[Step | Together] = [kubeadm_join(plan, host) for host in control_plane]
    if workers:
        steps.append(Together(tuple(kubeadm_join(plan, host) for host in workers)))
    return steps


def node_ready(plan: Plan, host: Host) -> Step:
    """Wait until the cluster gives it pods; the network's own one has to be there first."""

    def done(run: Run) -> bool | Unmet:
        api_host = plan.survey.api_host(run)
        known = plan.survey.nodes(run, api_host).get(host.name) if api_host else None
        return True if known and known.ready else Unmet("its node is not Ready yet")

    return Step("its node is Ready", host, done=done, within=180, by_hand=by_hand("cluster", "ready", host=host))


def kubeadm_init(plan: Plan, host: Host) -> Step:
    """`kubeadm init` on the first host. What an unfinished attempt of ours left there is reset first; nobody else's ever is.

    https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
    """

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if state.serves:
            return True
        return Unmet(f"its API server says: {state.api or 'nothing yet'}" if state.joined else "kubeadm has not finished there")

    def do(run: Run) -> None:
        state = run.read(host, node.look(host))
        if state.joined:
            return  # finished before its API server was ready: that is waited for
        if state.running:
            run.change(host, kubeadm.wait())
            return
        if not state.blank:
            rules.refuse_leftovers(host, state)
            run.change(host, kubeadm.reset(kubeadm.ALONE))
        key = Secret(secrets.token_hex(32))
        wanted = config.init_config(plan.site, host, plan.version, key)
        run.change(host, kubeadm.init(wanted, config.skip_phases(plan.site, plan.version)))

    text = by_hand("cluster", "initialise", host=host, command=kubeadm.init(Secret("")))
    return Step("begin the cluster (kubeadm init)", host, done=done, do=do, within=180, by_hand=text)


def api_server_answers(plan: Plan) -> Step:
    """Wait for an API server: right after an interruption etcd may still be electing, or a host booting."""

    def done(run: Run) -> bool | Unmet:
        return True if plan.survey.api_host(run) else Unmet(plan.survey.why_none_serves(run))

    return Step("an API server answers", done=done, within=120, by_hand=by_hand("cluster", "answers", site=plan.site))


def install_network(plan: Plan, manifest: str) -> Step:
    """Apply the pod network, unless it is there: from then on its version is its owner's business."""

    def there(run: Run) -> bool:
        api_host = plan.survey.api_host(run)
        if not api_host:
            return False
        look = kubectl.apply(api_host, manifest, "get").expecting(0, 1)
        return run.read(api_host, Probe(look, lambda answer: answer.exited == 0))

    def do(run: Run) -> None:
        api_host = plan.survey.api_host(run) or plan.site.control_plane[0]  # a plan may be made before there is one
        run.change(api_host, kubectl.apply(api_host, manifest))

    return Step("install the pod network", done=there, do=do, within=30, by_hand=by_hand("cluster", "install_network"))


def kubeadm_join(plan: Plan, host: Host) -> Step:
    """Bring one host in. What an earlier attempt left of it, there and in the cluster, is cleaned away before the next one."""
    control_plane = host.is_control_plane

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if not state.joined:
            return Unmet("kubeadm has not finished there")
        api_host = plan.survey.api_host(run)
        return Unmet.of(members.not_in_service(run, api_host, host, state) if api_host else "no API server is ready")

    def do(run: Run) -> None:
        state = run.read(host, node.look(host))
        if run.plan:
            run.change(host, kubeadm.join(Secret("")))
            return
        api_host = plan.survey.serving(run)
        if state.running:  # an attempt whose operator was lost
            run.change(host, kubeadm.wait())
            return
        if state.joined and members.is_member(run, api_host, host):
            return  # all of it is there, and only needs time
        members.remove_traces(run, plan.survey, host, state)
        key = Secret(secrets.token_hex(32)) if control_plane else None
        offer = config.upload_certs_config(plan.site, api_host, plan.version, key) if key else None
        admission = members.join_credentials(run, api_host, offer)
        run.change(host, kubeadm.join(config.join_config(plan.site, host, plan.version, admission.token, admission.ca_hash, key)))

    name = "join as a control plane host (kubeadm join)" if control_plane else "join as a worker (kubeadm join)"
    text = by_hand("cluster", "join", host=host, command=kubeadm.join(Secret("")), ttl=kubeadm.TTL)
    return Step(name, host, done=done, do=do, within=180, by_hand=text)
