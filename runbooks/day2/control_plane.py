"""Flags and files of a living control plane: one host at a time, through kubeadm's own phases.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/

The first host proves the new settings before kubeadm's ConfigMap gets them. When its static pods do not run with them, its files are put back, and
no other host is touched. Never writes a manifest that kubeadm would not write itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from runbooks.cluster import patches
from runbooks.cluster.files import audit_policy
from runbooks.cluster.patches import Change
from runbooks.commands import files, kubeadm_config, node, reconfigure, rendered, settings_look, static_pods, upgrade_kubeadm
from runbooks.commands.reconfigure import Note
from runbooks.commands.settings_look import MANIFESTS, HostSettings
from runbooks.day2.notes import end
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules.kubeadm import AUDIT_POLICY
from runbooks.rules.kubeadm_documents import one
from runbooks.rules.kubeadm_phases import with_host
from runbooks.text import listed
from runbooks.upgrade import control_plane, kubeadm, nodes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import made
from runbooks.upgrade.rules import customised

WITHIN_S: Final = 180  # the kubelet reads its manifests at least every 20 s, an old API server takes up to 30 s to end
CRASHED_S: Final = 60  # until a changed static pod has a container, the newest is the old one, which may have ended often before
FOLLOWS_S: Final = 3  # how long static pods have to run on a host that gets what another one has proved
API: Final = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of one run. ``configuration``: the ClusterConfiguration that every host is to have; ``before``: the one in the cluster now."""

    one: Upgrade
    configuration: str
    before: str = ""

    @property
    def site(self) -> Site:
        """The site."""
        return self.one.site


@dataclass(frozen=True, slots=True)
class Files:
    """What differs on one host: manifests by name, the audit policy, patches for kubeadm; and how these are now, by path ("" for nothing)."""

    manifests: Mapping[str, str]
    policy: bool
    patches: Change
    now: Mapping[str, str]

    @property
    def pods(self) -> list[str]:
        """The static pods that restart."""
        return [*self.manifests, *([API] if self.policy and API not in self.manifests else [])]

    @property
    def told(self) -> str:
        """What differs, in words; "" for nothing."""
        return listed([*self.pods, *(path.rpartition("/")[2] for path in self.patches.now)])


def differing(all_: Changes, run: Run, host: Host) -> Files:
    """Return which files of ``host`` are not as kubeadm makes them of the new configuration. Raises PrecheckError when kubeadm makes none."""
    own = patches.wanted(all_.site, host).files
    probe = rendered.look(host, etcd=all_.site.kubernetes.etcd == "stacked", config=all_.configuration, patches=own)
    wanted, there = run.read(host, probe), run.read(host, settings_look.look())
    if wanted.error:
        raise PrecheckError(
            f"{host}: kubeadm does not take these settings; nothing was changed there: {wanted.error}",
            hint=f"correct kubernetes.extra_args{' or the patches' if own else ''} in hosts.yaml",
        )
    policy = audit_policy(all_.site)
    found = run.read(host, files.found([AUDIT_POLICY]))
    kept = found.get(AUDIT_POLICY)
    manifests = {name: text for name, text in wanted.manifests.items() if _differs(there, name, text)}
    now = {manifest(name): there.files[manifest(name)] for name in manifests if manifest(name) in there.files}
    other = bool(files.differing([policy], found))
    change = patches.differing(all_.site, host, there, "control-plane")
    written = [*map(manifest, manifests), *(each.path for each in change.place), *([AUDIT_POLICY] if other else [])]
    patches.refuse_links(run, host, written)
    return Files(
        manifests, other, change, {**now, **change.now, **({AUDIT_POLICY: kept.content if kept else ""} if other else {})}
    )


def _differs(there: HostSettings, name: str, wanted: str) -> bool:
    have = there.files.get(manifest(name))
    return have is None or customised.compared(manifest(name), have, wanted) is not None


def manifest(name: str) -> str:
    """Return the path of a static pod's manifest."""
    return f"{MANIFESTS}/{name}.yaml"


def arrived(all_: Changes, run: Run, host: Host) -> bool | Unmet:
    """Return whether ``host`` has its files, and its static pods run with them."""
    there = run.read(host, reconfigure.read("control-plane"))
    if there and not there.proved:
        return Unmet("its static pods have not proved that they run with the new files")
    left = differing(all_, run, host)
    return Unmet.of(f"other than hosts.yaml says: {left.told}" if left.told else "")


def steps(all_: Changes, host: Host, *, proved: bool = False) -> list[Step]:
    """Return the steps of one host. Its note goes last. ``proved``: a host before it runs with the same settings."""
    steady = FOLLOWS_S if proved and not patches.wanted(all_.site, host).files else control_plane.STEADY_S

    def spared(run: Run) -> bool:
        return bool(arrived(all_, run, host))

    alone = len(all_.site.control_plane) == 1
    out = [] if alone else nodes.out_of_traffic(all_.one, host, spared)
    let_in = [] if alone else [traffic.let_in(host)]
    whole = control_plane.etcd_whole(all_.one, host)
    return [
        begin(all_, host),
        *out,
        write(all_, host, steady),
        control_plane.serves(all_.one, host, steady),
        *let_in,
        *whole,
        end(host, "control-plane", "take that note away"),
    ]


def begin(all_: Changes, host: Host) -> Step:
    """Keep the files of ``host`` as they are, before they are changed."""

    def note(run: Run) -> Note:
        """Return the note as it is to be: a proved one is over, an unproved one keeps how files were before the work began."""
        there, now = run.read(host, reconfigure.read("control-plane")), differing(all_, run, host).now
        return Note({**now, **there.before} if there and not there.proved else now)

    def done(run: Run) -> bool | Unmet:
        there = run.read(host, reconfigure.read("control-plane"))
        return True if there and there == note(run) else arrived(all_, run, host)

    def do(run: Run) -> None:
        run.change(host, reconfigure.write(note(run), "control-plane"))

    return Step("keep its files as they are", host, done=done, do=do, by_hand=by_hand("day2", "keep_files", host=host))


def write(all_: Changes, host: Host, steady: float) -> Step:
    """Write the files that kubeadm makes of the new configuration, and prove that the static pods run with them; else put the old ones back.

    ``steady``: seconds that their new containers have to run.
    """

    def do(run: Run) -> None:
        left, there = differing(all_, run, host), run.read(host, reconfigure.read("control-plane"))
        if run.plan or left.told:
            _place(all_, run, host, left)
        elif there and AUDIT_POLICY in there.before and manifest(API) not in there.before:
            run.change(host, static_pods.restart([API]))  # interrupted before: nobody knows whether it has read the policy
        if run.plan or not there:
            return
        try:
            _prove(run, host, left.pods or _pods_of(there), steady)
        except OutcomeError as error:
            _go_back(all_, run, host, there, error)
        run.change(host, reconfigure.write(replace(there, proved=True), "control-plane"))

    name = "write the files that kubeadm makes of hosts.yaml; its static pods run with them"
    text = by_hand("day2", "write_files", host=host)
    return Step(name, host, done=lambda run: arrived(all_, run, host), do=do, within=30, by_hand=text)


def _pods_of(there: Note) -> list[str]:
    names = [path.rpartition("/")[2].removesuffix(".yaml") for path in there.before if path.startswith(MANIFESTS)]
    return [*names, *([API] if AUDIT_POLICY in there.before and API not in names else [])]


def _place(all_: Changes, run: Run, host: Host, left: Files) -> None:
    """Show what changes, and write it. The API server reads its audit policy only when it starts."""
    patches.make(run, host, left.patches)
    if left.policy:
        policy = audit_policy(all_.site)
        run.place(host, [policy], run.read(host, files.found([AUDIT_POLICY])), files.place([policy]))
    for name, text in left.manifests.items():
        change = customised.compared(manifest(name), left.now.get(manifest(name), ""), text)
        for line in (*(f"-{line}" for line in change.gone), *(f"+{line}" for line in change.comes)) if change else ():
            run.note(host, f"{name}: {line}")
    if left.manifests:
        run.change(host, reconfigure.place(left.manifests))
    if left.policy and API not in left.manifests:
        run.change(host, static_pods.restart([API]))


def _prove(run: Run, host: Host, pods: list[str], steady: float, *, crashes: bool = True) -> None:
    """Wait until new containers of ``pods`` have been running for ``steady`` seconds, and the API server is ready. Raises OutcomeError with the last words.

    ``crashes``: one that ends again and again ends the wait. After going back the last ones that have ended are those of before.
    """
    since: dict[str, float] = {}  # when each was first seen ended: until its new container is there, the newest is the old one

    def runs() -> bool | Unmet:
        run.look_anew()
        seen = run.read(host, upgrade_kubeadm.look())
        now = monotonic()
        for name in [name for name in since if name not in seen.crashed]:
            del since[name]
        crashed = {
            name: line for name, line in seen.crashed.items() if name in pods and now - since.setdefault(name, now) >= CRASHED_S
        }
        if crashes and crashed:
            raise OutcomeError(f"ends again and again: {kubeadm.crashes(crashed)}")
        old = [name for name in pods if seen.up.get(name, 0) > seen.written.get(name, 0)]
        late = [name for name in pods if name not in seen.up or seen.up[name] < steady]
        if old or late:
            return Unmet(f"{listed(dict.fromkeys([*old, *late]))} does not run with the new files yet")
        state = run.read(host, node.look(host))
        return True if state.serves else Unmet(f"its API server says: {state.api or 'nothing yet'}")

    until(runs, within=WITHIN_S, poll=run.poll)


def _go_back(all_: Changes, run: Run, host: Host, there: Note, why: OutcomeError) -> None:
    """Put the old files back, wait until they run, let the load balancers use the host again, and raise OutcomeError."""
    run.note(host, f"it does not run with the new files; the old ones are put back: {str(why).splitlines()[0]}")
    failed = f"{host} does not run with these settings: {why}"
    old = {name: there.before[manifest(name)] for name in _pods_of(there) if manifest(name) in there.before}
    try:
        patches.put_back(run, host, there.before)
        if there.before.get(AUDIT_POLICY):
            run.change(host, files.place([replace(audit_policy(all_.site), content=there.before[AUDIT_POLICY])]))
        if old:
            run.change(host, reconfigure.place(old))
        if AUDIT_POLICY in there.before and API not in old:
            run.change(host, static_pods.restart([API]))
        _prove(run, host, _pods_of(there), control_plane.STEADY_S, crashes=False)
        run.change(host, reconfigure.forget("control-plane"))
        if len(all_.site.control_plane) > 1:
            made(run, traffic.let_in(host))
    except RunbookError as error:
        raise OutcomeError(
            f"{failed}\nThe old files are put back, and it does not serve again: {error}\nNo other host was touched.",
            hint=f"on {host}: crictl ps -a; crictl logs ID; then inv cluster.status",
        ) from None
    raise OutcomeError(
        f"{failed}\nIts old files are back, and it serves as before. No other host was touched, and kubeadm-config is as it was.",
        hint="correct it in hosts.yaml, then inv cluster.reconfigure again",
    )


def upload(all_: Changes, host: Host) -> Step:
    """Put the new configuration into the cluster, with kubeadm: later joins and upgrades use it. Only after ``host`` has proved it."""

    def done(run: Run) -> bool | Unmet:
        api_host = all_.one.survey.serving(run)
        there = run.read(api_host, kubeadm_config.cluster_configuration(api_host))
        return Unmet.of("" if same(there, all_.configuration) else "kubeadm-config has other settings")

    def do(run: Run) -> None:
        run.change(host, reconfigure.upload(with_host(all_.configuration, host, all_.one.node_name(run, host)), "kubeadm"))

    text = by_hand("day2", "upload", host=host)
    return Step("kubeadm-config has the settings of hosts.yaml", done=done, do=do, within=30, by_hand=text)


def same(there: str, wanted: str) -> bool:
    """Return whether two texts of ClusterConfiguration say the same."""
    return one(there) == one(wanted)
