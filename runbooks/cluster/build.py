"""The procedures of `inv cluster.init` and `inv cluster.join`.

https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import Lock

from runbooks import gates
from runbooks.cluster import members, named, node_settings, patches, prepare
from runbooks.cluster.admission import accepts_a_join
from runbooks.cluster.cgroups import kubelets_accept_v1
from runbooks.cluster.files import cni_manifest
from runbooks.cluster.offer import Offer, new_key, new_token
from runbooks.cluster.others import Join, others_removed
from runbooks.cluster.preflight import preflight
from runbooks.commands import cluster_info, kubeadm, kubectl, node
from runbooks.commands.base import Secret
from runbooks.commands.kubeadm import Admission
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import CommandError
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import let_in
from runbooks.rules import cluster as rules
from runbooks.rules import kubeadm as config
from runbooks.rules import kubeadm_discovery as discovery
from runbooks.rules import kubeadm_phases as phases
from runbooks.rules.kubeadm_checks import accepts_cgroup_v1
from runbooks.rules.node_wanted import is_given
from runbooks.view.cluster import Survey


@dataclass(frozen=True, slots=True)
class Plan:
    """The ``hosts`` to make into a cluster, or to add to one.

    ``replaces``: each of them takes the place of a lost one. ``others``: other dead members of etcd may be removed before. ``turn`` is
    taken by a host whose member of etcd votes before it runs.
    """

    site: Site
    hosts: tuple[Host, ...]
    survey: Survey = field(default_factory=Survey)
    replaces: bool = False
    others: bool = False
    turn: Lock = field(default_factory=Lock, compare=False)

    @property
    def version(self) -> config.Version:
        """The version of kubeadm and of the cluster."""
        return config.parse(self.site.kubernetes.version)

    @property
    def cgroup_v1(self) -> bool:
        """Whether kubeadm is to accept cgroup v1 on a host that has it, which this version does not do by itself."""
        return accepts_cgroup_v1(self.site, self.version)

    def offer(self) -> Offer:
        """Return what its hosts join with."""
        return Offer(self.site, self.version)


def init_procedure(plan: Plan, init_host: Host | None) -> Procedure:
    """Return the procedure that builds the cluster of the whole site.

    ``init_host`` is the host on which `kubeadm init` runs, None when the cluster exists already. Raises InventoryError when
    hosts.yaml has a setting that kubeadm cannot use.
    """
    site = plan.site
    network = cni_manifest(site)
    # Raises InventoryError now, before any host is changed.
    config.init_config(site, site.control_plane[0], plan.version, None)
    steps: list[Step | Together] = [] if init_host else no_dead_others(plan, "")
    steps += [preflight(site, plan.hosts), *([] if init_host else same_cgroups(plan)), *prepare.steps(site, plan.hosts)]
    offer = plan.offer()
    if init_host:
        steps.append(kubeadm_init(plan, init_host, offer))
    steps.append(api_server_answers(plan))
    if not init_host:  # a cluster that has just begun has no webhooks, and nothing is deleted there
        steps.append(accepts_a_join(plan.survey, plan.hosts))
    if network:
        steps.append(install_network(plan, network))
    steps += kubeadm_joins(plan, [host for host in plan.hosts if host != init_host], offer)
    steps += settled(plan)
    steps.append(gates.cluster_verified(site, fresh=False))
    title = f"Build the cluster {site.name}, Kubernetes {site.kubernetes.version}"
    return Procedure(
        "cluster.init", title, steps, inputs={"version": site.kubernetes.version, "hosts": [str(h) for h in plan.hosts]}
    )


def join_procedure(plan: Plan) -> Procedure:
    """Return the procedure that adds ``plan.hosts`` to an existing cluster. Raises InventoryError as `init_procedure` does."""
    site, names = plan.site, [str(host) for host in plan.hosts]
    config.init_config(site, site.control_plane[0], plan.version, None)
    steps: list[Step | Together] = [
        preflight(site, plan.hosts),
        *same_cgroups(plan),
        accepts_a_join(plan.survey),
        *no_dead_others(plan, f"inv cluster.join --host {','.join(names)}"),
        *join_steps(plan),
    ]
    title = f"Join {', '.join(names)} to {site.name}"
    return Procedure("cluster.join", title, steps, inputs={"hosts": names, **({"others": True} if plan.others else {})})


def no_dead_others(plan: Plan, command: str) -> list[Step | Together]:
    """Return the step that looks for other dead members of etcd, when a control plane host joins."""
    joins = any(host.is_control_plane for host in plan.hosts) and plan.site.kubernetes.etcd == "stacked"
    return [others_removed(plan.survey, Join(plan.hosts, command, others=plan.others))] if joins else []


def same_cgroups(plan: Plan) -> list[Step | Together]:
    """Return the step for a site that accepts cgroup v1 where this version does not; a host that joins needs the cluster to do so, too."""
    return [kubelets_accept_v1(plan.survey, plan.hosts)] if plan.cgroup_v1 else []


def join_steps(plan: Plan) -> list[Step | Together]:
    """Return the steps that prepare ``plan.hosts`` and join them. `preflight` comes before: before what is removed for them."""
    site = plan.site
    steps: list[Step | Together] = [
        *prepare.steps(site, plan.hosts),
        api_server_answers(plan),
        *kubeadm_joins(plan, plan.hosts, plan.offer()),
        *settled(plan),
    ]
    steps += [let_in(host) for host in plan.hosts if host.is_control_plane]
    if site.kubernetes.cni != "none":  # with "none", the pod network may be installed later
        steps.append(Together(tuple(node_ready(plan, host) for host in plan.hosts)))
    return steps


def kubeadm_joins(plan: Plan, hosts: Sequence[Host], offer: Offer) -> list[Step | Together]:
    """Return the join steps: all ``hosts`` at the same time, control plane hosts first in the list.

    A new member of etcd has no vote until it has caught up, so the cluster keeps its quorum while hosts join. Etcd takes in one learner
    at a time: a host that finds another one there waits for its turn.
    """
    first, workers = rules.in_join_order(hosts)
    steps = tuple(kubeadm_join(plan, host, offer) for host in (*first, *workers))
    return [Together(steps)] if steps else []


def settled(plan: Plan) -> list[Step | Together]:
    """Return the steps that give nodes what hosts.yaml says of them, where it says anything."""
    given = [host for host in plan.hosts if is_given(plan.site.of_node(host))]
    return [Together(tuple(node_settings.settle(plan.survey, plan.site, host) for host in given))] if given else []


def node_ready(plan: Plan, host: Host) -> Step:
    """Return the step that waits until the node of ``host`` is Ready, which needs the pod network to run there."""

    def done(run: Run) -> bool | Unmet:
        api_host = plan.survey.api_host(run)
        known = plan.survey.nodes(run, api_host).get(host.name) if api_host else None
        return True if known and known.ready else Unmet("its node is not Ready yet")

    return Step("its node is Ready", host, done=done, within=180, by_hand=by_hand("cluster", "ready", host=host))


def kubeadm_init(plan: Plan, host: Host, offer: Offer) -> Step:
    """Return the step that runs `kubeadm init` on ``host``.

    Never resets a host unless an unfinished attempt of this tool is recorded there: anything else on the host raises PrecheckError.
    """

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if state.serves:
            return True
        return Unmet(f"its API server says: {state.api or 'nothing yet'}" if state.joined else "kubeadm has not finished there")

    def do(run: Run) -> None:
        state = run.read(host, node.look(host))
        if state.joined:
            return  # kubeadm has finished; `done` waits for the API server
        if state.running:
            run.change(host, kubeadm.wait())
            return
        if not state.blank:
            rules.refuse_leftovers(host, state)
            run.change(host, kubeadm.reset(kubeadm.ALONE))
        patches.settle(run, host)
        key, token = new_key(), new_token()
        wanted = config.init_config(plan.site, host, plan.version, key, token)
        skipped = config.skip_phases(plan.site, plan.version)
        data = plan.site.kubernetes.etcd_data_dir
        if run.change(host, kubeadm.init(wanted, skipped, cgroup_v1=plan.cgroup_v1, etcd_data=data)):
            offer.keep(Admission(token, run.read(host, kubeadm.cluster_ca())), key)

    text = by_hand("cluster", "kubeadm_init", host=host, command=kubeadm.init(Secret("")), cgroup_v1=plan.cgroup_v1)
    return Step("begin the cluster (kubeadm init)", host, done=done, do=do, within=180, by_hand=text)


def api_server_answers(plan: Plan) -> Step:
    """Return the step that waits for an API server: after an interruption etcd may be electing a leader, or a host may be booting."""

    def done(run: Run) -> bool | Unmet:
        return True if plan.survey.api_host(run) else Unmet(plan.survey.why_none_serves(run))

    return Step("an API server answers", done=done, within=120, by_hand=by_hand("cluster", "answers", site=plan.site))


def install_network(plan: Plan, manifest: str) -> Step:
    """Return the step that applies the pod network once. A pod network that is installed is never changed: its version is up to you."""

    def there(run: Run) -> bool:
        api_host = plan.survey.api_host(run)
        if not api_host:
            return False
        return run.read(api_host, kubectl.is_there(api_host, manifest))

    def do(run: Run) -> None:
        api_host = plan.survey.api_host(run) or plan.site.control_plane[0]  # --plan may run before any API server does
        run.change(api_host, kubectl.apply(api_host, manifest))

    return Step("install the pod network", done=there, do=do, within=30, by_hand=by_hand("cluster", "install_network"))


def kubeadm_join(plan: Plan, host: Host, offer: Offer) -> Step:
    """Return the step that joins a host. Before each attempt, what an earlier one left on the host and in the cluster is removed.

    A Node with the settings of an earlier one of the same name is made before kubeadm runs.
    """

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, node.look(host))
        if not state.joined:
            return Unmet("kubeadm has not finished there")
        api_host = plan.survey.api_host(run)
        return Unmet.of(members.not_in_service(run, api_host, host, state) if api_host else "no API server is ready")

    def do(run: Run) -> None:
        if run.plan:
            patches.settle(run, host)
            run.change(host, kubeadm.join(Secret(""), learner=phases.shown_learner(plan.site, host)))
            if config.kubelet_waits(host, plan.version):
                run.change(host, node.restart_kubelet())
            return
        state = run.read(host, node.look(host))
        api_host = plan.survey.serving(run)
        if state.running:  # an earlier attempt, whose session was lost
            run.change(host, kubeadm.wait())
        elif not state.joined or not members.is_member(run, api_host, host):
            members.remove_traces(run, plan.survey, host, state)
            patches.settle(run, host)
            node_settings.give_back(run, api_host, host, replaces=plan.replaces)
            _join(run, plan, api_host, host, offer)
        if config.kubelet_waits(host, plan.version):
            run.change(host, node.restart_kubelet())
        node_settings.forget(run, api_host, host)  # it has joined; `done` waits until it is ready

    name = "join as a control plane host (kubeadm join)" if host.is_control_plane else "join as a worker (kubeadm join)"
    text = by_hand(
        "cluster", "join", host=host, command=kubeadm.join(Secret("")), ttl=kubeadm.TTL, cgroup_v1=plan.cgroup_v1,
        kubelet_waits=config.kubelet_waits(host, plan.version),
    )  # fmt: skip
    return Step(name, host, done=done, do=do, within=180, by_hand=text)


def _join(run: Run, plan: Plan, api_host: Host, host: Host, offer: Offer) -> None:
    given = offer.take(run, api_host, certificates=host.is_control_plane)
    if host.is_control_plane:
        named.copy(run, api_host, host)
    token, ca = given.admission.token, given.admission.ca
    pinned = discovery.ca_hash(plan.site, ca, token, run.read(api_host, cluster_info.look(api_host)))
    wanted = config.join_config(plan.site, host, plan.version, token, pinned, given.key)
    try:
        found, data = "" if pinned else discovery.file(plan.site, ca), plan.site.kubernetes.etcd_data_dir
        learner = members.learner(run, plan.site, api_host, host)
        votes_at_once = not learner and config.would_add_voter(plan.site, host)
        with plan.turn if votes_at_once else nullcontext():
            run.change(host, kubeadm.join(wanted, found, cgroup_v1=plan.cgroup_v1, etcd_data=data, learner=learner))
    except CommandError:  # not when the connection broke: kubeadm goes on there, and needs what it was given
        if host.is_control_plane or not given.key:  # for a worker alone, no upload is taken from hosts that need it
            offer.withdraw(given)
        raise
