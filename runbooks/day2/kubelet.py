"""The configuration of kubelets on a living cluster: the ConfigMap, then one node after the other, a worker first.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/#applying-kubelet-configuration-changes

A kubelet that is restarted leaves its Pods running. The first one has to run with the new configuration; when it does not, its old file and the
old ConfigMap are put back, and no other node is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from runbooks.cluster import patches
from runbooks.commands import kubeadm_config, reconfigure, settings_look, upgrade_kubeadm, yaml_text
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.reconfigure import Note
from runbooks.day2 import wanted_kubelet
from runbooks.day2.notes import end
from runbooks.day2.rules import difference
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import transient, until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, OutcomeError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubeadm
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.kubeadm_phases import with_host
from runbooks.text import listed
from runbooks.upgrade import node
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import made
from runbooks.upgrade.rules import customised
from runbooks.upgrade.rules.customised import KUBELET_CONFIG

WITHIN_S: Final = 120
# A kubelet that was restarted says once that it is not Ready; what the cluster knows before that is of the old one.
STEADY_S: Final = 10
MAP: Final = "ConfigMap"  # in the note of the first node: the configuration that the cluster had before
# The kubelet applies these to Pods only when they start, and does not start at all while a file says that it had other ones.
# https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/#changing-the-cpu-manager-policy
STATES: Final = {
    "/var/lib/kubelet/cpu_manager_state": frozenset(
        {"cpuManagerPolicy", "cpuManagerPolicyOptions", "reservedSystemCPUs", "kubeReserved", "systemReserved"}
    ),
    "/var/lib/kubelet/memory_manager_state": frozenset(
        {"memoryManagerPolicy", "reservedMemory", "kubeReserved", "systemReserved", "evictionHard"}
    ),
}
RESERVED: Final = frozenset({"kubeReserved", "systemReserved", "evictionHard"})
DRAINED: Final = frozenset(
    {
        "cpuManagerPolicy", "cpuManagerPolicyOptions", "memoryManagerPolicy", "reservedMemory", "topologyManagerPolicy",
        "topologyManagerScope", "reservedSystemCPUs", "cgroupsPerQOS",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kubelets:
    """The change of one run.

    wanted         KubeletConfiguration as the cluster is to keep it; before: as it keeps it now.
    configuration  the cluster's ClusterConfiguration, which kubeadm needs besides.
    first          the node that proves it; None when an earlier run has done so.
    """

    one: Upgrade
    wanted: str
    before: str
    configuration: str
    first: Host | None

    @property
    def site(self) -> Site:
        """The site."""
        return self.one.site


def own(all_: Kubelets, run: Run, host: Host) -> patches.Change:
    """Return which patches and flags of its kubelet alone differ on ``host``."""
    return patches.placeable(run, host, patches.differing(all_.site, host, run.read(host, settings_look.look()), "kubelet"))


def keys(all_: Kubelets, run: Run, host: Host) -> tuple[str, ...]:
    """Return the fields that change on ``host``: those of its note, and those in which its files differ from what hosts.yaml says."""
    there = run.read(host, reconfigure.read("kubelet"))
    have = run.read(host, settings_look.look())
    wanted = wanted_kubelet.on(all_.site, host, all_.wanted, have, file=True)
    found = difference.of_kubelet(wanted, yaml_text.mapping(have.files.get(KUBELET_CONFIG, "")))
    noted = there.keys if there and not there.proved else ()
    return tuple(dict.fromkeys([*noted, *(key.partition(".")[0] for key, _, _ in found), *own(all_, run, host).fields]))


def drains(all_: Kubelets, run: Run, host: Host) -> bool:
    """Return whether a field changes on ``host`` that Pods get only when they start. With a static policy, so is what is reserved."""
    have = run.read(host, settings_look.look())
    both = (yaml_text.mapping(have.files.get(KUBELET_CONFIG, "")), wanted_kubelet.on(all_.site, host, all_.wanted, have))
    static = "static" in {
        str(each.get(policy, "")).lower() for each in both for policy in ("cpuManagerPolicy", "memoryManagerPolicy")
    }
    return bool((DRAINED | (RESERVED if static else frozenset())) & set(keys(all_, run, host)))


def states(there: Note) -> list[str]:
    """Return the files that keep the kubelet from starting with the new settings."""
    return [path for path, fields in STATES.items() if fields & set(there.keys)]


def settings(run: Run, one: Upgrade) -> ClusterSettings:
    """Return what the cluster keeps for kubeadm."""
    api_host = one.survey.serving(run)
    return run.read(api_host, kubeadm_config.look(api_host, minor_of(one.site)))


def wrong(all_: Kubelets, run: Run, host: Host) -> str:
    """Return how the configuration of the kubelet on ``host``, in its file or as it runs, differs from what hosts.yaml says; or ""."""
    if change := own(all_, run, host):
        return f"other than hosts.yaml says: {listed(change.now)}"
    have = run.read(host, settings_look.look())
    if customised.judge({host: have}, {}, settings(run, all_.one), kubeadm.parse(all_.site.kubernetes.version)).changes:
        return f"{KUBELET_CONFIG} is not as the cluster's ConfigMap"
    api_host, name = all_.one.serving(run, host), all_.one.node_name(run, host)
    said = run.read(api_host, reconfigure.configz(api_host, [name]))[name]
    if isinstance(said, str):
        return f"its kubelet does not say what it runs with: {said}"
    return wanted_kubelet.not_running(wanted_kubelet.on(all_.site, host, all_.wanted, have), said)


def by_hand_lines(all_: Kubelets, run: Run, host: Host) -> list[str]:
    """Return the lines of the kubelet's file on ``host`` that neither the cluster's ConfigMap nor hosts.yaml has: by hand, and they would vanish."""
    changes = customised.judge(
        {host: run.read(host, settings_look.look())}, {}, settings(run, all_.one), kubeadm.parse(all_.site.kubernetes.version)
    ).changes
    fields = keys(all_, run, host)
    return [line for change in changes for line in change.gone if re.split(r"[.:\[]", line, maxsplit=1)[0] not in fields]


def arrived(all_: Kubelets, run: Run, host: Host) -> bool | Unmet:
    """Return whether the kubelet on ``host`` has, and runs with, what hosts.yaml says."""
    there = run.read(host, reconfigure.read("kubelet"))
    if there and not there.proved:
        return Unmet("its kubelet has not proved that it runs with the new configuration")
    return Unmet.of(wrong(all_, run, host))


def uploaded(all_: Kubelets, run: Run) -> bool:
    """Return whether the cluster's ConfigMap has what hosts.yaml says. kubeadm writes some values in another way, and leaves out those that are zero."""
    return has(all_.site, settings(run, all_.one).kubelet)


def has(site: Site, text: str) -> bool:
    """Return whether a KubeletConfiguration has what hosts.yaml says."""
    return not difference.of_kubelet(difference.documents(site)["KubeletConfiguration"], yaml_text.mapping(text))


def steps(all_: Kubelets, hosts: Sequence[Host]) -> list[Step]:
    """Return the steps of all ``hosts`` in their order; with the first one goes the ConfigMap."""
    found = []
    for host in hosts:
        found.append(begin(all_, host))
        if host == all_.first:
            found.append(upload(all_, host))
        found += of_node(all_, host)
    return found


def of_node(all_: Kubelets, host: Host) -> Iterable[Step]:
    """Return the steps of one node, after its file is kept."""

    def spared(run: Run) -> bool:
        return bool(arrived(all_, run, host)) or not drains(all_, run, host)

    # A node without our mark is not touched by the uncordon.
    return [
        node.drain(all_.one, host, spared, newer=False),
        write(all_, host),
        node.uncordon(all_.one, host),
        end(host, "kubelet", "take the kubelet's note away"),
    ]


def begin(all_: Kubelets, host: Host) -> Step:
    """Keep the kubelet's file as it is; of the first node also the ConfigMap."""

    def note(run: Run) -> Note:
        """Return the note as it is to be: a proved one is over, an unproved one keeps what was there before the work began."""
        there = run.read(host, reconfigure.read("kubelet"))
        before = {KUBELET_CONFIG: run.read(host, settings_look.look()).files.get(KUBELET_CONFIG, ""), **own(all_, run, host).now}
        if host == all_.first:
            before[MAP] = all_.before
        return Note({**before, **there.before} if there and not there.proved else before, keys(all_, run, host))

    def done(run: Run) -> bool | Unmet:
        there = run.read(host, reconfigure.read("kubelet"))
        return True if there and there == note(run) else arrived(all_, run, host)

    def do(run: Run) -> None:
        run.change(host, reconfigure.write(note(run), "kubelet"))

    text = by_hand("day2", "keep_kubelet", host=host)
    return Step("keep its kubelet's configuration as it is", host, done=done, do=do, by_hand=text)


def upload(all_: Kubelets, host: Host) -> Step:
    """Put the configuration into the cluster's ConfigMap, with kubeadm, which refuses what is no configuration."""
    master = all_.site.control_plane[0] if not host.is_control_plane else host

    def do(run: Run) -> None:
        run.change(master, reconfigure.upload(with_kubelet(all_, run, master, all_.wanted), "kubelet"))

    text = by_hand("day2", "upload_kubelet", host=master)
    name = "the cluster's ConfigMap for kubelets has the settings of hosts.yaml"
    return Step(name, done=lambda run: uploaded(all_, run), do=do, within=30, by_hand=text)


def with_kubelet(all_: Kubelets, run: Run, host: Host, wanted: str) -> str:
    """Return kubeadm's configuration of ``host`` with KubeletConfiguration."""
    return f"{with_host(all_.configuration, host, all_.one.node_name(run, host))}---\n{wanted}"


def write(all_: Kubelets, host: Host) -> Step:
    """Have kubeadm write the file, restart the kubelet, and prove that it runs with it; else put the old file back."""

    def do(run: Run) -> None:
        there = run.read(host, reconfigure.read("kubelet"))
        patches.make(run, host, own(all_, run, host))
        if run.plan or not there:
            run.change(host, reconfigure.write_kubelet(()))
            return
        try:
            run.change(host, reconfigure.write_kubelet(states(there)))
            _prove(all_, run, host)
        except (OutcomeError, CommandError) as error:
            if transient(error):  # it is tried again
                raise
            _go_back(all_, run, host, there, error)
        run.change(host, reconfigure.write(replace(there, proved=True), "kubelet"))

    name = "write its kubelet's configuration, restart it, and prove that it runs with it"
    text = by_hand("day2", "write_kubelet", host=host)
    return Step(name, host, done=lambda run: arrived(all_, run, host), do=do, within=30, by_hand=text)


def _prove(all_: Kubelets, run: Run, host: Host) -> None:
    """Wait until the kubelet runs with the new configuration and its node is Ready. Raises OutcomeError with its last words."""

    def runs() -> bool | Unmet:
        run.look_anew()
        if words := run.read(host, reconfigure.kubelet_crash()):
            raise OutcomeError(f"ends again and again: {words}")
        if why := wrong(all_, run, host):
            return Unmet(why)
        if run.read(host, upgrade_kubeadm.look()).started.get("kubelet", 0) < STEADY_S:
            return Unmet(f"its kubelet has not been running for {STEADY_S} s")
        known = all_.one.node_object(run, host)
        return True if known and known.ready else Unmet("its node is not Ready")

    until(runs, within=WITHIN_S, poll=run.poll)


def _go_back(all_: Kubelets, run: Run, host: Host, there: Note, why: RunbookError) -> None:
    """Put the old file back, of the first node also the ConfigMap, and raise OutcomeError."""
    run.note(host, f"it does not run with the new configuration; the old one is put back: {str(why).splitlines()[0]}")
    failed = f"{host}: its kubelet does not run with these settings: {why}"
    others = "No other node was touched" if MAP in there.before else "No node after it was touched"
    try:
        patches.put_back(run, host, there.before)
        run.change(host, reconfigure.put_back_kubelet(there.before[KUBELET_CONFIG], states(there)))
        if MAP in there.before:
            master = all_.site.control_plane[0]
            run.change(master, reconfigure.upload(with_kubelet(all_, run, master, there.before[MAP]), "kubelet"))
        _ready(all_, run, host)
        uncordon = node.uncordon(all_.one, host)
        if uncordon.done and not uncordon.done(run):
            made(run, uncordon)
        run.change(host, reconfigure.forget("kubelet"))
    except RunbookError as error:
        raise OutcomeError(
            f"{failed}\nThe old configuration does not bring it back either: {error}\n{others}.",
            hint=f"on {host}: journalctl -u kubelet; then inv cluster.reconfigure again",
        ) from None
    raise OutcomeError(
        f"{failed}\nIts old configuration is back, and it runs as before. {others}.",
        hint="correct kubernetes.kubelet, or what its role or the host has, in hosts.yaml; then inv cluster.reconfigure again",
    )


def _ready(all_: Kubelets, run: Run, host: Host) -> None:
    """Wait until the kubelet says what it runs with, whatever that is."""

    def runs() -> bool | Unmet:
        run.look_anew()
        api_host, name = all_.one.serving(run, host), all_.one.node_name(run, host)
        said = run.read(api_host, reconfigure.configz(api_host, [name]))[name]
        return Unmet.of(said if isinstance(said, str) else "")

    until(runs, within=WITHIN_S, poll=run.poll)
