"""What of the restored cluster cannot be on the twin as it was: workloads without images, a network of another make, hosts without a twin."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from lab import cgroups, mounts
from lab.control import Lab
from lab.twin import MANIFEST
from rehearse.origin import Contents
from rehearse.rules import kubelets, workloads
from rehearse.rules.webhooks import answered
from rehearse.rules.workloads import Place
from runbooks.commands import jsonpath
from runbooks.inventory.model import Host, Site
from runbooks.text import counted, first_few, listed

KUBECTL: Final = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=30s")
OWN_LABEL: Final = re.compile(r"(^|\.)(kubernetes|k8s)\.io/")  # the kubelet and the controllers write these themselves
ADAPTED: Final = (
    "ha-runbooks-rehearsal"  # a ConfigMap in kube-system: this cluster is adapted. A restore of the set takes it away
)
EVERY_JOB: Final = jsonpath.template({"namespace": "{.metadata.namespace}", "name": "{.metadata.name}"})
DROP_IN_PATH: Final = "/etc/systemd/system/kubelet.service.d/99-rehearsal.conf"
DEFAULTS: Final = ("", "k8s.gcr.io", "registry.k8s.io")  # kubeadm's own, as the lab's images are called
NAMES: Final = r"""
set -u
there=$(ctr --namespace k8s.io images list --quiet)
for image in $there; do
    case $image in k8s.gcr.io/* | registry.k8s.io/*) ;; *) continue ;; esac
    new=$REPOSITORY/${image#*/}
    grep -qxF -- "$new" <<<"$there" || ctr --namespace k8s.io images tag "$image" "$new" >/dev/null || exit
done
"""


def kubectl(lab: Lab, site: Site, *words: str, stdin: str = "", check: bool = True, host: str = "") -> str:
    """Run kubectl on ``host``, by default the first control plane host, and return what it prints. Raises CommandError with ``check``."""
    place = host or site.control_plane[0].name
    return lab.console(place, [*KUBECTL, *words], stdin=stdin, check=check, timeout_s=120).stdout


def answers(lab: Lab, site: Site) -> bool:
    """Whether the twin's API server is ready, asked through its VIP."""
    return kubectl(lab, site, "get", "--raw", "/readyz", check=False).strip() == "ok"


def kubelets_start(lab: Lab, site: Site, contents: Contents, hosts: Sequence[Host]) -> list[str]:
    """Give the kubelets of ``hosts``, before they are installed, the flags without which they would not start here. Returns what was changed."""
    found = kubelets.flags(contents.kubelet, site.kubernetes.version, cgroup_v1=cgroups.hosts_have_v1(mounts.mounts()))
    if not found:
        return []
    for host in hosts:
        lab.console(host.name, ["mkdir", "-p", str(Path(DROP_IN_PATH).parent)], check=True)
        lab.console(host.name, ["tee", DROP_IN_PATH], stdin=kubelets.drop_in(found), check=True)
    return [kubelets.told(found)]


def name_images(lab: Lab, hosts: Sequence[Host], repository: str) -> list[str]:
    """Give the lab's images the names that they have in the site's own ``repository``, on ``hosts``. Returns what was changed, in words."""
    for host in hosts:
        lab.console(host.name, ["env", f"REPOSITORY={repository}", "bash", "-c", NAMES], check=True, timeout_s=120)
    return [f"the images of {repository} are the lab's own"]


def is_adapted(lab: Lab, site: Site) -> bool:
    """Whether the cluster that answers is adapted."""
    return bool(kubectl(lab, site, "-n", "kube-system", "get", "configmap", ADAPTED, "-o", "name", check=False).strip())


def adapt(lab: Lab, site: Site, contents: Contents, gone: Sequence[str], *, joined: bool = False) -> list[str]:
    """Change the restored cluster so that it can be well on the twin. Returns what was changed, in words. Raises RunbookError.

    ``joined``: the kubelets of the workers run already, and their nodes stay.
    """
    told = []
    away = answered(contents.drains)
    for kind, name in away:
        kubectl(lab, site, "delete", kind, name, "--ignore-not-found")
        told.append(f"{kind} {name} is taken away: its Pods do not run here, and it would refuse every write")
    for name in contents.aggregated:
        kubectl(lab, site, "delete", "apiservice", name, "--ignore-not-found", "--wait=false")
        told.append(f"the aggregated API {name} is taken away: its Pods do not run here")
    told += _quiet(lab, site, contents)
    if not kubectl(lab, site, "-n", "kube-system", "get", "daemonset", "lab-network", "--ignore-not-found", "-o", "name").strip():
        kubectl(lab, site, "apply", "-f", "-", stdin=Path(MANIFEST).read_text())
        told.append("Pods have the lab's network instead of the site's")
    told += _proxy(lab, site, contents)
    away_nodes = _without_kubelet(site.nodes if joined else site.control_plane, contents)
    for name in away_nodes:
        kubectl(lab, site, "delete", "node", name, "--ignore-not-found", "--wait=false")
    _forget_pods(lab, site, ((pod.namespace, pod.name) for pod in contents.drains.pods if pod.node in away_nodes))
    if gone:
        told.append(f"without a host here, and deleted: {counted(len(gone), 'node')} of the set: {listed(first_few(gone, 5))}")
    kubectl(lab, site, "-n", "kube-system", "create", "configmap", ADAPTED)
    return told


def _quiet(lab: Lab, site: Site, contents: Contents) -> list[str]:
    """Let no workload of the set run: its images are not here, and it would do something. The objects stay, but for Pods that nothing else starts."""
    told = _still(lab, site, contents.workloads)
    said = kubectl(lab, site, "get", workloads.JOBS, "-A", "-o", f"jsonpath={EVERY_JOB}")
    jobs = {(workloads.JOBS, namespace, name) for namespace, name in map(str.split, said.splitlines())}
    told += _still(lab, site, sorted(jobs - set(contents.workloads)))  # of a CronJob, before it was suspended; or they have ended
    if contents.workloads:
        number = counted(len(contents.workloads), "workload")
        told.append(f"no Pod of the set's {number} runs: their images are not here; the objects are")
    _forget_pods(lab, site, contents.alone)
    if contents.alone:
        some = listed(first_few(["/".join(pod) for pod in contents.alone], 5))
        told.append(f"deleted, since they would run here: {counted(len(contents.alone), 'Pod')} without a workload: {some}")
    return told


def _still(lab: Lab, site: Site, places: Sequence[Place]) -> list[str]:
    """Keep workloads from running Pods. Returns what the API server did not let happen; one that is not there any more is left out.

    Raises OutcomeError when the API server does not answer.
    """
    told = []
    for kind, namespace, names in workloads.batches(places):
        words = (
            ["patch", kind, *names, "-p", patch]
            if (patch := workloads.PATCHES.get(kind))
            else ["scale", kind, *names, "--replicas=0"]
        )
        done = lab.console(site.control_plane[0].name, [*KUBECTL, "-n", namespace, *words], timeout_s=120)
        if done.returncode:
            told += [f"NOT kept from running Pods: {kind} in {namespace}: {why}" for why in workloads.refused(done.stderr)]
    return told


def _node_of(host: Host, contents: Contents) -> str:
    return next((node for node in contents.drains.nodes if host.is_called(node)), host.name)


def _without_kubelet(hosts: Sequence[Host], contents: Contents) -> list[str]:
    """Return the nodes of the set that are none of ``hosts``, whose kubelets run."""
    running = {_node_of(host, contents) for host in hosts}
    return sorted(set(contents.drains.nodes) - running)


def _forget_pods(lab: Lab, site: Site, pods: Iterable[tuple[str, str]]) -> None:
    """Delete Pods (namespace, name) at once: those on nodes without a kubelet, where nobody could end them, and those that are not to run."""
    names: dict[str, list[str]] = defaultdict(list)
    for namespace, name in pods:
        names[namespace].append(name)
    now = ("--force", "--grace-period=0", "--ignore-not-found")
    for namespace, every in names.items():
        for some in (every[at : at + 100] for at in range(0, len(every), 100)):
            kubectl(lab, site, "-n", namespace, "delete", "pods", *some, *now, check=False)


def mark(lab: Lab, site: Site, contents: Contents, workers: Sequence[Host]) -> None:
    """Give workers that have joined the labels and taints that their nodes have in the set."""
    for host in workers:
        known = contents.drains.nodes.get(_node_of(host, contents))
        labels = [f"{key}={value}" for key, value in known.labels.items() if not OWN_LABEL.search(key)] if known else []
        taints = (
            [f"{each.key}={each.value}:{each.effect}" for each in known.taints if not OWN_LABEL.search(each.key)] if known else []
        )
        for word, wanted in (("label", labels), ("taint", taints)):
            if wanted:
                kubectl(lab, site, word, "node", host.name, *wanted, "--overwrite", check=False)


def _proxy(lab: Lab, site: Site, contents: Contents) -> list[str]:
    """Let kube-proxy leave the machine's connection tracking alone: it does not start otherwise."""
    words = ("-n", "kube-system", "get", "configmap", "kube-proxy", "-o", "json", "--ignore-not-found")
    said = kubectl(lab, site, *words)
    if not said.strip():
        return []
    found = json.loads(said)
    lines = found["data"].get("config.conf", "").splitlines()
    at = next((number for number, line in enumerate(lines) if line.strip().startswith("maxPerCore:")), None)
    if at is None or lines[at].strip() == "maxPerCore: 0":
        return []
    lines[at] = lines[at].partition("maxPerCore:")[0] + "maxPerCore: 0"
    found["data"]["config.conf"] = "\n".join(lines) + "\n"
    kubectl(lab, site, "replace", "-f", "-", stdin=json.dumps(found))
    for host in site.control_plane:  # a worker gets its own when it joins
        only = f"spec.nodeName={_node_of(host, contents)}"
        kubectl(
            lab, site, "-n", "kube-system", "delete", "pods", "-l", "k8s-app=kube-proxy", "--field-selector", only, "--wait=false"
        )
    return ["kube-proxy has conntrack.maxPerCore 0"]
