"""What a person does instead of the steps on the cluster's hosts."""

from __future__ import annotations

from runbooks.by_hand import shell
from runbooks.commands import kubeadm, prepare
from runbooks.commands.base import Secret
from runbooks.commands.kubectl import through_vip, url
from runbooks.commands.node import PROGRAMS
from runbooks.inventory.model import Host, Site
from runbooks.rules.kubeadm import CRI_SOCKET

ROLES = {True: "control-plane", False: "worker"}
SET_ASIDE = "before-ha-runbooks"


def preflight(site: Site) -> str:
    """What is most often wrong with a host; docs/preflight.md has all of it."""
    look = (
        "hostname; nproc; free -m; timedatectl | grep sync; df -h /var/lib; cat /etc/machine-id",
        "ss -ltnp | grep -E ':(6443|2379|2380|2381|10248|10250|10257|10259) '",
        f"timeout 3 bash -c '</dev/tcp/{site.endpoint.vip}/{site.endpoint.port}'; echo $?",
        "ls -d /etc/kubernetes/manifests/* /etc/kubernetes/*.conf /var/lib/etcd/member",
    )
    return (
        f"On every host that is to be new in the cluster:{shell(*look)}"
        "Go on only when: the hostname is that of hosts.yaml and machine-id differs on each host; control planes have 2 CPUs and 1700 MiB; "
        "the clock is synchronised; 8 GiB are free for etcd, 15 GiB for images; nothing listens on these ports; the VIP does not stay "
        "silent (124; refused, 1, is fine while there is no API server); nothing is left of another cluster. The whole list: "
        "[preflight](../preflight.md)."
    )


def ready_kernel(site: Site, host: Host, paths: list[str]) -> str:
    """Modules, sysctls, swap."""
    swap = ("swapoff -a", "sed -i.before-ha-runbooks -E '/^[^#].*[ \\t]swap[ \\t]/s/^/# /' /etc/fstab")
    lines = (
        *(f"modprobe {module}" for module in prepare.MODULES),
        f"sysctl -p {prepare.SYSCTL_FILE}",
        *(swap if site.kubernetes.swap == "off" else ()),
    )
    return (
        f"Put {_listed(paths)} there from {_files(host)}, then:{shell(*lines)}"
        f"Done when `lsmod | grep -E '{'|'.join(prepare.MODULES)}'` shows both"
        + (" and `swapon --show` nothing. " if site.kubernetes.swap == "off" else ". ")
        + "(https://kubernetes.io/docs/setup/production-environment/container-runtimes/)"
    )


def install_packages(version: str) -> str:
    """Exactly one version, held."""
    exact = " ".join(f"{name}='{version}-*'" for name in PROGRAMS)
    lines = (
        "apt-get update",
        f"apt-get install --allow-change-held-packages {exact} cri-tools containerd",
        f"apt-mark hold {' '.join(PROGRAMS)}",
    )
    return (
        f"A host that is in the cluster already keeps what it has. On the others:{shell(*lines)}"
        f"(dnf: `dnf install --disableexcludes=all {' '.join(f'{name}-{version}' for name in PROGRAMS)} cri-tools containerd`, and "
        f"`exclude={' '.join(PROGRAMS)}` in their .repo file.) Not offered: the host needs the package repository of that minor version.\n"
        f"Done when `kubeadm version -o short` says v{version} and `apt-mark showhold` lists all three."
    )


def run_containerd(host: Host, paths: list[str], version: str) -> str:
    """The runtime, with kubeadm's pause image."""
    config = prepare.CONTAINERD_CONFIG
    lines = (
        f"cp -p {config} {config}.{SET_ASIDE}",
        f"kubeadm config images list --kubernetes-version=v{version} | grep pause",
        "systemctl enable containerd kubelet && systemctl restart containerd",
    )
    return (
        f"Not on a host that is in the cluster already. Put {_listed(paths)} there from {_files(host)}; PAUSE-IMAGE in {config} becomes "
        f"the image that the second line prints:{shell(*lines)}Done when `crictl version` names containerd. (The kubelet restarts "
        "every few seconds until kubeadm has written its configuration: that is as it should be.)"
    )


def pull_images(site: Site) -> str:
    """Before kubeadm needs them."""
    version, repository = site.kubernetes.version, site.kubernetes.image_repository
    words = f"--kubernetes-version=v{version} --cri-socket={CRI_SOCKET}" + (
        f" --image-repository={repository}" if repository else ""
    )
    return (
        f"On a control plane host: `kubeadm config images pull {words}`. On a worker only kube-proxy and pause are needed: "
        f"`crictl pull IMAGE` for these two of `kubeadm config images list --kubernetes-version=v{version}`.\n"
        "Done when `crictl images` lists them."
    )


def initialise(host: Host) -> str:
    """The first control plane."""
    file = "/root/init.yaml"
    command = kubeadm.init(Secret("")).shown.replace("--config=-", f"--config={file}")
    return (
        f"Only on a host of no cluster: `ls /etc/kubernetes/*.conf /var/lib/etcd/member` finds nothing. Copy "
        f"`kubeadm/init/{host}.yaml` of [files](files) to `{file}` (0600), with the output of `kubeadm certs "
        f"certificate-key` for CERTIFICATE-KEY:{shell(command, f'rm {file}')}"
        f"An attempt that failed half way is taken back first: `kubeadm reset --force`. Done when `kubectl --server={url(host.address)} "
        "get --raw /readyz` prints ok. (https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/)"
    )


def answers(site: Site) -> str:
    """Some API server is ready."""
    servers = " ".join(url(host.address) for host in site.control_plane)
    line = f"for s in {servers}; do echo $s $(kubectl --server=$s --request-timeout=5s get --raw /readyz); done"
    return (
        f"On a control plane host:{shell(line)}Go on when one says ok. None does after two minutes: `crictl ps -a` and `crictl logs ID` of "
        "etcd and kube-apiserver, `journalctl -u kubelet -n 50`."
    )


def install_network() -> str:
    """The pod network."""
    return (
        "Only when it is not there: from then on its version is its owner's business. Copy "
        "[files/pod-network.yaml](files/pod-network.yaml) to a control plane host:"
        f"{shell('kubectl apply -f pod-network.yaml')}Done when `kubectl get nodes` says Ready."
    )


def join(host: Host) -> str:
    """One more host."""
    control_plane, file = host.is_control_plane, "/root/join.yaml"
    command = kubeadm.join(Secret("")).shown.replace("--config=-", f"--config={file}")
    offer = (
        f"kubeadm token create --ttl={kubeadm.TTL}",
        "openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt | openssl pkey -pubin -outform der | sha256sum",
        *(["kubeadm init phase upload-certs --upload-certs"] if control_plane else []),
    )
    words = "TOKEN, CA-HASH and CERTIFICATE-KEY" if control_plane else "TOKEN and CA-HASH"
    member = (
        "its member of etcd (`etcdctl member list`, `etcdctl member remove ID`; [cluster.remove](cluster.remove.md) says when that must not "
        "be done), "
    )
    served = (
        f", `kubectl --server={url(host.address)} get --raw /readyz` prints ok, and `etcdctl member list -w table` shows a started member "
        "that is no learner. One control plane host after the other: etcd takes in one learner at a time"
    )
    return (
        f"What an earlier attempt, or a host of the same name, left goes first: {member if control_plane else ''}`kubectl delete node {host}`, "
        f"and on it `kubeadm reset --force`. Then, on a control plane host that serves:{shell(*offer)}"
        f"These give {words} for `kubeadm/join/{host}.yaml` of [files](files); with them it goes to `{file}` (0600) on {host}, and there:"
        f"{shell(command, f'rm {file}')}Done when `kubectl get node {host}` is there{served if control_plane else ''}."
    )


def ready(host: Host) -> str:
    """The node is Ready."""
    return f"`kubectl get node {host}` says Ready (within three minutes). If not: `kubectl describe node {host}`, and the pod network's pods there."


def may_leave(host: Host) -> str:
    """What would cost the quorum."""
    if not host.is_control_plane:
        return f"A worker may always leave. An API server has to answer: `kubectl get node {host}`."
    return (
        f"On another control plane host:{shell('etcdctl member list -w table', 'etcdctl endpoint health --cluster')}"
        f"Go on only when a majority of all voters is healthy now, and also a majority of those that stay without {host}. Of three members "
        "a dead one may go, but not a healthy one while another is down; and never the last one. Otherwise mend or add another one first."
    )


def drain(host: Host, *, force: bool) -> str:
    """Move the pods."""
    command = f"kubectl drain {host} --ignore-daemonsets --delete-emptydir-data --timeout=300s" + (" --force" if force else "")
    return (
        f"On another control plane host:{shell(command)}A host that is dead (NotReady) is only cordoned, `kubectl cordon {host}`: its pods are "
        f"given up with the node. Refused because of pods that nobody would recreate: `--force` gives them up. Done when `kubectl get "
        f"pods -A --field-selector=spec.nodeName={host}` lists only DaemonSets' and static pods. "
        "(https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/)"
    )


def leave_etcd(host: Host) -> str:
    """Out of etcd, by ID, asked of another member."""
    lines = ("etcdctl member list -w table", "etcdctl endpoint status --cluster -w table", "etcdctl member remove ID")
    return (
        f"On another control plane host, never on {host}. ID is that of the line with {host.address}, hexadecimal:{shell(*lines)}"
        f"If {host} leads (IS LEADER in the second table), first let another lead: on {host}, `etcdctl move-leader ID-OF-ANOTHER-VOTER`. "
        f"Done when `etcdctl member list` shows it no more. Never remove a second one before `etcdctl endpoint health --cluster` is "
        "well again. (https://etcd.io/docs/v3.5/op-guide/runtime-configuration/)"
    )


def wipe(host: Host) -> str:
    """What kubeadm reset does, and what it leaves."""
    phases = ",".join(kubeadm.ALONE)
    lines = (
        f"kubeadm reset --force --skip-phases={phases}",
        "rm -rf /var/lib/etcd/member /etc/cni/net.d/* /etc/kubernetes/manifests/* /etc/kubernetes/pki /etc/kubernetes/*.conf",
        "for link in cni0 flannel.1 kube-ipvs0; do ip link delete $link; done",
    )
    return (
        f"On {host} itself, when it can be reached. This destroys what the cluster keeps there, etcd's data first. Phases that this kubeadm "
        f"does not know (`kubeadm reset phase --help`) are left out of the list:{shell(*lines)}"
        f"A dead host is not cleaned: do this before it is used again. Done when `ls /etc/kubernetes/manifests /etc/kubernetes/*.conf` finds "
        "nothing. Packages and images stay."
    )


def forget(host: Host) -> str:
    """Delete the Node object."""
    return (
        f"On another control plane host: `kubectl delete node {host} --wait=false`. Kubernetes up to 1.21 also keeps its address: `kubectl "
        f"-n kube-system edit configmap kubeadm-config`, delete the block `{host}:` under apiEndpoints of ClusterStatus, if there is one.\n"
        "Done when `kubectl get nodes` shows it no more."
    )


def verify(site: Site) -> str:
    """The proof."""
    servers = " ".join(url(host.address) for host in site.control_plane)
    probe = f"--server={through_vip(site)}"
    lines = (
        "kubectl get nodes",
        f"for s in {servers} {through_vip(site)}; do kubectl --server=$s get --raw '/readyz?verbose' | tail -n 1; done",
        "etcdctl endpoint health --cluster; etcdctl alarm list",
        "kubectl get pods -A | grep -vE 'Running|Completed'",
        "kubeadm certs check-expiration",
        f"kubectl {probe} create configmap probe --from-literal=a=b",
        f"kubectl {probe} get configmap probe -o jsonpath='{{.data.a}}'; kubectl {probe} delete configmap probe",
    )
    return (
        f"On a control plane host:{shell(*lines)}Done when all nodes are Ready, every API server and the VIP pass, all members are healthy and "
        "there is no alarm, no pod of kube-system waits, no certificate is about to expire, and what was written through the VIP came back "
        "(b). New pods may take three minutes."
    )


def _files(host: Host) -> str:
    role = ROLES[host.is_control_plane]
    return f"[files/{role}](files/{role})"


def _listed(paths: list[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)
